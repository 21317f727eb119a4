package yahoo

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// anEvent is the sandbox's own: were it the adapter's type, a slip in that would
// pass unseen.
type anEvent struct {
	TS           jsontext.Value `json:"eventTs"`
	Name         string         `json:"eventName"`
	ID           string         `json:"eventId"`
	ActionSource string         `json:"actionSource"`
	URL          *string        `json:"actionSourceUrl"`
	Country      *string        `json:"country"`
	Region       *string        `json:"region"`
	User         *struct {
		Email  []string `json:"email"`
		Phone  []string `json:"phone"`
		GPSAID []string `json:"gpsaid"`
		IDFA   []string `json:"idfa"`
		PXID   []string `json:"pxid"`
		IP     *string  `json:"ip_address"`
		Agent  *string  `json:"userAgent"`
	} `json:"userData"`
	Click *struct {
		VMCID string `json:"vmcid"`
		TBLCI string `json:"tblci"`
	} `json:"clickData"`
	Event struct {
		Price    jsontext.Value `json:"price"`
		Products []struct {
			Category string `json:"category"`
			Sub      string `json:"subCategory"`
		} `json:"products"`
		Custom map[string]string `json:"customKeyValues"`
	} `json:"eventData"`
	Privacy *struct {
		Type    string `json:"privacy_type"`
		Consent string `json:"consent_string"`
		SIDs    []int  `json:"gpp_sid"`
	} `json:"privacy"`
}

var (
	hash    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	mobile  = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	matched = regexp.MustCompile(`^[^:\s]+:[^\s]+$`)
	iso     = regexp.MustCompile(`^[A-Z]{2}$`)
	seconds = regexp.MustCompile(`^[0-9]{10}([0-9]{3})?$`)
)

// fault is the first thing that is wrong with an event.
func (e anEvent) fault(now time.Time) string {
	every := func(list []string, form *regexp.Regexp) bool {
		return !slices.ContainsFunc(list, func(s string) bool { return !form.MatchString(s) })
	}
	switch {
	case !seconds.MatchString(string(e.TS)):
		return "INVALID_EVENT_TS"
	case e.Name == "":
		return "MISSING_EVENT_NAME"
	case !slices.Contains([]string{"web", "app", "phone", "email", "online", "physical_store"}, e.ActionSource):
		return "INVALID_ACTION_SOURCE"
	case e.User == nil:
		return "MISSING_USER_DATA"
	case e.Country != nil && !iso.MatchString(*e.Country):
		return "INVALID_COUNTRY"
	case !every(e.User.Email, hash) || !every(e.User.Phone, hash):
		return "INVALID_HASH"
	case !every(e.User.GPSAID, mobile) || !every(e.User.IDFA, mobile) || !every(e.User.PXID, matched):
		return "INVALID_IDENTIFIER"
	case len(e.User.Email)+len(e.User.Phone)+len(e.User.GPSAID)+len(e.User.IDFA)+len(e.User.PXID) == 0 && (e.Click == nil || e.Click.VMCID+e.Click.TBLCI == ""):
		return "MISSING_IDENTIFIER"
	case e.Event.Price != nil && e.Event.Price.Kind() != '0':
		return "INVALID_PRICE"
	}
	at, err := time.Parse(time.RFC3339, timeOf(string(e.TS)))
	if err != nil || at.After(now.Add(time.Hour)) {
		return "INVALID_EVENT_TS"
	}
	if e.User.IP != nil {
		if _, err := netip.ParseAddr(*e.User.IP); err != nil {
			return "INVALID_IP_ADDRESS"
		}
	}
	if e.URL != nil {
		if u, err := url.Parse(*e.URL); err != nil || u.Host == "" {
			return "INVALID_URL"
		}
	}
	if p := e.Privacy; p != nil {
		form := strings.Trim(p.Consent, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~") == ""
		if !slices.Contains([]string{"GDPR", "GPP", "OPTOUT"}, p.Type) || p.Type != "OPTOUT" && (p.Consent == "" || !form) {
			return "INVALID_PRIVACY"
		}
		if p.Type == "OPTOUT" {
			return "OPTED_OUT"
		}
	}
	return ""
}

// timeOf reads seconds or milliseconds.
func timeOf(ts string) string {
	var n int64
	for _, c := range ts[:10] {
		n = n*10 + int64(c-'0')
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339)
}

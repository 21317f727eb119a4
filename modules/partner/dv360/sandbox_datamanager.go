package dv360

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

// processing is how long the sandbox is at work on a request.
const processing = 3 * time.Second

// ingestion is a request that was queued, and what will be said of it.
type ingestion struct {
	at     time.Time
	events int
	bad    map[string]int // events by reason
}

type (
	anAccount struct {
		Type string `json:"accountType"`
		ID   string `json:"accountId"`
	}
	anEvent struct {
		References  []string `json:"destinationReferences"`
		Transaction string   `json:"transactionId"`
		Time        string   `json:"eventTimestamp"`
		Updated     *string  `json:"lastUpdatedTimestamp"`
		Ad          *struct {
			Gclid        string `json:"gclid"`
			Gbraid       string `json:"gbraid"`
			Wbraid       string `json:"wbraid"`
			Dclid        string `json:"dclid"`
			ImpressionID string `json:"impressionId"`
			MatchID      string `json:"matchId"`
			MobileID     string `json:"mobileDeviceId"`
			Encrypted    []struct {
				ID         string `json:"encryptedId"`
				EntityType string `json:"entityType"`
				EntityID   string `json:"entityId"`
				Source     string `json:"source"`
			} `json:"encryptedUserIds"`
		} `json:"adIdentifiers"`
		User *struct {
			Identifiers []struct {
				Email   *string `json:"emailAddress"`
				Phone   *string `json:"phoneNumber"`
				Address *struct {
					Given  string `json:"givenName"`
					Family string `json:"familyName"`
					Region string `json:"regionCode"`
					Postal string `json:"postalCode"`
				} `json:"address"`
			} `json:"userIdentifiers"`
		} `json:"userData"`
		Consent  *aConsent      `json:"consent"`
		Currency *string        `json:"currency"`
		Value    jsontext.Value `json:"conversionValue"`
		Count    jsontext.Value `json:"conversionCount"`
		Source   string         `json:"eventSource"`
		Device   *struct {
			Agent string `json:"userAgent"`
			IP    string `json:"ipAddress"`
		} `json:"eventDeviceInfo"`
		Cart *struct {
			Merchant string   `json:"merchantId"`
			Label    string   `json:"merchantFeedLabel"`
			Language string   `json:"merchantFeedLanguageCode"`
			Discount *float64 `json:"transactionDiscount"`
			Items    []struct {
				ID       string   `json:"merchantProductId"`
				Quantity string   `json:"quantity"`
				Price    *float64 `json:"unitPrice"`
			} `json:"items"`
		} `json:"cartData"`
		Variables []struct {
			Variable string `json:"variable"`
			Value    string `json:"value"`
		} `json:"customVariables"`
	}
	aConsent struct {
		UserData        string `json:"adUserData"`
		Personalization string `json:"adPersonalization"`
	}
	aFault struct{ field, reason, text string }
)

func (s *sandbox) ingest(r *http.Request, body []byte) partner.Imitation {
	if no := s.allowed(r, dataManagerScope); no.Status != 0 {
		return no
	}
	var in struct {
		Destinations []struct {
			Reference string    `json:"reference"`
			Operating anAccount `json:"operatingAccount"`
			Login     anAccount `json:"loginAccount"`
			Product   string    `json:"productDestinationId"`
		} `json:"destinations"`
		Encoding     string           `json:"encoding"`
		ValidateOnly bool             `json:"validateOnly"`
		Consent      *aConsent        `json:"consent"`
		Events       []jsontext.Value `json:"events"`
	}
	if err := strict(body, &in); err != nil || !isJSON(r) {
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.")
	}
	request := "sandbox-" + rand.Text()
	bad := func(faults ...aFault) partner.Imitation {
		var list []map[string]any
		for _, f := range faults {
			list = append(list, map[string]any{"field": f.field, "reason": f.reason, "description": f.text})
		}
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "There was a problem with the request.",
			map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_ARGUMENT", "domain": "datamanager.googleapis.com"},
			map[string]any{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": list},
			map[string]any{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": request})
	}
	switch {
	case len(in.Destinations) == 0:
		return bad(aFault{"destinations", "REQUIRED_FIELD_MISSING", "is required"})
	case len(in.Destinations) > 10:
		return bad(aFault{"destinations", "TOO_MANY_DESTINATIONS", "10 at most"})
	case len(in.Events) == 0:
		return bad(aFault{"events", "REQUIRED_FIELD_MISSING", "is required"})
	case len(in.Events) > maxDataManager:
		return bad(aFault{"events", "TOO_MANY_EVENTS", "2000 at most"})
	case in.Encoding != "" && in.Encoding != "HEX" && in.Encoding != "BASE64":
		return bad(aFault{"encoding", "INVALID_ENUM_VALUE", "is unknown"})
	}
	activity := map[string]string{}
	for i, d := range in.Destinations {
		field := "destinations[" + strconv.Itoa(i) + "]"
		switch _, twice := activity[d.Reference]; {
		case d.Operating.Type != "FLOODLIGHT_CONFIG":
			return bad(aFault{field + ".operating_account", "DESTINATION_ACCOUNT_TYPE_MISMATCH", "must be FLOODLIGHT_CONFIG"})
		case d.Operating != d.Login:
			return bad(aFault{field + ".login_account", "OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH", "has no access"})
		case twice:
			return bad(aFault{field + ".reference", "DUPLICATE_DESTINATION_REFERENCE", "must be unique"})
		case !whole.MatchString(d.Operating.ID) || !whole.MatchString(d.Product) || strings.HasPrefix(d.Product, "404"):
			return bad(aFault{field + ".product_destination_id", "INVALID_DESTINATION", "is no Floodlight activity"})
		case strings.HasPrefix(d.Product, "403"):
			return refuse(http.StatusForbidden, "PERMISSION_DENIED", "The caller does not have permission.", errorInfo("PERMISSION_DENIED"))
		}
		activity[d.Reference] = d.Product
	}
	a := partner.Imitation{Status: http.StatusOK, Body: map[string]any{"requestId": request}}
	later := ingestion{at: time.Now(), events: len(in.Events), bad: map[string]int{}}
	events := make([]anEvent, len(in.Events))
	var faults []aFault
	for i, raw := range in.Events {
		f := aFault{"", "INVALID_FORMAT", "is not an event"}
		if err := strict(raw, &events[i]); err == nil {
			f = events[i].fault(in.Encoding, len(in.Destinations), time.Now())
		} else {
			f.text = err.Error()
		}
		for _, reference := range events[i].References {
			if _, known := activity[reference]; !known && f.reason == "" {
				f = aFault{"destination_references", "INVALID_DESTINATION_REFERENCE", "names no destination"}
			}
		}
		if f.reason != "" {
			faults = append(faults, aFault{strings.TrimSuffix("events.events["+strconv.Itoa(i)+"]."+f.field, "."), f.reason, f.text})
		}
	}
	if len(faults) > 0 {
		return bad(faults...)
	}
	if in.ValidateOnly {
		return a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		key := "dm/" + in.Destinations[0].Product + "/" + e.Transaction
		if reason := e.later(); reason != "" {
			later.bad[reason]++
			continue
		}
		a.EventIDs = append(a.EventIDs, e.Transaction)
		a.OrderIDs = append(a.OrderIDs, e.Transaction)
		if s.again(key) {
			later.bad["DUPLICATE_TRANSACTION_ID"]++
			a.Duplicates = append(a.Duplicates, e.Transaction)
		}
	}
	if len(s.requests) >= remembered {
		clear(s.requests)
	}
	s.requests[request] = later
	return a
}

// status tells what became of a request, once the sandbox has been at work on it.
func (s *sandbox) status(r *http.Request, _ []byte) partner.Imitation {
	if no := s.allowed(r, dataManagerScope); no.Status != 0 {
		return no
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	got, known := s.requests[r.URL.Query().Get("requestId")]
	if !known {
		return refuse(http.StatusNotFound, "NOT_FOUND", "The request was not found.")
	}
	type count struct {
		Count  string `json:"recordCount"`
		Reason string `json:"reason"`
	}
	var counts []count
	failed := 0
	for _, reason := range []string{"DUPLICATE_TRANSACTION_ID", "INVALID_GCLID", "MATCH_ID_NOT_FOUND", "TOO_RECENT_CLICK"} {
		if n := got.bad[reason]; n > 0 {
			failed += n
			counts = append(counts, count{strconv.Itoa(n), "PROCESSING_ERROR_REASON_" + reason})
		}
	}
	d := map[string]any{"requestStatus": "SUCCESS", "eventsIngestionStatus": map[string]string{"recordCount": strconv.Itoa(got.events)}}
	switch {
	case time.Since(got.at) < processing:
		d = map[string]any{"requestStatus": "PROCESSING"}
	case failed == got.events:
		d["requestStatus"] = "FAILED"
	case failed > 0:
		d["requestStatus"] = "PARTIAL_SUCCESS"
	}
	if failed > 0 && d["requestStatus"] != "PROCESSING" {
		d["errorInfo"] = map[string]any{"errorCounts": counts}
	}
	return partner.Imitation{Status: http.StatusOK, Body: map[string]any{"requestStatusPerDestination": []any{d}}}
}

// later is why an event that was queued will fail, "" if it will not.
func (e anEvent) later() string {
	switch {
	case strings.HasPrefix(e.Ad.Gclid, "unknown"):
		return "INVALID_GCLID"
	case strings.HasPrefix(e.Ad.MatchID, "unknown"):
		return "MATCH_ID_NOT_FOUND"
	case strings.HasPrefix(e.Ad.Dclid, "recent"):
		return "TOO_RECENT_CLICK"
	}
	return ""
}

// fault is the first thing that is wrong with an event.
func (e anEvent) fault(encoding string, destinations int, now time.Time) aFault {
	at, err := time.Parse(time.RFC3339Nano, e.Time)
	switch {
	case destinations > 1 && len(e.References) == 0:
		return aFault{"destination_references", "REQUIRED_FIELD_MISSING", "is required with several destinations"}
	case e.Transaction == "":
		return aFault{"transaction_id", "REQUIRED_FIELD_MISSING", "is required"}
	case e.Time == "":
		return aFault{"event_timestamp", "REQUIRED_FIELD_MISSING", "is required"}
	case err != nil:
		return aFault{"event_timestamp", "INVALID_FORMAT", "must be RFC 3339"}
	case now.Sub(at) > 90*24*time.Hour || at.After(now.Add(time.Minute)):
		return aFault{"event_timestamp", "EVENT_TIME_INVALID", "is too old or in the future"}
	case e.Ad == nil || e.Ad.Gclid+e.Ad.Gbraid+e.Ad.Wbraid+e.Ad.Dclid+e.Ad.ImpressionID+e.Ad.MatchID+e.Ad.MobileID == "" && len(e.Ad.Encrypted) == 0:
		return aFault{"ad_identifiers", "NO_IDENTIFIERS_PROVIDED", "a Floodlight event needs one"}
	case e.Ad.MobileID != "" && !mobile.MatchString(e.Ad.MobileID):
		return aFault{"ad_identifiers.mobile_device_id", "INVALID_MOBILE_ID_FORMAT", "is none"}
	case e.User != nil && encoding == "":
		return aFault{"encoding", "REQUIRED_FIELD_MISSING", "is required with user data"}
	case e.Currency != nil && !iso4217(*e.Currency):
		return aFault{"currency", "INVALID_CURRENCY_CODE", "must be ISO 4217"}
	case e.Value != nil && e.Value.Kind() != '0', e.Count != nil && e.Count.Kind() != '0':
		return aFault{"conversion_value", "INVALID_FORMAT", "must be a number"}
	case !contains([]string{"WEB", "APP", "IN_STORE", "PHONE", "MESSAGE", "OTHER"}, e.Source):
		return aFault{"event_source", "INVALID_ENUM_VALUE", "is unknown"}
	}
	for _, x := range e.Ad.Encrypted {
		known := false
		for _, t := range []string{"DCM_ACCOUNT", "DCM_ADVERTISER", "DBM_PARTNER", "DBM_ADVERTISER", "ADWORDS_CUSTOMER", "DFP_NETWORK_CODE"} {
			known = known || entityType(t) == x.EntityType
		}
		if x.ID == "" || !known || !whole.MatchString(x.EntityID) || x.Source != "AD_SERVING" && x.Source != "DATA_TRANSFER" {
			return aFault{"ad_identifiers.encrypted_user_ids", "INVALID_FORMAT", "is not complete"}
		}
	}
	if e.User != nil {
		if n := len(e.User.Identifiers); n == 0 || n > 10 {
			return aFault{"user_data.user_identifiers", "TOO_MANY_USER_IDENTIFIERS", "1 to 10"}
		}
		for _, u := range e.User.Identifiers {
			switch a := u.Address; {
			case !oneOf(u.Email != nil, u.Phone != nil, a != nil):
				return aFault{"user_data.user_identifiers", "INVALID_FORMAT", "exactly one member is needed"}
			case u.Email != nil && !sha.MatchString(*u.Email), u.Phone != nil && !sha.MatchString(*u.Phone), a != nil && (!sha.MatchString(a.Given) || !sha.MatchString(a.Family)):
				return aFault{"user_data.user_identifiers", "INVALID_SHA256_FORMAT", "must be a SHA-256"}
			case a != nil && (len(a.Region) != 2 || a.Postal == "" || sha.MatchString(a.Postal)):
				return aFault{"user_data.user_identifiers.address", "REQUIRED_FIELD_MISSING", "region and postal code are required, in clear"}
			}
		}
	}
	if c := e.Consent; c != nil && (!consentWord(c.UserData) || !consentWord(c.Personalization)) {
		return aFault{"consent", "INVALID_ENUM_VALUE", "must be CONSENT_GRANTED or CONSENT_DENIED"}
	}
	if e.Device != nil && e.Device.IP != "" {
		if _, err := netip.ParseAddr(e.Device.IP); err != nil {
			return aFault{"event_device_info.ip_address", "INVALID_FORMAT", "must be an address"}
		}
	}
	for _, v := range e.Variables {
		if v.Variable == "" || strings.Contains(v.Value, "@") && strings.Contains(v.Value, ".") && partner.Personal(v.Value) {
			return aFault{"custom_variables", "CUSTOM_VARIABLE_VALUE_CONTAINS_PII", "must hold no personal data"}
		}
	}
	if e.Cart != nil {
		for _, i := range e.Cart.Items {
			if i.ID == "" || !whole.MatchString(i.Quantity) {
				return aFault{"cart_data.items", "REQUIRED_FIELD_MISSING", "an item needs its id and quantity"}
			}
		}
	}
	return aFault{}
}

func consentWord(s string) bool { return s == "" || s == "CONSENT_GRANTED" || s == "CONSENT_DENIED" }

func iso4217(s string) bool { return partner.Currency(s) == s && s != "" }

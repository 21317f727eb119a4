package dv360

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

// The types below are the sandbox's own: were they the adapter's, a slip in those
// would pass unseen.
type (
	aConversion struct {
		Kind           string         `json:"kind"`
		Configuration  string         `json:"floodlightConfigurationId"`
		Activity       string         `json:"floodlightActivityId"`
		Ordinal        string         `json:"ordinal"`
		Micros         string         `json:"timestampMicros"`
		Quantity       string         `json:"quantity"`
		Value          jsontext.Value `json:"value"`
		Gclid          *string        `json:"gclid"`
		Dclid          *string        `json:"dclid"`
		MatchID        *string        `json:"matchId"`
		MobileDeviceID *string        `json:"mobileDeviceId"`
		ImpressionID   *string        `json:"impressionId"`
		EncryptedID    *string        `json:"encryptedUserId"`
		Candidates     []string       `json:"encryptedUserIdCandidates"`
		Identifiers    []struct {
			Email   *string `json:"hashedEmail"`
			Phone   *string `json:"hashedPhoneNumber"`
			Address *struct {
				First  string `json:"hashedFirstName"`
				Last   string `json:"hashedLastName"`
				Street string `json:"hashedStreetAddress"`
				City   string `json:"city"`
				State  string `json:"state"`
				Postal string `json:"postalCode"`
				Code   string `json:"countryCode"`
			} `json:"addressInfo"`
		} `json:"userIdentifiers"`
		Consent         *string `json:"adUserDataConsent"`
		NonPersonalized *bool   `json:"nonPersonalizedAd"`
		Limit           *bool   `json:"limitAdTracking"`
		Underage        *bool   `json:"treatmentForUnderage"`
		Child           *bool   `json:"childDirectedTreatment"`
		Variables       []struct {
			Kind  string `json:"kind"`
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"customVariables"`
		Cart *struct {
			Merchant string `json:"merchantId"`
			Label    string `json:"merchantFeedLabel"`
			Language string `json:"merchantFeedLanguage"`
			Items    []struct {
				ID       string   `json:"itemId"`
				Quantity int32    `json:"quantity"`
				Price    *float64 `json:"unitPrice"`
			} `json:"items"`
		} `json:"cartData"`
		Session *string `json:"sessionAttributesEncoded"`
	}
	anEncryption struct {
		Kind   string `json:"kind"`
		Type   string `json:"encryptionEntityType"`
		ID     string `json:"encryptionEntityId"`
		Source string `json:"encryptionSource"`
	}
	aStatus struct {
		Kind       string         `json:"kind"`
		Conversion jsontext.Value `json:"conversion"`
		Errors     []anError      `json:"errors,omitempty"`
	}
	anError struct {
		Kind    string `json:"kind"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
)

var (
	sha    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	whole  = regexp.MustCompile(`^[0-9]{1,19}$`)
	uvar   = regexp.MustCompile(`^U([1-9][0-9]?|100)$`)
	mobile = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)
)

func (s *sandbox) conversions(r *http.Request, body []byte) partner.Imitation {
	if no := s.allowed(r, cm360Scope); no.Status != 0 {
		return no
	}
	call, profile := r.PathValue("call"), r.PathValue("profile")
	switch {
	case call != "batchinsert" && call != "batchupdate" || !whole.MatchString(profile):
		return partner.Imitation{Status: http.StatusNotFound, Body: "Not Found"}
	case profile == "403":
		return refuse(http.StatusForbidden, "PERMISSION_DENIED", "The user profile has no rights.", errorInfo("insufficientPermissions"))
	case !isJSON(r):
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "Content-Type must be application/json.")
	}
	var in struct {
		Kind        string           `json:"kind"`
		Conversions []jsontext.Value `json:"conversions"`
		Encryption  *anEncryption    `json:"encryptionInfo"`
	}
	if err := strict(body, &in); err != nil || len(in.Conversions) == 0 {
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "Invalid JSON payload received.")
	}
	update, want := call == "batchupdate", "dfareporting#conversionsBatchInsertRequest"
	if update {
		want = "dfareporting#conversionsBatchUpdateRequest"
	}
	switch {
	case in.Kind != "" && in.Kind != want:
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "kind is that of another call.")
	case len(in.Conversions) > maxCM360:
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "At most 1000 conversions are allowed.")
	case in.Encryption != nil && !in.Encryption.good():
		return refuse(http.StatusBadRequest, "INVALID_ARGUMENT", "encryptionInfo is not valid.")
	}
	out := struct {
		HasFailures bool      `json:"hasFailures"`
		Status      []aStatus `json:"status"`
		Kind        string    `json:"kind"`
	}{Kind: strings.Replace(want, "Request", "Response", 1)}
	a := partner.Imitation{Status: http.StatusOK}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, raw := range in.Conversions {
		var c aConversion
		st := aStatus{Kind: "dfareporting#conversionStatus", Conversion: raw}
		code, message := "INVALID_ARGUMENT", ""
		if err := strict(raw, &c); err != nil {
			message = err.Error()
		} else if code, message = c.fault(update, in.Encryption != nil, time.Now()); message == "" {
			code, message = s.keep(c, update, &a)
		}
		if message != "" {
			out.HasFailures = true
			st.Errors = []anError{{"dfareporting#conversionError", code, message}}
		}
		out.Status = append(out.Status, st)
	}
	a.Body = out
	return a
}

func (e anEncryption) good() bool {
	return entityType(e.Type) != "" && whole.MatchString(e.ID) && (e.Source == "AD_SERVING" || e.Source == "DATA_TRANSFER")
}

// keep stores a conversion, or finds the one that an update is about.
func (s *sandbox) keep(c aConversion, update bool, a *partner.Imitation) (code, message string) {
	who := c.who()
	identity := strings.Join([]string{c.Configuration, c.Activity, who, c.Micros, c.Ordinal}, "/")
	micros, _ := strconv.ParseInt(c.Micros, 10, 64)
	at := time.UnixMicro(micros)
	if update {
		_, inserted := s.stored[identity]
		switch age := time.Since(at); {
		case !inserted && (c.MatchID == nil || !strings.HasPrefix(*c.MatchID, "tag")):
			return "NOT_FOUND", "No conversion was found for the given identity."
		case age < 90*time.Minute:
			return "NOT_FOUND", "The conversion is not processed yet."
		case age > 24*time.Hour:
			return "INVALID_ARGUMENT", "The conversion is too old to be enhanced."
		}
	} else {
		if len(s.stored) >= remembered {
			clear(s.stored)
		}
		s.stored[identity] = at
	}
	a.EventIDs = append(a.EventIDs, c.Ordinal)
	a.OrderIDs = append(a.OrderIDs, c.Ordinal)
	if s.again(strings.Join([]string{strconv.FormatBool(update), c.Configuration, c.Activity, who, at.UTC().Format(time.DateOnly), c.Ordinal}, "/")) {
		a.Duplicates = append(a.Duplicates, c.Ordinal)
	}
	return "", ""
}

// who is the identifier that a conversion names.
func (c aConversion) who() string {
	for kind, v := range map[string]*string{"g": c.Gclid, "d": c.Dclid, "m": c.MatchID, "i": c.ImpressionID, "a": c.MobileDeviceID, "e": c.EncryptedID} {
		if v != nil {
			return kind + *v
		}
	}
	return "c" + strings.Join(c.Candidates, ",")
}

// fault is the first thing that is wrong with a conversion.
func (c aConversion) fault(update, encrypted bool, now time.Time) (code, message string) {
	const invalid = "INVALID_ARGUMENT"
	ids := 0
	for _, v := range []*string{c.Gclid, c.Dclid, c.MatchID, c.ImpressionID, c.MobileDeviceID, c.EncryptedID} {
		if v != nil {
			ids++
			if *v == "" {
				return invalid, "An identifier is empty."
			}
		}
	}
	if len(c.Candidates) > 0 {
		ids++
	}
	micros, err := strconv.ParseInt(c.Micros, 10, 64)
	at := time.UnixMicro(micros)
	value := string(c.Value)
	switch {
	case !whole.MatchString(c.Configuration):
		return invalid, "Floodlight config id: is required."
	case !whole.MatchString(c.Activity):
		return invalid, "Floodlight activity id: is required."
	case strings.HasPrefix(c.Activity, "404"):
		return "NOT_FOUND", "Floodlight activity " + c.Activity + " was not found."
	case strings.HasPrefix(c.Activity, "403"):
		return "PERMISSION_DENIED", "No access to Floodlight activity " + c.Activity + "."
	case ids == 0:
		return invalid, "At least one identifier is required: gclid, dclid, matchId, mobileDeviceId, impressionId or an encrypted user id."
	case ids > 1:
		return invalid, "Identifiers are mutually exclusive."
	case (c.EncryptedID != nil || len(c.Candidates) > 0) && !encrypted:
		return invalid, "encryptionInfo is required with encrypted user ids."
	case c.Ordinal == "":
		return invalid, "ordinal is required."
	case err != nil || micros <= 0:
		return invalid, "timestampMicros is required."
	case len(c.Micros) != 16:
		return invalid, "timestampMicros must be in microseconds."
	case at.After(now.Add(time.Minute)):
		return invalid, "The timestamp is in the future."
	case now.Sub(at) > 28*24*time.Hour:
		return invalid, "The timestamp is older than 28 days."
	case !whole.MatchString(c.Quantity) || c.Quantity == "0":
		return invalid, "quantity is required."
	case c.Value.Kind() != '0':
		return invalid, "value is required and must be a number."
	case strings.Contains(value, "e") || strings.Contains(value, "E"):
		return invalid, "value must be a plain number."
	case c.Consent != nil && *c.Consent != "GRANTED" && *c.Consent != "DENIED":
		return invalid, "adUserDataConsent must be GRANTED or DENIED."
	case c.MobileDeviceID != nil && !mobile.MatchString(*c.MobileDeviceID):
		return invalid, "mobileDeviceId is not valid."
	case len(c.Identifiers) > 5:
		return invalid, "At most 5 user identifiers are allowed."
	case update && (c.Limit != nil || c.Child != nil || c.Cart != nil || c.Session != nil):
		return invalid, "A member is not changeable by an update."
	}
	for _, u := range c.Identifiers {
		if !oneOf(u.Email != nil, u.Phone != nil, u.Address != nil) {
			return invalid, "A user identifier holds exactly one member."
		}
		if u.Email != nil && !sha.MatchString(*u.Email) || u.Phone != nil && !sha.MatchString(*u.Phone) ||
			u.Address != nil && (!sha.MatchString(u.Address.First) || !sha.MatchString(u.Address.Last) || u.Address.Street != "" && !sha.MatchString(u.Address.Street)) {
			return invalid, "A user identifier is not a SHA-256 in lower-case hex."
		}
		if u.Address != nil && (sha.MatchString(u.Address.City) || sha.MatchString(u.Address.State) || sha.MatchString(u.Address.Postal) || len(u.Address.Code) != 2) {
			return invalid, "City, state, postal code and country are not hashed."
		}
	}
	for _, v := range c.Variables {
		if !uvar.MatchString(v.Type) || v.Value == "" || utf8.RuneCountInString(v.Value) > 100 {
			return invalid, "A custom variable is not valid."
		}
	}
	if c.Cart != nil {
		if !whole.MatchString(c.Cart.Merchant) || len(c.Cart.Items) == 0 {
			return invalid, "cartData is not valid."
		}
		for _, i := range c.Cart.Items {
			if i.ID == "" || i.Quantity < 1 {
				return invalid, "An item of cartData is not valid."
			}
		}
	}
	if c.Session != nil {
		if _, err := base64.StdEncoding.DecodeString(*c.Session); err != nil || *c.Session == "" {
			return invalid, "sessionAttributesEncoded is not valid."
		}
	}
	for name, v := range map[string]*string{"Gclid": c.Gclid, "Dclid": c.Dclid} {
		if v != nil && strings.HasPrefix(*v, "unknown") {
			return "NOT_FOUND", name + " was not found."
		}
		if v != nil && strings.HasPrefix(*v, "not-a-click") {
			return invalid, name + " is not valid."
		}
	}
	return "", ""
}

func oneOf(set ...bool) bool {
	n := 0
	for _, b := range set {
		if b {
			n++
		}
	}
	return n == 1
}

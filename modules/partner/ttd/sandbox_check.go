package ttd

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The types below are the sandbox's own: were they the adapter's, a slip in
// those would pass unseen.
type (
	anEvent struct {
		TrackerID   *string `json:"tracker_id"`
		UPixelID    *string `json:"upixel_id"`
		MerchantID  *string `json:"merchant_id"`
		Adv         *string `json:"adv"`
		EventName   *string `json:"event_name"`
		AdIDType    *string `json:"adid_type"`
		AdID        *string `json:"adid"`
		TDID        *string `json:"tdid"`
		UID2        *string `json:"uid2"`
		UID2Token   *string `json:"uid2_token"`
		EUID        *string `json:"euid"`
		EUIDToken   *string `json:"euid_token"`
		IDL         *string `json:"idl"`
		IDFA        *string `json:"idfa"`
		AAID        *string `json:"aaid"`
		DAID        *string `json:"daid"`
		NAID        *string `json:"naid"`
		ClientIP    *string `json:"client_ip"`
		ReferrerURL *string `json:"referrer_url"`
		OrderID     *string `json:"order_id"`
		Value       *string `json:"value"`
		Currency    *string `json:"currency"`
		Items       []struct {
			Code  *string `json:"item_code"`
			Name  *string `json:"name"`
			Qty   *string `json:"qty"`
			Price *string `json:"price"`
			Cat   *string `json:"cat"`
		} `json:"items"`
		TD        dimensionsSent `json:",embed"`
		Imp       *string        `json:"imp"`
		IAttr     *bool          `json:"iattr"`
		IVTC      *bool          `json:"ivtc"`
		Country   *string        `json:"country"`
		Region    *string        `json:"region"`
		Metro     *string        `json:"metro"`
		City      *string        `json:"city"`
		Zip       *string        `json:"zip"`
		Privacies []struct {
			Type       *string        `json:"privacy_type"`
			Applicable jsontext.Value `json:"is_applicable"`
			Consent    *string        `json:"consent_string"`
		} `json:"privacy_settings"`
		Processing *struct {
			Policies []string `json:"policies"`
			Region   string   `json:"region"`
		} `json:"data_processing_option"`
	}
	dimensionsSent struct {
		TD1  *string `json:"td1"`
		TD2  *string `json:"td2"`
		TD3  *string `json:"td3"`
		TD4  *string `json:"td4"`
		TD5  *string `json:"td5"`
		TD6  *string `json:"td6"`
		TD7  *string `json:"td7"`
		TD8  *string `json:"td8"`
		TD9  *string `json:"td9"`
		TD10 *string `json:"td10"`
	}
	anError struct {
		Error        string `json:"Error"`
		ErrorMessage string `json:"ErrorMessage"`
	}
	aResponse struct {
		EventIndex    int       `json:"EventIndex"`
		EventErrors   []anError `json:"EventErrors"`
		EventWarnings []string  `json:"EventWarnings"`
		Successful    bool      `json:"Successful"`
	}
)

var (
	decimal = regexp.MustCompile(`^-?\d+(\.\d+)?$`)
	money3  = regexp.MustCompile(`^[A-Z]{3}$`)
	guidish = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)
	usState = regexp.MustCompile(`^US-[A-Z]{2}$`)
	ramp    = regexp.MustCompile(`^.{49}$|^.{70}$`)
)

// faults is the first thing that is wrong with an event.
func faults(e anEvent) (code, message string) {
	one := func(a, b *string) bool { return (text(a) == "") != (text(b) == "") }
	switch {
	case !one(e.Adv, e.MerchantID):
		return "InvalidAdvertiser", "exactly one of adv and merchant_id is needed"
	case !one(e.TrackerID, e.UPixelID):
		return "InvalidTag", "exactly one of tracker_id and upixel_id is needed"
	case e.UPixelID != nil && e.Adv == nil:
		return "InvalidAdvertiser", "a universal pixel needs adv"
	case e.UPixelID != nil && text(e.ReferrerURL) == "":
		return "InvalidReferrer", "a universal pixel needs referrer_url"
	case e.TrackerID != nil && text(e.EventName) == "":
		return "InvalidEventName", "a tracker needs event_name"
	case (e.AdID == nil) != (e.AdIDType == nil):
		return "InvalidId", "adid and adid_type go together"
	case e.AdIDType != nil && !slices.Contains([]string{"TDID", "IDFA", "AAID", "DAID", "NAID", "IDL", "EUID", "UID2"}, *e.AdIDType):
		return "InvalidId", "adid_type is unknown"
	case e.Value != nil && !decimal.MatchString(*e.Value):
		return "InvalidValue", "value must be a decimal string"
	case e.Value != nil && e.Currency == nil:
		return "InvalidCurrency", "value needs a currency"
	case e.Currency != nil && !money3.MatchString(*e.Currency):
		return "InvalidCurrency", "currency must be an ISO 4217 code"
	case e.Imp != nil && !guidish.MatchString(*e.Imp):
		return "InvalidImpression", "imp must be a GUID of 36 characters"
	}
	if e.ReferrerURL != nil {
		if u, err := url.Parse(*e.ReferrerURL); err != nil || u.Host == "" {
			return "InvalidReferrer", "referrer_url must be an address"
		}
	}
	if e.ClientIP != nil {
		if _, err := netip.ParseAddr(*e.ClientIP); err != nil {
			return "InvalidIP", "client_ip must be an IP address"
		}
	}
	for _, id := range []*string{e.TDID, e.IDFA, e.AAID, e.DAID, e.NAID} {
		if id != nil && (!guidish.MatchString(*id) || strings.Trim(*id, "0-") == "") {
			return "InvalidId", "an identifier is not a GUID"
		}
	}
	for _, id := range []*string{e.UID2, e.EUID} {
		if b, err := base64.StdEncoding.DecodeString(text(id)); id != nil && (err != nil || len(b) != 32) {
			return "InvalidId", "a raw UID2 or EUID has 44 characters"
		}
	}
	if e.IDL != nil && !ramp.MatchString(*e.IDL) {
		return "InvalidId", "a RampID has 49 or 70 characters"
	}
	for _, i := range e.Items {
		if text(i.Code) == "" {
			return "InvalidItem", "an item needs item_code"
		}
	}
	for _, p := range e.Privacies {
		form := strings.Trim(text(p.Consent), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~") == ""
		if p.Type == nil || p.Consent == nil || len(p.Applicable) == 0 || !form || !slices.Contains([]string{"GDPR", "GPP", "CCPA"}, *p.Type) {
			return "InvalidPrivacySetting", "The request has an invalid privacy setting."
		}
	}
	if p := e.Processing; p != nil && (!slices.Equal(p.Policies, []string{"LDU"}) || !usState.MatchString(p.Region)) {
		return "InvalidDataProcessingOption", "policies must be LDU alone, and region a US state"
	}
	return "", ""
}

package amazon

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// matchKeys are what Amazon may find a person by, at most fifteen. What is
// malformed is left out, since one bad key must not cost the event.
func matchKeys(e event.Event, s settings) []matchKey {
	sub := e.Subject
	phone := sub.PhoneDigits
	if s.PhonePlus {
		phone = sub.PhoneE164
	}
	ip := ""
	if s.MatchIP {
		ip = partner.IP(e.Context.IP)
	}
	var out []matchKey
	for _, k := range []struct{ kind, value string }{
		{"EMAIL", partner.Digest(sub.Email)},
		{"PHONE", partner.Digest(phone)},
		{"FIRST_NAME", partner.Digest(sub.FirstName)},
		{"LAST_NAME", partner.Digest(sub.LastName)},
		{"ADDRESS", partner.Digest(sub.Street)},
		{"CITY", partner.Digest(sub.City)},
		{"STATE", partner.Digest(sub.Region)},
		{"POSTAL", partner.Digest(sub.PostalCode)},
		{"MAID", mobileID(sub.PartnerIDs)},
		{"RAMP_ID", raw(sub.PartnerIDs, "ramp_id", "idl")},
		{"MATCH_ID", raw(sub.PartnerIDs, "match_id")},
		{"REAL_ID", raw(sub.PartnerIDs, "real_id")},
		{"MERKLE_ID", raw(sub.PartnerIDs, "merkle_id")},
		{"KANTAR_ID", raw(sub.PartnerIDs, "kantar_id")},
		{"FIP", ip},
	} {
		if k.value != "" {
			out = append(out, matchKey{k.kind, [1]string{k.value}})
		}
	}
	return out
}

// mobileID is a mobile advertising id of any platform.
func mobileID(in map[string]string) string {
	for _, name := range []string{"maid", "idfa", "aaid", "afai", "daid"} {
		if id := partner.GUID(in[name]); id != "" {
			return id
		}
	}
	return ""
}

func raw(in map[string]string, names ...string) string {
	for _, name := range names {
		if v := partner.Text(in[name], 1024); v != "" {
			return v
		}
	}
	return ""
}

var arefShape = regexp.MustCompile(`^[A-Za-z0-9]{10}\.\d{13}(\|[A-Za-z0-9]{10}\.\d{13})*$`)

// aref are the measurement tokens of the advertisement that was clicked.
func aref(in map[string]string) string {
	if v := in["aref"]; len(v) <= 1024 && arefShape.MatchString(v) {
		return v
	}
	return ""
}

// carries names the keys that a delivery has.
func carries(v jsontext.Value, d event.Delivery) []string {
	s, _ := readSettings(v)
	var out []string
	parts := map[string]bool{}
	for _, k := range matchKeys(d.Event, s) {
		switch k.Type {
		case "FIRST_NAME", "LAST_NAME", "ADDRESS", "CITY", "STATE", "POSTAL":
			parts[k.Type] = true
		default:
			out = append(out, strings.ToLower(k.Type))
		}
	}
	if parts["LAST_NAME"] && parts["POSTAL"] {
		out = append(out, "address")
	} else if len(parts) > 0 {
		out = append(out, "address_part")
	}
	if aref(d.Event.Subject.ClickIDs) != "" {
		out = append(out, "aref")
	}
	return out
}

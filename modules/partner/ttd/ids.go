package ttd

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// ids are a visitor's identifiers in the newer form, several at once.
type ids struct {
	TDID      string `json:"tdid,omitempty"`
	UID2      string `json:"uid2,omitempty"`
	UID2Token string `json:"uid2_token,omitempty"`
	EUID      string `json:"euid,omitempty"`
	EUIDToken string `json:"euid_token,omitempty"`
	IDL       string `json:"idl,omitempty"`
	IDFA      string `json:"idfa,omitempty"`
	AAID      string `json:"aaid,omitempty"`
	DAID      string `json:"daid,omitempty"`
	NAID      string `json:"naid,omitempty"`
}

// readIDs takes what is well formed; the rest is left out, since one bad
// identifier must not cost the event.
func readIDs(s event.Subject) ids {
	in := s.PartnerIDs
	out := ids{
		TDID:      partner.GUID(in["tdid"]),
		UID2:      rawUID(in["uid2"], s),
		UID2Token: token(in["uid2_token"]),
		EUID:      rawUID(in["euid"], s),
		EUIDToken: token(in["euid_token"]),
		IDL:       rampID(in["idl"]),
		IDFA:      partner.GUID(in["idfa"]),
		AAID:      partner.GUID(in["aaid"]),
		DAID:      partner.GUID(in["daid"]),
		NAID:      partner.GUID(in["naid"]),
	}
	if out.DAID == "" && out.IDFA == "" && out.AAID == "" && out.NAID == "" {
		// A mobile id of no known platform.
		out.DAID = partner.GUID(in["maid"])
	}
	return out
}

// rawUID is a raw UID2 or EUID: the base64 of 32 bytes. A digest of contact
// data has the same shape when somebody puts it there; ours are recognised.
func rawUID(v string, s event.Subject) string {
	if len(v) != 44 {
		return ""
	}
	b, err := base64.StdEncoding.Strict().DecodeString(v)
	if err != nil || len(b) != 32 {
		return ""
	}
	switch hex.EncodeToString(b) {
	case s.Email, s.EmailGoogle, s.PhoneE164, s.PhoneDigits:
		return ""
	}
	return v
}

var (
	tokenShape = regexp.MustCompile(`^[A-Za-z0-9+/=_-]+$`)
	rampShape  = regexp.MustCompile(`^([A-Za-z0-9_-]{49}|[A-Za-z0-9_-]{70})$`)
)

// token is an advertising token, which is far longer than any digest.
func token(v string) string {
	if len(v) < 80 || len(v) > 2048 || !tokenShape.MatchString(v) {
		return ""
	}
	return v
}

func rampID(v string) string {
	if !rampShape.MatchString(v) {
		return ""
	}
	return v
}

// typed is an identifier with its kind at the older form and its code at the
// offline call; "" where that has none.
type typed struct{ kind, code, id string }

// list holds the identifiers that are there, the best first.
func (i ids) list() []typed {
	var out []typed
	for _, t := range []typed{
		{"UID2", "2", i.UID2},
		{"EUID", "4", i.EUID},
		{"TDID", "0", i.TDID},
		{"IDL", "6", i.IDL},
		{"IDFA", "1", i.IDFA},
		{"AAID", "1", i.AAID},
		{"DAID", "1", i.DAID},
		{"NAID", "1", i.NAID},
		{"", "3", i.UID2Token},
		{"", "5", i.EUIDToken},
	} {
		if t.id != "" {
			out = append(out, t)
		}
	}
	return out
}

// carries names the keys that a delivery has.
func carries(_ jsontext.Value, d event.Delivery) []string {
	i := readIDs(d.Event.Subject)
	p, _ := readParams(d.Params)
	var out []string
	for _, k := range []struct {
		name string
		has  bool
	}{
		{"uid2", i.UID2 != "" || i.UID2Token != ""},
		{"euid", i.EUID != "" || i.EUIDToken != ""},
		{"tdid", i.TDID != ""},
		{"idl", i.IDL != ""},
		{"mobile_id", i.IDFA != "" || i.AAID != "" || i.DAID != "" || i.NAID != ""},
		{"impression", impression(d.Event, p) != ""},
		{"ip", partner.IP(d.Event.Context.IP) != ""},
	} {
		if k.has {
			out = append(out, k.name)
		}
	}
	return out
}

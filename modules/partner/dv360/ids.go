package dv360

import (
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// identifier is the one thing that a conversion is found by. Google takes exactly
// one; contact data adds to it and never replaces it.
type identifier struct {
	kind   string
	value  string
	values []string // of encryptedUserIdCandidates
}

// maxCandidates is ours: Google states no number.
const maxCandidates = 10

var clickID = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,1000}$`)

func click(e event.Event, name string) string {
	if v := e.Subject.ClickIDs[name]; clickID.MatchString(v) {
		return v
	}
	return ""
}

func partnerID(e event.Event, names ...string) string {
	for _, name := range names {
		if v := partner.Text(e.Subject.PartnerIDs[name], 512); v != "" {
			return v
		}
	}
	return ""
}

// matchID is the advertiser's own id, which a Floodlight tag was given before.
func matchID(e event.Event, p params) string {
	switch p.MatchIDFrom {
	case "user_id":
		return partner.Text(e.Subject.UserID, 512)
	case "order_id":
		if strings.HasPrefix(e.Order.ID, "anon_") {
			return "" // a pseudonym, where consent is for less: the tag was given another
		}
		return partner.Text(e.Order.ID, 512)
	}
	return partnerID(e, "match_id")
}

func mobileID(e event.Event) string {
	for _, name := range []string{"maid", "idfa", "aaid"} {
		if v := partner.GUID(e.Subject.PartnerIDs[name]); v != "" {
			return v
		}
	}
	return ""
}

// identify chooses the identifier, the surest first; none where its kind is "".
func identify(e event.Event, s settings, p params) identifier {
	if p.Operation == enhance {
		// The tag was given no other.
		if v := matchID(e, p); v != "" {
			return identifier{kind: "matchId", value: v}
		}
		return identifier{}
	}
	names := []string{"dclid"}
	if s.UseGclid {
		names = append(names, "gclid")
		if s.API == apiDataManager {
			names = append(names, "gbraid", "wbraid")
		}
	}
	for _, name := range names {
		if v := click(e, name); v != "" {
			return identifier{kind: name, value: v}
		}
	}
	for _, id := range []identifier{
		{kind: "matchId", value: matchID(e, p)},
		{kind: "impressionId", value: partnerID(e, "impression_id", "dcm_impression_id")},
		{kind: "mobileDeviceId", value: mobileID(e)},
	} {
		if id.value != "" {
			return id
		}
	}
	if p.EncryptionType == "" {
		return identifier{}
	}
	if v := partnerID(e, "encrypted_user_id"); v != "" {
		return identifier{kind: "encryptedUserId", value: v}
	}
	if p.EncryptionSource != "DATA_TRANSFER" {
		return identifier{}
	}
	if list := candidates(e); len(list) > 0 {
		return identifier{kind: "encryptedUserIdCandidates", values: list}
	}
	return identifier{}
}

// candidates are the encrypted user ids of a data transfer, parted by commas.
func candidates(e event.Event) []string {
	var out []string
	for v := range strings.SplitSeq(e.Subject.PartnerIDs["encrypted_user_id_candidates"], ",") {
		if v = partner.Text(v, 512); v != "" && len(out) < maxCandidates {
			out = append(out, v)
		}
	}
	return out
}

// contact is what Google may find a person by beside the identifier.
type contact struct {
	email, phone                string
	firstName, lastName, street string
	place                       event.Locality
	country                     string
}

// contactOf takes the digests that follow the rule of the API that is set.
func contactOf(sub event.Subject, s settings) contact {
	first := func(digests ...string) string {
		for _, d := range digests {
			if d = partner.Digest(d); d != "" {
				return d
			}
		}
		return ""
	}
	c := contact{
		email:     first(sub.EmailGoogle),
		phone:     first(sub.PhoneE164),
		firstName: first(sub.FirstNameGoogle, sub.FirstName),
		lastName:  first(sub.LastNameGoogle, sub.LastName),
		street:    first(sub.StreetGoogle, sub.Street),
		country:   partner.Country(sub.Country),
		place: event.Locality{
			City: partner.Text(sub.Locality.City, 64), Region: partner.Text(sub.Locality.Region, 64), PostalCode: partner.Text(sub.Locality.PostalCode, 64),
		},
	}
	if s.API == apiCM360 {
		c.email = first(sub.EmailCM360, sub.EmailGoogle)
	}
	return c
}

// address reports whether there is enough of one for Google.
func (c contact) address() bool {
	return c.firstName != "" && c.lastName != "" && c.country != "" && c.place.PostalCode != ""
}

func (c contact) empty() bool { return c.email == "" && c.phone == "" && !c.address() }

// carries names the keys that a delivery has and the API that is set can use.
func carries(v jsontext.Value, d event.Delivery) []string {
	s, _ := readSettings(v)
	p, _ := readParams(d.Params)
	e, c := d.Event, contactOf(d.Event.Subject, s)
	clicks := p.Operation != enhance
	google := click(e, "gclid") != "" || s.API == apiDataManager && (click(e, "gbraid") != "" || click(e, "wbraid") != "")
	contacts := s.API == apiDataManager || s.InsertIdentifiers || !clicks
	encrypted := p.EncryptionType != "" && (partnerID(e, "encrypted_user_id") != "" ||
		p.EncryptionSource == "DATA_TRANSFER" && len(candidates(e)) > 0)
	var out []string
	for _, k := range []struct {
		name string
		has  bool
	}{
		{"dclid", clicks && click(e, "dclid") != ""},
		{"gclid", clicks && s.UseGclid && google},
		{"match_id", matchID(e, p) != ""},
		{"impression_id", clicks && partnerID(e, "impression_id", "dcm_impression_id") != ""},
		{"mobile_id", clicks && mobileID(e) != ""},
		{"encrypted_user_id", clicks && encrypted},
		{"email", contacts && c.email != ""},
		{"phone", contacts && c.phone != ""},
		{"address", contacts && c.address()},
	} {
		if k.has {
			out = append(out, k.name)
		}
	}
	return out
}

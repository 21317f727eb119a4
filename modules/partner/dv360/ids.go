package dv360

import (
	"regexp"
	"strings"

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
	id := identifier{kind: "encryptedUserIdCandidates"}
	for v := range strings.SplitSeq(e.Subject.PartnerIDs["encrypted_user_id_candidates"], ",") {
		if v = partner.Text(v, 512); v != "" && len(id.values) < maxCandidates {
			id.values = append(id.values, v)
		}
	}
	if len(id.values) == 0 {
		return identifier{}
	}
	return id
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

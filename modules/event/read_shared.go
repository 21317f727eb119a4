package event

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// member is where a member of an object goes.
type member struct {
	name string
	to   any // a pointer to what value can read
}

// object reads an object that has no members but those. One loop for all of them is a
// tenth of the instructions that a switch for each kind of object is: most are read but
// once for a request, and it is the fetching of instructions that takes the time.
func (r *Reader) object(members ...member) {
	var seen once
	at := 0
	for more := r.open('{', '}'); more; more = r.next('}') {
		name := r.name()
		// Programs write them in one order, so that it is mostly the one after the last.
		for n := 0; ; n++ {
			if n == len(members) {
				r.fail()
				return
			}
			if at == len(members) {
				at = 0
			}
			if members[at].name == name {
				break
			}
			at++
		}
		r.know(&seen, at)
		if to, ok := members[at].to.(*string); ok {
			*to = r.text()
		} else {
			r.value(members[at].to)
		}
		at++
	}
}

// own is a string that is likely to be kept in a cache, which must not keep the whole body
// with it.
type own string

// value reads what is no string, or no ordinary one.
func (r *Reader) value(to any) {
	switch to := to.(type) {
	case *own:
		*to = own(strings.Clone(r.text()))
	case *int:
		*to = r.count()
	case *bool:
		*to = r.boolean()
	case **bool:
		b := r.boolean()
		*to = &b
	case *[]int:
		r.sections(to)
	case *map[string]string:
		*to = r.table()
	case *Consent:
		r.object(
			member{"gdpr_applies", &to.GDPRApplies}, member{"tcf", (*own)(&to.TCF)}, member{"gpp", (*own)(&to.GPP)}, member{"gpp_sid", &to.GPPSID},
			member{"us_privacy", &to.USPrivacy}, member{"addtl_consent", (*own)(&to.AddtlConsent)}, member{"gpc", &to.GPC}, member{"gcm", &to.GCM},
			member{"state", (*string)(&to.State)})
	case *ConsentMode:
		r.object(
			member{"ad_storage", &to.AdStorage}, member{"ad_user_data", &to.AdUserData},
			member{"ad_personalization", &to.AdPersonalization}, member{"analytics_storage", &to.AnalyticsStorage})
	case *Identity:
		r.object(
			member{"anonymous_id", &to.AnonymousID}, member{"user_id", &to.UserID}, member{"email", &to.Email}, member{"phone", &to.Phone},
			member{"email_sha256", &to.EmailSHA256}, member{"phone_sha256", &to.PhoneSHA256}, member{"address", &to.Address},
			member{"click_ids", &to.ClickIDs}, member{"partner_ids", &to.PartnerIDs})
	case *Address:
		r.object(
			member{"first_name", &to.FirstName}, member{"last_name", &to.LastName}, member{"street", &to.Street}, member{"city", &to.City},
			member{"region", &to.Region}, member{"postal_code", &to.PostalCode}, member{"country", &to.Country})
	case *Context:
		r.object(
			member{"page", &to.Page}, member{"locale", &to.Locale}, member{"timezone", &to.Timezone}, member{"screen", &to.Screen},
			member{"sdk", &to.SDK}, member{"touch", &to.Touch}, member{"tab", &to.Tab})
	case *Page:
		r.object(member{"url", &to.URL}, member{"referrer", &to.Referrer}, member{"title", &to.Title})
	case *Screen:
		r.object(member{"width", &to.Width}, member{"height", &to.Height})
	case *SDK:
		r.object(member{"name", &to.Name}, member{"version", &to.Version})
	case *Touches:
		r.object(member{"first", &to.First}, member{"last", &to.Last})
	case *Touch:
		r.object(member{"time", &to.Time}, member{"referrer", &to.Referrer}, member{"params", &to.Params})
	case *[]Incoming:
		r.list()
	case *jsontext.Value:
		r.properties()
	default:
		panic("a member of a kind that nothing reads")
	}
}

// sections reads numbers.
func (r *Reader) sections(to *[]int) {
	*to = []int{}
	for more := r.open('[', ']'); more; more = r.next(']') {
		if len(*to) > maxSections {
			r.fail()
			return
		}
		*to = append(*to, r.count())
	}
}

// table reads an object of strings.
func (r *Reader) table() map[string]string {
	m := map[string]string{}
	for more := r.open('{', '}'); more; more = r.next('}') {
		name := r.name()
		if _, twice := m[name]; twice || len(m) == maxNames {
			r.fail()
			break
		}
		m[name] = r.text()
	}
	return m
}

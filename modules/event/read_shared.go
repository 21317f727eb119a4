package event

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// member is where a member of an object goes.
type member struct {
	name string // as it is written: with quotation marks and a colon
	to   any    // a pointer to what value can read
}

// object reads an object that has no members but those.
func (r *Reader) object(known ...member) { r.members(known, false) }

// members reads an object. Those that are not known are skipped if they may be there. What
// is not ok is valid, and has to be read by ParseOrder.
func (r *Reader) members(known []member, others bool) (ok bool) {
	ok = true
	var seen once
	base := len(r.names)
	at := 0
	for more := r.open('{', '}'); more; more = r.next('}') {
		i := r.find(known, at)
		if i < 0 {
			name := r.name()
			i = slices.IndexFunc(known, func(m member) bool { return m.name[1:len(m.name)-2] == name })
			if i < 0 {
				if !others {
					r.fail()
					break
				}
				r.fresh(base, name)
				r.skip()
				continue
			}
		}
		r.know(&seen, i)
		if to, is := known[i].to.(*string); is {
			*to = r.text()
		} else {
			ok = r.value(known[i].to) && ok
		}
		at = i + 1
	}
	r.names = r.names[:base]
	return ok
}

// find takes the name of a member if it is one that is known and written without white
// space. Programs write them in one order, so that it mostly comes soon after the last.
func (r *Reader) find(known []member, after int) int {
	rest := r.s[r.i:]
	for range known {
		if after == len(known) {
			after = 0
		}
		if strings.HasPrefix(rest, known[after].name) {
			r.i += len(known[after].name)
			return after
		}
		after++
	}
	return -1
}

// The strings that are read in another way than most.
type (
	own   string // is likely to be kept in a cache, which must not keep the whole body with it
	label string // may be a number
	code  string // is skipped if it is none
)

// value reads what is no usual string.
func (r *Reader) value(to any) (ok bool) {
	ok = true
	switch to := to.(type) {
	case *own:
		*to = own(strings.Clone(r.text()))
	case *label:
		*(*string)(to), ok = r.label()
	case *Amount:
		*to, ok = r.amount()
	case *code:
		if ok = r.peek() == '"'; ok {
			*to = code(r.text())
		} else {
			r.skip()
		}
	case *[]Item:
		*to, ok = r.lines()
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
		r.consent(to)
	case *ConsentMode:
		r.consentMode(to)
	case *Identity:
		r.identity(to)
	case *Address:
		r.address(to)
	case *Context:
		r.context(to)
	case *Page:
		r.page(to)
	case *Screen:
		r.screen(to)
	case *SDK:
		r.sdk(to)
	case *Touches:
		r.touches(to)
	case *Touch:
		r.touch(to)
	case *[]Incoming:
		r.list()
	case *jsontext.Value:
		r.properties()
	default:
		panic("a member of a kind that nothing reads")
	}
	return ok
}

func (r *Reader) consent(c *Consent) {
	r.object(
		member{`"gdpr_applies":`, &c.GDPRApplies}, member{`"tcf":`, (*own)(&c.TCF)}, member{`"gpp":`, (*own)(&c.GPP)}, member{`"gpp_sid":`, &c.GPPSID},
		member{`"us_privacy":`, &c.USPrivacy}, member{`"addtl_consent":`, (*own)(&c.AddtlConsent)}, member{`"gpc":`, &c.GPC}, member{`"gcm":`, &c.GCM},
		member{`"state":`, (*string)(&c.State)})
}

func (r *Reader) consentMode(m *ConsentMode) {
	r.object(
		member{`"ad_storage":`, &m.AdStorage}, member{`"ad_user_data":`, &m.AdUserData},
		member{`"ad_personalization":`, &m.AdPersonalization}, member{`"analytics_storage":`, &m.AnalyticsStorage})
}

func (r *Reader) identity(i *Identity) {
	r.object(
		member{`"anonymous_id":`, &i.AnonymousID}, member{`"user_id":`, &i.UserID}, member{`"email":`, &i.Email}, member{`"phone":`, &i.Phone},
		member{`"email_sha256":`, &i.EmailSHA256}, member{`"phone_sha256":`, &i.PhoneSHA256}, member{`"address":`, &i.Address},
		member{`"click_ids":`, &i.ClickIDs}, member{`"partner_ids":`, &i.PartnerIDs})
}

func (r *Reader) address(a *Address) {
	r.object(
		member{`"first_name":`, &a.FirstName}, member{`"last_name":`, &a.LastName}, member{`"street":`, &a.Street}, member{`"city":`, &a.City},
		member{`"region":`, &a.Region}, member{`"postal_code":`, &a.PostalCode}, member{`"country":`, &a.Country})
}

func (r *Reader) context(c *Context) {
	r.object(
		member{`"page":`, &c.Page}, member{`"locale":`, &c.Locale}, member{`"timezone":`, &c.Timezone}, member{`"screen":`, &c.Screen},
		member{`"sdk":`, &c.SDK}, member{`"touch":`, &c.Touch}, member{`"tab":`, &c.Tab})
}

func (r *Reader) page(p *Page) {
	r.object(member{`"url":`, &p.URL}, member{`"referrer":`, &p.Referrer}, member{`"title":`, &p.Title})
}

func (r *Reader) screen(s *Screen) {
	r.object(member{`"width":`, &s.Width}, member{`"height":`, &s.Height})
}

func (r *Reader) sdk(s *SDK) {
	r.object(member{`"name":`, &s.Name}, member{`"version":`, &s.Version})
}

func (r *Reader) touches(t *Touches) {
	r.object(member{`"first":`, &t.First}, member{`"last":`, &t.Last})
}

func (r *Reader) touch(t *Touch) {
	r.object(member{`"time":`, &t.Time}, member{`"referrer":`, &t.Referrer}, member{`"params":`, &t.Params})
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

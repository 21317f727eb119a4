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
func (r *Reader) object(known ...member) bool { return r.members(known, false) }

// members reads an object. Those that are not known are skipped if they may be there. What
// is not ok is valid, and has to be read by ParseOrder.
//
// One loop for all kinds of objects is a tenth of the instructions that a switch for each
// would be; and most of them would be fetched but once for a request, which takes longer
// than to execute them.
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
		r.object(
			member{`"gdpr_applies":`, &to.GDPRApplies}, member{`"tcf":`, (*own)(&to.TCF)}, member{`"gpp":`, (*own)(&to.GPP)}, member{`"gpp_sid":`, &to.GPPSID},
			member{`"us_privacy":`, &to.USPrivacy}, member{`"addtl_consent":`, (*own)(&to.AddtlConsent)}, member{`"gpc":`, &to.GPC}, member{`"gcm":`, &to.GCM},
			member{`"state":`, (*string)(&to.State)})
	case *ConsentMode:
		r.object(
			member{`"ad_storage":`, &to.AdStorage}, member{`"ad_user_data":`, &to.AdUserData},
			member{`"ad_personalization":`, &to.AdPersonalization}, member{`"analytics_storage":`, &to.AnalyticsStorage})
	case *Identity:
		r.object(
			member{`"anonymous_id":`, &to.AnonymousID}, member{`"user_id":`, &to.UserID}, member{`"email":`, &to.Email}, member{`"phone":`, &to.Phone},
			member{`"email_sha256":`, &to.EmailSHA256}, member{`"phone_sha256":`, &to.PhoneSHA256}, member{`"address":`, &to.Address},
			member{`"click_ids":`, &to.ClickIDs}, member{`"partner_ids":`, &to.PartnerIDs})
	case *Address:
		r.object(
			member{`"first_name":`, &to.FirstName}, member{`"last_name":`, &to.LastName}, member{`"street":`, &to.Street}, member{`"city":`, &to.City},
			member{`"region":`, &to.Region}, member{`"postal_code":`, &to.PostalCode}, member{`"country":`, &to.Country})
	case *Context:
		r.object(
			member{`"page":`, &to.Page}, member{`"locale":`, &to.Locale}, member{`"timezone":`, &to.Timezone}, member{`"screen":`, &to.Screen},
			member{`"sdk":`, &to.SDK}, member{`"touch":`, &to.Touch}, member{`"tab":`, &to.Tab})
	case *Page:
		r.object(member{`"url":`, &to.URL}, member{`"referrer":`, &to.Referrer}, member{`"title":`, &to.Title})
	case *Screen:
		r.object(member{`"width":`, &to.Width}, member{`"height":`, &to.Height})
	case *SDK:
		r.object(member{`"name":`, &to.Name}, member{`"version":`, &to.Version})
	case *Touches:
		r.object(member{`"first":`, &to.First}, member{`"last":`, &to.Last})
	case *Touch:
		r.object(member{`"time":`, &to.Time}, member{`"referrer":`, &to.Referrer}, member{`"params":`, &to.Params})
	case *[]Incoming:
		r.list()
	case *jsontext.Value:
		r.properties()
	default:
		panic("a member of a kind that nothing reads")
	}
	return ok
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

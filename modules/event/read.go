package event

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Reader reads envelopes in one pass over the body, which costs a tenth of what
// the json package takes. It keeps its memory for the next one, so what it has
// read is only good until then. What its scanner finds unusual, it leaves to
// DecodeEnvelope and Incoming.Decode; so those alone say what is wrong.
type Reader struct {
	scanner

	body   []byte
	marked bool // anything in it may be of a person
	events []Incoming
	items  []Item
}

// Read reads an envelope with at most maxEvents events. Its error is that of
// DecodeEnvelope. The body must not change while env is in use.
func (r *Reader) Read(body []byte, maxEvents int, env *Envelope) ([]Incoming, error) {
	if err := r.quick(body, maxEvents, env); err == nil || !errors.Is(err, errUnusual) {
		return r.events, err
	}
	raw, err := DecodeEnvelope(body, maxEvents)
	*env = raw
	if err != nil {
		return nil, err
	}
	r.events = r.events[:0]
	for _, v := range raw.Events {
		var in Incoming
		in.Fault = in.Decode(v)
		r.events = append(r.events, in)
	}
	return r.events, nil
}

// Forget lets go of what was read last.
func (r *Reader) Forget() {
	clear(r.events[:cap(r.events)])
	clear(r.items[:cap(r.items)])
	clear(r.names[:cap(r.names)])
	*r = Reader{scanner: scanner{names: r.names[:0]}, events: r.events[:0], items: r.items[:0]}
	const kept = 512 // of a few large envelopes no memory should remain
	if cap(r.events) > kept || cap(r.items) > kept {
		*r = Reader{}
	}
}

var errUnusual = errors.New("not as programs write it")

func (r *Reader) quick(body []byte, maxEvents int, env *Envelope) error {
	// One string for all: whoever keeps a part of it keeps all of it.
	text := string(body)
	if !utf8.ValidString(text) {
		return errUnusual
	}
	r.scanner = scanner{s: text, names: r.names[:0]}
	r.body, r.marked, r.events, r.items = body, marked(body), r.events[:0], r.items[:0]
	*env = Envelope{}
	sent := r.envelope(env, maxEvents)
	if r.peek(); r.bad || r.i != len(r.s) {
		return errUnusual
	}
	return env.complete(sent, len(r.events))
}

// envelope reads what wire is, and returns sent_at.
func (r *Reader) envelope(env *Envelope, maxEvents int) (sent string) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "pixel_id":
			r.know(&seen, 0)
			env.PixelID = r.text()
		case "sent_at":
			r.know(&seen, 1)
			sent = r.text()
		case "consent":
			r.know(&seen, 2)
			r.consent(&env.Consent)
		case "identity":
			r.know(&seen, 3)
			r.identity(&env.Identity)
		case "context":
			r.know(&seen, 4)
			r.context(&env.Context)
		case "events":
			r.know(&seen, 5)
			outside := r.depth
			for more := r.open('[', ']'); more; more = r.next(']') {
				if len(r.events) == maxEvents {
					r.fail()
					break
				}
				inside := r.depth
				r.depth = 0 // an event's depth is its own
				r.event()
				r.depth = inside
			}
			r.depth = outside
		default:
			r.fail()
		}
	}
	return sent
}

func (r *Reader) consent(c *Consent) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "gdpr_applies":
			r.know(&seen, 0)
			applies := r.boolean()
			c.GDPRApplies = &applies
		case "tcf":
			r.know(&seen, 1)
			c.TCF = r.own()
		case "gpp":
			r.know(&seen, 2)
			c.GPP = r.own()
		case "gpp_sid":
			r.know(&seen, 3)
			c.GPPSID = []int{}
			for more := r.open('[', ']'); more; more = r.next(']') {
				if len(c.GPPSID) > maxSections {
					r.fail()
					break
				}
				c.GPPSID = append(c.GPPSID, r.count())
			}
		case "us_privacy":
			r.know(&seen, 4)
			c.USPrivacy = r.text()
		case "addtl_consent":
			r.know(&seen, 5)
			c.AddtlConsent = r.own()
		case "gpc":
			r.know(&seen, 6)
			c.GPC = r.boolean()
		case "gcm":
			r.know(&seen, 7)
			r.consentMode(&c.GCM)
		case "state":
			r.know(&seen, 8)
			c.State = State(r.text())
		default:
			r.fail()
		}
	}
}

// own reads a string that is likely to be kept in a cache, which must not keep
// the whole body with it.
func (r *Reader) own() string { return strings.Clone(r.text()) }

func (r *Reader) consentMode(m *ConsentMode) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "ad_storage":
			r.know(&seen, 0)
			m.AdStorage = r.text()
		case "ad_user_data":
			r.know(&seen, 1)
			m.AdUserData = r.text()
		case "ad_personalization":
			r.know(&seen, 2)
			m.AdPersonalization = r.text()
		case "analytics_storage":
			r.know(&seen, 3)
			m.AnalyticsStorage = r.text()
		default:
			r.fail()
		}
	}
}

func (r *Reader) identity(i *Identity) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "anonymous_id":
			r.know(&seen, 0)
			i.AnonymousID = r.text()
		case "user_id":
			r.know(&seen, 1)
			i.UserID = r.text()
		case "email":
			r.know(&seen, 2)
			i.Email = r.text()
		case "phone":
			r.know(&seen, 3)
			i.Phone = r.text()
		case "email_sha256":
			r.know(&seen, 4)
			i.EmailSHA256 = r.text()
		case "phone_sha256":
			r.know(&seen, 5)
			i.PhoneSHA256 = r.text()
		case "address":
			r.know(&seen, 6)
			r.address(&i.Address)
		case "click_ids":
			r.know(&seen, 7)
			i.ClickIDs = r.table()
		case "partner_ids":
			r.know(&seen, 8)
			i.PartnerIDs = r.table()
		default:
			r.fail()
		}
	}
}

func (r *Reader) address(a *Address) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "first_name":
			r.know(&seen, 0)
			a.FirstName = r.text()
		case "last_name":
			r.know(&seen, 1)
			a.LastName = r.text()
		case "street":
			r.know(&seen, 2)
			a.Street = r.text()
		case "city":
			r.know(&seen, 3)
			a.City = r.text()
		case "region":
			r.know(&seen, 4)
			a.Region = r.text()
		case "postal_code":
			r.know(&seen, 5)
			a.PostalCode = r.text()
		case "country":
			r.know(&seen, 6)
			a.Country = r.text()
		default:
			r.fail()
		}
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

func (r *Reader) context(c *Context) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "page":
			r.know(&seen, 0)
			r.page(&c.Page)
		case "locale":
			r.know(&seen, 1)
			c.Locale = r.text()
		case "timezone":
			r.know(&seen, 2)
			c.Timezone = r.text()
		case "screen":
			r.know(&seen, 3)
			var there once
			for more := r.open('{', '}'); more; more = r.next('}') {
				switch r.name() {
				case "width":
					r.know(&there, 0)
					c.Screen.Width = r.count()
				case "height":
					r.know(&there, 1)
					c.Screen.Height = r.count()
				default:
					r.fail()
				}
			}
		case "sdk":
			r.know(&seen, 4)
			var there once
			for more := r.open('{', '}'); more; more = r.next('}') {
				switch r.name() {
				case "name":
					r.know(&there, 0)
					c.SDK.Name = r.text()
				case "version":
					r.know(&there, 1)
					c.SDK.Version = r.text()
				default:
					r.fail()
				}
			}
		case "tab":
			r.know(&seen, 5)
			c.Tab = r.text()
		case "touch":
			r.know(&seen, 6)
			var there once
			for more := r.open('{', '}'); more; more = r.next('}') {
				switch r.name() {
				case "first":
					r.know(&there, 0)
					r.touch(&c.Touch.First)
				case "last":
					r.know(&there, 1)
					r.touch(&c.Touch.Last)
				default:
					r.fail()
				}
			}
		default:
			r.fail()
		}
	}
}

func (r *Reader) touch(t *Touch) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "time":
			r.know(&seen, 0)
			t.Time = r.text()
		case "referrer":
			r.know(&seen, 1)
			t.Referrer = r.text()
		case "params":
			r.know(&seen, 2)
			t.Params = r.table()
		default:
			r.fail()
		}
	}
}

func (r *Reader) page(p *Page) {
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "url":
			r.know(&seen, 0)
			p.URL = r.text()
		case "referrer":
			r.know(&seen, 1)
			p.Referrer = r.text()
		case "title":
			r.know(&seen, 2)
			p.Title = r.text()
		default:
			r.fail()
		}
	}
}

// event reads one event, and the order in it.
func (r *Reader) event() {
	r.peek()
	from := r.i
	r.events = append(r.events, Incoming{})
	in := &r.events[len(r.events)-1]
	var seen once
	for more := r.open('{', '}'); more; more = r.next('}') {
		switch r.name() {
		case "id":
			r.know(&seen, 0)
			in.ID = r.text()
		case "name":
			r.know(&seen, 1)
			in.Name = r.text()
		case "time":
			r.know(&seen, 2)
			in.Time = r.text()
		case "seq":
			r.know(&seen, 4)
			in.Seq = r.count()
		case "properties":
			r.know(&seen, 3)
			if r.peek() != '{' {
				r.fail()
				break
			}
			begin := r.i
			r.plain, r.personal = true, false
			r.properties(in)
			in.compact, in.named, in.unmarked = r.plain, r.personal, r.plain && !r.marked
			in.Properties = jsontext.Value(r.body[begin:r.i:r.i])
		default:
			r.fail()
		}
	}
	in.Raw = jsontext.Value(r.body[from:r.i:r.i])
	if len(in.Raw) > MaxEventBytes {
		r.fail()
	}
	in.Fault = in.Check()
}

// properties reads what orderFields is, and checks all the rest.
func (r *Reader) properties(in *Incoming) {
	in.orderRead = true
	base := len(r.names)
	for more := r.open('{', '}'); more; more = r.next('}') {
		name := r.name()
		r.fresh(base, name)
		ok := true
		switch name {
		case "order_id":
			in.order.OrderID, ok = r.label()
		case "transaction_id":
			in.order.TransactionID, ok = r.label()
		case "value":
			in.order.Value, ok = r.amount()
		case "currency":
			if ok = r.peek() == '"'; ok {
				in.order.Currency = r.text()
			} else {
				r.skip()
			}
		case "items":
			in.order.Items, ok = r.lines()
		default:
			r.skip()
		}
		in.orderRead = in.orderRead && ok
	}
	r.names = r.names[:base]
}

// lines reads the items of an order. What is not ok is valid, and has to be read
// by ParseOrder.
func (r *Reader) lines() (_ []Item, ok bool) {
	if r.peek() != '[' {
		r.skip()
		return nil, false
	}
	ok = true
	first := len(r.items)
	for more := r.open('[', ']'); more; more = r.next(']') {
		if r.peek() != '{' || len(r.items)-first > maxItems {
			r.skip()
			ok = false
			continue
		}
		r.items = append(r.items, Item{})
		ok = r.line(&r.items[len(r.items)-1]) && ok
	}
	return r.items[first:len(r.items):len(r.items)], ok
}

func (r *Reader) line(item *Item) bool {
	all := true
	base := len(r.names)
	for more := r.open('{', '}'); more; more = r.next('}') {
		name := r.name()
		r.fresh(base, name)
		ok := true
		switch name {
		case "item_id":
			item.ID, ok = r.label()
		case "item_name":
			item.Name, ok = r.label()
		case "item_brand":
			item.Brand, ok = r.label()
		case "item_category":
			item.Category, ok = r.label()
		case "price":
			item.Price, ok = r.amount()
		case "quantity":
			item.Quantity, ok = r.amount()
		default:
			r.skip()
		}
		all = all && ok
	}
	r.names = r.names[:base]
	return all
}

// label reads what text is: a string, or a number by its digits.
func (r *Reader) label() (string, bool) {
	switch c := r.peek(); {
	case c == '"':
		return r.text(), true
	case c == '-' || c >= '0' && c <= '9':
		return r.number(), true
	}
	r.skip()
	return "", false
}

func (r *Reader) amount() (Amount, bool) {
	s, ok := r.label()
	if !ok || r.bad {
		return "", false
	}
	a, err := ParseAmount(s)
	return a, err == nil
}

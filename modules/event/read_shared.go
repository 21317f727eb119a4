package event

import "strings"

// What the events of an envelope share.

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

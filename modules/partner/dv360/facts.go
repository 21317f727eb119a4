package dv360

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	maxVariable = 100
	maxKey      = 128
)

// facts are what both APIs say of an event.
type facts struct {
	params   params
	at       time.Time
	key      string // what repeats are known by
	id       identifier
	contact  contact
	quantity int64
	value    string // a JSON number; "" where there is none
	currency string // of the value, "" where it is not told
	rate     *big.Rat
	consent  signals
	vars     []variable
}

type variable struct{ name, value string }

// signals are the consent that crosses the wire: "granted", "denied", or "" where
// no law asks and nobody said.
type signals struct {
	userData, personalization string
	limited                   bool
}

// gather checks and collects what both APIs say of a delivery.
func gather(d event.Delivery, s settings, now time.Time) (facts, *partner.Result) {
	e := d.Event
	p, err := readParams(d.Params)
	if err == nil {
		err = p.check(s)
	}
	if err != nil {
		return facts{}, partner.Refuse(d, event.Rejected, "bad_route", err.Error())
	}
	f := facts{params: p, at: partner.Happened(e), id: identify(e, s, p), contact: contactOf(e.Subject, s)}
	var no *partner.Result
	if f.consent, no = consentOf(d, p); no != nil {
		return f, no
	}
	if f.key = partner.Text(e.Order.ID, maxKey); f.key == "" {
		f.key = partner.Text(e.ID, maxKey)
	}
	age := time.Duration(s.MaxAgeDays) * day
	if s.API == apiCM360 {
		age = 28 * day
	}
	switch {
	case f.key == "" || f.at.IsZero():
		return f, partner.Refuse(d, event.Rejected, "incomplete", "the event has no id or no time")
	case now.Sub(f.at) > age:
		return f, partner.Refuse(d, event.Rejected, "too_old", fmt.Sprintf("the event is older than the %d days that Google takes", age/day))
	case f.at.Sub(now) > time.Minute:
		return f, partner.Refuse(d, event.Rejected, "in_the_future", "the event's time is in the future, which Google refuses")
	case f.id.kind == "" && p.Operation == enhance:
		return f, partner.Refuse(d, event.NotSent, "no_match_id", "not sent: contact data amends a conversion by the match id that its Floodlight tag was given, and the event carries none")
	case f.id.kind == "" && !f.contact.empty():
		return f, partner.Refuse(d, event.NotSent, "no_identifier", "not sent: contact data alone is not enough for a Floodlight conversion; it needs a click id, a match id, an impression id or a device id")
	case f.id.kind == "":
		return f, partner.Refuse(d, event.NotSent, "no_key", "not sent: the event carries nothing that Google could find it by")
	}
	if f.quantity = partner.Units(e.Order.Items); f.quantity == 0 {
		f.quantity = 1
	}
	if no = f.money(d, s); no != nil {
		return f, no
	}
	f.vars = variables(e, p, s)
	return f, nil
}

// consentOf reads what consent lets Google do.
func consentOf(d event.Delivery, p params) (signals, *partner.Result) {
	if d.Permission != event.Allowed && d.Permission != event.Measure {
		return signals{}, partner.Refuse(d, event.NotSent, "consent", "not sent: consent does not allow it")
	}
	mode := d.Event.Consent.GCM
	out := signals{limited: p.LimitAdTracking || d.Permission == event.Measure && partner.US(d.Event)}
	if mode.AdUserData == "denied" {
		// Google would take the row and not use it.
		return out, partner.Refuse(d, event.NotSent, "consent", "not sent: the visitor's data may not be used for advertising (ad_user_data)")
	}
	if partner.GDPR(d.Event) {
		// The permission was found in the TC string or in Consent Mode, so that it
		// says what both signals are.
		out.userData, out.personalization = "granted", "granted"
	}
	if mode.AdUserData == "granted" {
		out.userData = "granted"
	}
	if mode.AdPersonalization == "granted" || mode.AdPersonalization == "denied" {
		out.personalization = mode.AdPersonalization
	}
	if d.Permission == event.Measure {
		out.personalization = "denied"
	}
	return out, nil
}

// money finds the value, in the currency that Google takes it in.
func (f *facts) money(d event.Delivery, s settings) *partner.Result {
	o := d.Event.Order
	if f.value = partner.Number(o.Value); f.value == "" {
		return nil
	}
	f.currency = partner.Currency(o.Currency)
	if f.currency == "" {
		f.currency = f.params.Currency
	}
	if s.API == apiDataManager || f.params.Currency == "" || f.currency == f.params.Currency {
		return nil
	}
	// Campaign Manager 360 has no field for a currency.
	rate, err := f.params.rate(f.currency, f.at)
	if err != nil {
		return partner.Refuse(d, event.Rejected, "bad_route", err.Error())
	}
	if rate == nil {
		return partner.Refuse(d, event.Rejected, "foreign_currency", fmt.Sprintf(
			"the value is in %s, but the Floodlight configuration counts in %s, Campaign Manager 360 has no field for a currency, and the route gives no rate for that day (rates)", f.currency, f.params.Currency))
	}
	f.rate, f.currency = rate, f.params.Currency
	f.value = f.convert(f.value)
	return nil
}

// convert is a number in the currency of the Floodlight configuration.
func (f *facts) convert(number string) string {
	r, ok := new(big.Rat).SetString(number)
	if f.rate == nil || !ok {
		return number
	}
	v := r.Mul(r, f.rate).FloatString(2)
	return strings.TrimSuffix(strings.TrimRight(v, "0"), ".")
}

// rate is the route's newest rate for a currency that is not after a day; nil if
// there is none.
func (p params) rate(currency string, at time.Time) (*big.Rat, error) {
	var best string
	var found *big.Rat
	today := at.UTC().Format(time.DateOnly)
	for key, text := range p.Rates {
		code, from, _ := strings.Cut(key, "@")
		if _, err := time.Parse(time.DateOnly, from); err != nil {
			return nil, fmt.Errorf("the rate %q must be named by currency and day, such as USD@2026-11-01", partner.Cut(key, 32))
		}
		if code != currency || from > today || from < best {
			continue
		}
		a, err := event.ParseAmount(text)
		r, ok := new(big.Rat).SetString(string(a))
		if err != nil || !ok || r.Sign() <= 0 {
			return nil, fmt.Errorf("the rate of %q must be a decimal above zero", partner.Cut(key, 32))
		}
		best, found = from, r
	}
	return found, nil
}

// variables are the custom Floodlight variables that the route names, in the order
// of their numbers.
func variables(e event.Event, p params, s settings) []variable {
	var out []variable
	for _, name := range slices.Collect(maps.Keys(p.Variables)) {
		value := partner.Text(partner.Property(e.Properties, p.Variables[name]), 4*maxVariable)
		if value = firstCharacters(value, maxVariable); value != "" {
			out = append(out, variable{name, value})
		}
	}
	slices.SortFunc(out, func(a, b variable) int {
		return cmp.Or(cmp.Compare(number(a.name), number(b.name)), strings.Compare(a.name, b.name))
	})
	if s.API == apiDataManager {
		for i, v := range out {
			switch s.VariableSpelling {
			case "upper":
				out[i].name = strings.ToUpper(v.name)
			case "lower":
				out[i].name = strings.ToLower(v.name)
			}
		}
	}
	return out
}

// number is that of a variable; 0 if it has none.
func number(name string) int {
	n, _ := strconv.Atoi(strings.TrimLeft(name, "Uu"))
	return n
}

func firstCharacters(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// line is an item of the order, for both APIs' shopping carts.
type line struct {
	id       string
	quantity int64
	price    string
}

// lines are the items, where the route names a merchant.
func (f *facts) lines(o event.Order) []line {
	if f.params.MerchantID == "" {
		return nil
	}
	var out []line
	for _, i := range o.Items {
		l := line{id: partner.Text(i.ID, 512), quantity: 1, price: partner.Number(i.Price)}
		if i.Quantity != "" {
			n, err := strconv.ParseInt(string(i.Quantity), 10, 32)
			if err != nil || n < 1 {
				continue
			}
			l.quantity = n
		}
		if l.id == "" {
			continue
		}
		if l.price != "" {
			l.price = f.convert(l.price)
		}
		out = append(out, l)
	}
	return out
}

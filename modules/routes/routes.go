// Package routes decides which partners an event goes to, and says why it does
// not go to one that has a route for it. It is a pure function of the event and
// of what people set; the worker does what it says.
package routes

import (
	"hash/fnv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

// Decision is what becomes of an event for one partner.
type Decision struct {
	Partner string
	// Send is set where the event goes to the partner's queue.
	Send       bool
	Params     jsontext.Value
	Account    string
	Permission event.Permission
	// Mapped is what the partner is told, nil where that is the event itself.
	Mapped *event.Event
	// When is the route's condition, and OrderKey whether the partner knows repeats by
	// the order's id.
	When     string
	OrderKey bool
	// Code and Message say why it is not sent: Code short and stable, Message
	// for people.
	Code    string
	Message string
}

// Delivery is what goes to the partner's queue of an event that was decided to be sent,
// as a pixel's country and the time are. From there on the partner's lane knows the
// event as the partner is told of it: conditions and mappings are asked once, here, and
// neither a retry nor the end of a hold asks them again.
func (d *Decision) Delivery(e *event.Event, country string, now time.Time) event.Delivery {
	out := event.Delivery{
		Event: *e, Partner: d.Partner, Params: d.Params, Permission: d.Permission, Country: country, Account: d.Account, QueuedAt: now,
		When: d.When, OrderKey: d.OrderKey,
	}
	if d.Mapped != nil {
		if out.Event = *d.Mapped; out.Event.Name != e.Name {
			out.Was = e.Name
		}
	}
	return out
}

// Codes of a Decision that does not send. The dispatcher uses them too, where it
// finds the same later.
const (
	CodeOff         = "partner_off"
	CodeConsent     = "consent"
	CodeBot         = "bot"
	CodeNotBuilt    = "partner_not_built"
	MessageOff      = "not sent: partner is off"
	CodeRouteOff    = "route_off"
	CodeCondition   = "condition"
	CodeSampled     = "sampled_out"
	CodeExpression  = "expression_failed"
	MessageRouteOff = "not sent: the route was switched off meanwhile"
	messageBot      = "not sent: bot"
	messageNotBuilt = "not sent: this partner is not built into this version"
	messageNone     = "not sent: the route's condition does not hold"
	messageSampled  = "not sent: not in the route's sample"
)

// Rules are what a decision depends on beside the event and its pixel.
type Rules struct {
	// Mode is a partner's switch.
	Mode func(partner string) settings.Mode
	// Needs are what consent must allow for a partner; false: there is none of
	// that name.
	Needs func(partner string) (partner.Needs, bool)
	// Share says what consent allows a partner, and why no more.
	Share func(*event.Event, *settings.Pixel, string, partner.Needs) (event.Permission, string)
	// Expressions are the routes' conditions and mappings, compiled. Without it no route
	// that has some takes anything.
	Expressions *Expressions
}

// Decide returns a decision for each partner that has an enabled route for the
// event, in the order of the routes. A route that names the event goes before
// one for all events; of several equal ones the first counts whose condition holds,
// since a partner gets an event once. What is left out of a sample, or fails an
// expression, goes by no other route either.
func Decide(e *event.Event, p *settings.Pixel, r Rules) []Decision {
	var out []Decision
	var f *facts // of the event, once for all routes
	for i := range p.Routes {
		route := &p.Routes[i]
		if !matches(route, e.Name) || outdone(p.Routes, i, e.Name) {
			continue
		}
		d, ask := decide(e, p, route, r)
		switch {
		case !ask:
		case plain(route):
			share(&d, e, p, r)
		default:
			if f == nil {
				f = about(e)
			}
			d = choose(f, p, i, r)
		}
		out = append(out, d)
	}
	return out
}

// choose asks the i-th route and, where its condition does not hold, those that come
// after it for the same partner.
func choose(f *facts, p *settings.Pixel, i int, r Rules) Decision {
	e := f.e
	none := Decision{Partner: p.Routes[i].Partner, Params: p.Routes[i].Params, Account: p.Routes[i].Account, Permission: event.Denied, Code: CodeCondition, Message: messageNone}
	for _, j := range candidates(p.Routes, i, e.Name) {
		route := &p.Routes[j]
		d := Decision{Partner: route.Partner, Params: route.Params, Account: route.Account, Permission: event.Denied, When: route.When, OrderKey: route.Dedupe == settings.DedupeOrder}
		if r.Expressions == nil && (route.When != "" || !route.Map.Empty()) {
			d.Code, d.Message = CodeExpression, "not sent: expressions are not built in here"
			return d
		}
		if route.When != "" {
			holds, why, err := r.Expressions.holds(route.When, f)
			if err != nil {
				d.Code, d.Message = CodeExpression, "not sent: the route's condition failed: "+err.Error()
				return d
			}
			if !holds {
				if why != "" && none.Message == messageNone {
					none.Message += ": " + why
				}
				continue
			}
		}
		if !Sampled(e.ID, route.Sample) {
			d.Code, d.Message = CodeSampled, messageSampled
			return d
		}
		if !share(&d, e, p, r) {
			return d
		}
		mapped, params, err := r.Expressions.apply(&route.Map, route.Params, f)
		if err != nil {
			d.Send, d.Permission, d.Code, d.Message = false, event.Denied, CodeExpression, "not sent: the route's mapping failed: "+err.Error()
			return d
		}
		d.Mapped, d.Params = mapped, params
		return d
	}
	return none
}

// candidates are the routes that may take an event to the partner of the i-th, which
// goes before all others, in the order in which they are asked.
func candidates(routes []settings.Route, i int, name string) []int {
	var named, rest []int
	for j := range routes {
		o := &routes[j]
		switch {
		case o.Partner != routes[i].Partner || !matches(o, name):
		case o.Event == name:
			named = append(named, j)
		default:
			rest = append(rest, j)
		}
	}
	return append(named, rest...)
}

// Sampled reports whether an event is one of a percentage. It depends on nothing but the
// event's id, so an event that is in a sample is in every larger one.
func Sampled(eventID string, percent float64) bool {
	if percent <= 0 || percent >= 100 {
		return true
	}
	h := fnv.New64a()
	h.Write([]byte(eventID))
	// Ids that differ in their last digits must not lie side by side.
	n := h.Sum64()
	n ^= n >> 32
	n *= 0x9E3779B97F4A7C15
	n ^= n >> 29
	return float64(n%1_000_000) < percent*10_000
}

// plain reports whether a route takes whatever it matches, as it is.
func plain(r *settings.Route) bool {
	return r.When == "" && r.Sample == 0 && r.Dedupe == "" && r.Map.Empty()
}

func matches(r *settings.Route, name string) bool {
	return r.Switch() != settings.Off && (r.Event == name || r.Event == "*")
}

// Find is the route by which a pixel's events of a name go to a partner now, under the
// condition that one was routed by. known is false where there is none, on or off: what
// is on its way by one that was deleted is still sent. Where no route has that condition
// any more, the one that goes first counts.
func Find(p settings.Pixel, partner, name, when string) (route settings.Route, known bool) {
	if when != "" || conditional(p.Routes, partner, name) {
		for _, on := range [...]bool{true, false} {
			for _, takes := range [...]string{name, "*"} {
				for _, r := range p.Routes {
					if r.Partner == partner && r.When == when && r.Event == takes && (r.Switch() != settings.Off) == on {
						return r, true
					}
				}
			}
		}
	}
	for i, r := range p.Routes {
		if r.Partner != partner {
			continue
		}
		if matches(&p.Routes[i], name) && !outdone(p.Routes, i, name) {
			return r, true
		}
		if r.Event == name || r.Event == "*" {
			route, known = r, true
		}
	}
	return route, known
}

// conditional reports whether a partner has a route for a name that asks a condition.
func conditional(routes []settings.Route, partner, name string) bool {
	for _, r := range routes {
		if r.Partner == partner && r.When != "" && (r.Event == name || r.Event == "*") {
			return true
		}
	}
	return false
}

// outdone reports whether another matching route of the same partner goes before
// the i-th.
func outdone(routes []settings.Route, i int, name string) bool {
	r := &routes[i]
	for j := range routes {
		o := &routes[j]
		if j == i || o.Partner != r.Partner || !matches(o, name) {
			continue
		}
		named, theirs := r.Event == name, o.Event == name
		if theirs && !named || theirs == named && j < i {
			return true
		}
	}
	return false
}

// decide answers what needs no expression. ask is set where the rest does.
func decide(e *event.Event, p *settings.Pixel, route *settings.Route, r Rules) (d Decision, ask bool) {
	d = Decision{Partner: route.Partner, Params: route.Params, Account: route.Account, Permission: event.Denied}
	_, ok := r.Needs(route.Partner)
	if !ok {
		d.Code, d.Message = CodeNotBuilt, messageNotBuilt
		return d, false
	}
	if r.Mode(route.Partner) == settings.Off {
		d.Code, d.Message = CodeOff, MessageOff
		return d, false
	}
	if !p.Processing.Forwards(&e.Enrichment) {
		d.Code, d.Message = CodeBot, messageBot+" ("+e.Enrichment.Bot+")"
		return d, false
	}
	return d, true
}

// share asks consent and reports whether the event may go. With hold it goes on: it
// waits in the partner's queue.
func share(d *Decision, e *event.Event, p *settings.Pixel, r Rules) bool {
	needs, _ := r.Needs(d.Partner)
	permission, reason := r.Share(e, p, d.Partner, needs)
	if permission != event.Allowed && permission != event.Measure {
		d.Code, d.Message = CodeConsent, ConsentMessage(reason)
		return false
	}
	d.Send, d.Permission = true, permission
	return true
}

// ConsentMessage is the message of CodeConsent for what consent said, which begins
// with "consent: ".
func ConsentMessage(reason string) string { return "not sent: " + reason }

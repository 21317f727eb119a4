// Package routes decides which partners an event goes to, and says why it does
// not go to one that has a route for it. It is a pure function of the event and
// of what people set; the worker does what it says.
package routes

import (
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
	// Code and Message say why it is not sent: Code short and stable, Message
	// for people.
	Code    string
	Message string
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
	MessageRouteOff = "not sent: the route was switched off meanwhile"
	messageBot      = "not sent: bot"
	messageNotBuilt = "not sent: this partner is not built into this version"
)

// Rules are what a decision depends on beside the event and its pixel.
type Rules struct {
	// Mode is a partner's switch.
	Mode func(partner string) settings.Mode
	// Needs are what consent must allow for a partner; false: there is none of
	// that name.
	Needs func(partner string) (partner.Needs, bool)
	// Share says what consent allows a partner, and why no more.
	Share func(event.Event, settings.Pixel, string, partner.Needs) (event.Permission, string)
}

// Decide returns a decision for each partner that has an enabled route for the
// event, in the order of the routes. A route that names the event goes before
// one for all events; of several equal ones the first counts, since a partner
// gets an event once.
func Decide(e event.Event, p settings.Pixel, r Rules) []Decision {
	var out []Decision
	for i, route := range p.Routes {
		if matches(route, e.Name) && !outdone(p.Routes, i, e.Name) {
			out = append(out, decide(e, p, route, r))
		}
	}
	return out
}

func matches(r settings.Route, name string) bool {
	return r.Switch() != settings.Off && (r.Event == name || r.Event == "*")
}

// Find is the route by which a pixel's events of a name go to a partner now.
// known is false where there is none, on or off: what is on its way by one that
// was deleted is still sent.
func Find(p settings.Pixel, partner, name string) (route settings.Route, known bool) {
	for i, r := range p.Routes {
		if r.Partner != partner {
			continue
		}
		if matches(r, name) && !outdone(p.Routes, i, name) {
			return r, true
		}
		if r.Event == name || r.Event == "*" {
			route, known = r, true
		}
	}
	return route, known
}

// outdone reports whether another matching route of the same partner goes before
// the i-th.
func outdone(routes []settings.Route, i int, name string) bool {
	r := routes[i]
	for j, o := range routes {
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

func decide(e event.Event, p settings.Pixel, route settings.Route, r Rules) Decision {
	d := Decision{Partner: route.Partner, Params: route.Params, Account: route.Account, Permission: event.Denied}
	needs, ok := r.Needs(route.Partner)
	if !ok {
		d.Code, d.Message = CodeNotBuilt, messageNotBuilt
		return d
	}
	if r.Mode(route.Partner) == settings.Off {
		d.Code, d.Message = CodeOff, MessageOff
		return d
	}
	if !p.Processing.Forwards(&e.Enrichment) {
		d.Code, d.Message = CodeBot, messageBot+" ("+e.Enrichment.Bot+")"
		return d
	}
	permission, reason := r.Share(e, p, route.Partner, needs)
	if permission != event.Allowed && permission != event.Measure {
		d.Code, d.Message = CodeConsent, ConsentMessage(reason)
		return d
	}
	// With hold the event goes on: it waits in the partner's queue.
	d.Send, d.Permission = true, permission
	return d
}

// ConsentMessage is the message of CodeConsent for what consent said, which begins
// with "consent: ".
func ConsentMessage(reason string) string { return "not sent: " + reason }

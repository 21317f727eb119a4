package admin

import (
	"context"
	"net/url"
	"strings"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

// decided is what a route makes of an event. What consent and switches say is left out:
// they are asked for each event anew.
func (a *Admin) decided(e *event.Event, p settings.Pixel, r settings.Route) (routes.Decision, bool) {
	r.Set(settings.On)
	p.Routes = []settings.Route{r}
	found := routes.Decide(e, &p, routes.Rules{
		Mode:  func(string) settings.Mode { return settings.On },
		Needs: func(string) (partner.Needs, bool) { return partner.Needs{}, true },
		Share: func(*event.Event, *settings.Pixel, string, partner.Needs) (event.Permission, string) {
			return event.Allowed, ""
		},
		Expressions: a.expressions,
	})
	if len(found) == 0 {
		return routes.Decision{}, false
	}
	return found[0], true
}

// made is the request that would go to a partner now for a stored event: what is stored
// of it, so with no more of the visitor's address than that. Nothing is sent.
func (a *Admin) made(ctx context.Context, e *event.Event, country string, d routes.Decision) testResult {
	spec, ok := a.partners.specs[d.Partner]
	if !ok {
		return testResult{EventID: e.ID, Message: "This partner is not built into this version."}
	}
	s := a.o.Settings.Partner(d.Partner)
	credentials, err := a.o.Settings.Credentials(s, d.Account)
	if err != nil {
		credentials = nil // they are stood in for, and masked
	}
	x := a.senders[d.Partner].Rehearse(ctx, delivery.AccountOf(spec, a.o.Partners[d.Partner], s, credentials), d.Delivery(e, country, a.now()))
	return resultOf(e.ID, x, nil)
}

// madeFor finds the route by which an event goes to a partner, and makes its request.
func (a *Admin) madeFor(ctx context.Context, e event.Event, name string) testResult {
	p, ok := a.o.Settings.Pixel(e.PixelID)
	if !ok {
		return testResult{EventID: e.ID, Message: "The pixel has been deleted, and its routes with it."}
	}
	for _, r := range p.Routes {
		if r.Partner != name || r.Event != e.Name && r.Event != "*" {
			continue
		}
		d, ok := a.decided(&e, p, r)
		if !ok || !d.Send {
			continue
		}
		return a.made(ctx, &e, p.Country, d)
	}
	return testResult{EventID: e.ID, Message: "No route of the pixel takes it to " + a.partners.title(name) + " any more."}
}

// Curl is a request as a command line to copy. Its secrets are masked, so that it is for
// reading and for tests.
func (m *testMessage) Curl() string {
	var b strings.Builder
	b.WriteString("curl -X " + m.Method + " " + quoted(m.URL))
	for _, h := range m.Headers {
		b.WriteString(" \\\n  -H " + quoted(h[0]+": "+h[1]))
	}
	if m.Body != "" {
		b.WriteString(" \\\n  --data-raw " + quoted(m.Body))
	}
	return b.String()
}

// quoted is one word to a shell.
func quoted(s string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(s, "\x00", ""), "'", `'\''`) + "'"
}

// remedy is where to do something about a delivery that was not sent or not taken, and
// what; empty where nothing is to be done.
func remedy(s event.Sync) (link, do string) {
	at, pixel := "/partners/"+s.Partner, "/pixels/"+s.PixelID
	switch s.Code {
	case routes.CodeOff:
		return at, "Switch it on"
	case routes.CodeConsent:
		return "#consent", "See the decision"
	case routes.CodeBot:
		return pixel + "#settings", "Change what is sent of programs"
	case routes.CodeRouteOff:
		return pixel + "#routes", "Switch the route on"
	case routes.CodeCondition, routes.CodeSampled, routes.CodeExpression:
		return pixel + "#routes", "See the route's rules"
	case fields.CodeRefused:
		return "/privacy/fields?pixel_id=" + url.QueryEscape(s.PixelID), "See what was refused"
	case "hold_full":
		return at, "End the hold"
	case "pixel_removed":
		return "/pixels", "See the pixels"
	}
	switch {
	case s.Outcome == event.Dry:
		return at, "See the dry run's switch"
	case s.Status == 401 || s.Status == 403:
		return at + "#credentials", "Check the credentials"
	case s.Outcome == event.Rejected:
		return "/dead/" + s.Partner, "See the dead letters"
	case s.Outcome == event.NotSent:
		return pixel + "#routes", "See the pixel's routes"
	}
	return "", ""
}

package routes

import (
	"reflect"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

func TestDecide(t *testing.T) {
	to := func(partner, name string, enabled bool, params string) settings.Route {
		return settings.Route{Partner: partner, Event: name, Enabled: enabled, Params: jsontext.Value(params)}
	}
	for _, c := range []struct {
		name   string
		routes []settings.Route
		event  event.Event
		modes  map[string]settings.Mode
		share  map[string]event.Permission
		want   []Decision
	}{
		{
			name:   "no route, no decision",
			routes: []settings.Route{to("ttd", "add_to_cart", true, "")},
		},
		{
			name:   "a route that is switched off is no route",
			routes: []settings.Route{to("ttd", "purchase", false, "")},
		},
		{
			name:   "a route sends, with its parameters",
			routes: []settings.Route{to("ttd", "purchase", true, `{"adv":"a"}`)},
			want:   []Decision{{Partner: "ttd", Send: true, Permission: event.Allowed, Params: jsontext.Value(`{"adv":"a"}`)}},
		},
		{
			name:   "each partner has its own",
			routes: []settings.Route{to("ttd", "*", true, ""), to("amazon", "purchase", true, "")},
			want:   []Decision{{Partner: "ttd", Send: true, Permission: event.Allowed}, {Partner: "amazon", Send: true, Permission: event.Allowed}},
		},
		{
			name:   "a route by name goes before one for all, wherever it stands",
			routes: []settings.Route{to("ttd", "*", true, `1`), to("ttd", "purchase", true, `2`), to("ttd", "purchase", true, `3`)},
			want:   []Decision{{Partner: "ttd", Send: true, Permission: event.Allowed, Params: jsontext.Value(`2`)}},
		},
		{
			name:   "a disabled route by name leaves the one for all in force",
			routes: []settings.Route{to("ttd", "purchase", false, `1`), to("ttd", "*", true, `2`)},
			want:   []Decision{{Partner: "ttd", Send: true, Permission: event.Allowed, Params: jsontext.Value(`2`)}},
		},
		{
			name:   "off",
			routes: []settings.Route{to("ttd", "purchase", true, "")},
			modes:  map[string]settings.Mode{"ttd": settings.Off},
			want:   []Decision{{Partner: "ttd", Permission: event.Denied, Code: "partner_off", Message: "not sent: partner is off"}},
		},
		{
			name:   "hold goes to the queue and waits there",
			routes: []settings.Route{to("ttd", "purchase", true, "")},
			modes:  map[string]settings.Mode{"ttd": settings.Hold},
			want:   []Decision{{Partner: "ttd", Send: true, Permission: event.Allowed}},
		},
		{
			name:   "a program that a person may stand behind is forwarded",
			routes: []settings.Route{to("ttd", "purchase", true, "")},
			event:  event.Event{Enrichment: event.Enrichment{Bot: "user agent: program library", Automated: true}},
			want:   []Decision{{Partner: "ttd", Send: true, Permission: event.Allowed}},
		},
		{
			name:   "an automated browser is not",
			routes: []settings.Route{to("ttd", "purchase", true, "")},
			event:  event.Event{Enrichment: event.Enrichment{Bot: "user agent: headless browser", Automated: true}},
			want:   []Decision{{Partner: "ttd", Permission: event.Denied, Code: "bot", Message: "not sent: bot (user agent: headless browser)"}},
		},
		{
			name:   "bots are never forwarded",
			routes: []settings.Route{to("ttd", "purchase", true, "")},
			event:  event.Event{Enrichment: event.Enrichment{Bot: "user agent: crawler"}},
			want:   []Decision{{Partner: "ttd", Permission: event.Denied, Code: "bot", Message: "not sent: bot (user agent: crawler)"}},
		},
		{
			name:   "consent",
			routes: []settings.Route{to("ttd", "purchase", true, ""), to("amazon", "purchase", true, "")},
			share:  map[string]event.Permission{"ttd": event.Denied, "amazon": event.Measure},
			want: []Decision{
				{Partner: "ttd", Permission: event.Denied, Code: "consent", Message: "not sent: consent: because"},
				{Partner: "amazon", Send: true, Permission: event.Measure},
			},
		},
		{
			name:   "a permission that nobody knows is none",
			routes: []settings.Route{to("ttd", "purchase", true, "")},
			share:  map[string]event.Permission{"ttd": "everything"},
			want:   []Decision{{Partner: "ttd", Permission: event.Denied, Code: "consent", Message: "not sent: consent: because"}},
		},
		{
			name:   "a partner that is not built",
			routes: []settings.Route{to("yahoo", "purchase", true, "")},
			want:   []Decision{{Partner: "yahoo", Permission: event.Denied, Code: "partner_not_built", Message: "not sent: this partner is not built into this version"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.event.Name = "purchase"
			for i := range c.want {
				if c.want[i].Params == nil {
					c.want[i].Params = jsontext.Value("")
				}
			}
			got := Decide(&c.event, &settings.Pixel{Routes: c.routes}, Rules{
				Mode: func(name string) settings.Mode {
					if m, ok := c.modes[name]; ok {
						return m
					}
					return settings.On
				},
				Needs: func(name string) (partner.Needs, bool) {
					return partner.Needs{}, name == "ttd" || name == "amazon"
				},
				Share: func(_ *event.Event, _ *settings.Pixel, name string, _ partner.Needs) (event.Permission, string) {
					if p, ok := c.share[name]; ok {
						return p, "consent: because"
					}
					return event.Allowed, ""
				},
			})
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("want %+v\ngot  %+v", c.want, got)
			}
		})
	}
}

package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

func TestAnEventIsStoredArchivedAndRouted(t *testing.T) {
	x := setup(t)
	x.push(purchase("1"), purchase("2", func(e *event.Event) { e.Name, e.Priority = "page_view", event.Standard }))
	x.start()
	x.done()

	e := x.stored()["1"]
	if e.Subject.VisitorID != "visitor-1" || e.Enrichment.Device.Browser != "Chrome" || e.Enrichment.Referrer.Kind != "paid" || e.Enrichment.Campaign.Source != "google" || e.Subject.ClickIDs["gclid"] != "EAI" {
		t.Errorf("stored: %+v", e)
	}
	if e.Context.IP != "203.0.113.0" {
		t.Errorf("stored with the address %s", e.Context.IP)
	}
	archived := x.shelf.records["px/1"]
	if archived.Context.IP != "203.0.113.0" || archived.Enrichment != e.Enrichment {
		t.Errorf("archived: %+v", archived)
	}
	got := x.deliveries("acme")
	if len(got) != 1 {
		t.Fatalf("deliveries: %+v", got)
	}
	d := got["1"]
	if d.Event.Context.IP != "203.0.113.77" || string(d.Params) != `{"a":1}` || d.Permission != event.Allowed || d.Partner != "acme" || d.QueuedAt.IsZero() || d.Event.Enrichment != e.Enrichment {
		t.Errorf("delivery: %+v", d)
	}
	off := x.syncs("off")
	for _, id := range []string{"1", "2"} {
		if s := off[id]; s.Outcome != event.NotSent || s.Code != "partner_off" || s.Message != "not sent: partner is off" || s.Attempt != 0 || s.PixelID != "px" || s.OrderID != "o-"+id {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if len(x.syncs("acme")) != 0 {
		t.Errorf("acme has lines: %+v", x.syncs("acme"))
	}
}

func TestHowWellAPartnerCanMatchIsStoredWithTheEvent(t *testing.T) {
	x := setup(t)
	x.push(purchase("1"), purchase("panic"), purchase("view", func(e *event.Event) { e.Name = "page_view" }))
	x.start()
	x.done()
	for id, want := range map[string]string{"1": "medium [gclid] [email]", "panic": "none [] []", "view": ""} {
		got, err := x.store.Matches(t.Context(), "px", id)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, m := range got {
			said = append(said, fmt.Sprint(m.Grade, " ", m.Keys, " ", m.Missing))
			if m.Partner != "acme" || m.Name != "purchase" || m.ReceivedAt.IsZero() {
				t.Errorf("%s: %+v", id, m)
			}
		}
		if s := strings.Join(said, "; "); s != want {
			t.Errorf("%s: %s, want %s", id, s, want)
		}
	}
	if d := x.deliveries("acme"); len(d) != 2 {
		t.Errorf("delivered %d", len(d))
	}
}

func TestABotIsStoredAndNotForwarded(t *testing.T) {
	x := setup(t)
	x.push(purchase("1", func(e *event.Event) {
		e.Context.UserAgent = "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"
	}))
	x.start()
	x.done()
	if e := x.stored()["1"]; e.Enrichment.Bot == "" {
		t.Errorf("stored: %+v", e)
	}
	if s := x.syncs("acme")["1"]; s.Code != "bot" || len(x.deliveries("acme")) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestDuplicates(t *testing.T) {
	again := func(e *event.Event) { e.Receipt = "another" }
	for _, c := range []struct {
		name   string
		pushes [][]event.Event
		stored []string
		drops  int
	}{
		{"within a batch", [][]event.Event{{purchase("1"), purchase("1", again), purchase("2")}}, []string{"1", "2"}, 1},
		{"in a later batch", [][]event.Event{{purchase("1")}, {purchase("1", again)}}, []string{"1"}, 1},
		{"the same message twice in a batch", [][]event.Event{{purchase("1"), purchase("1")}}, []string{"1"}, 1},
		{"the same receipt again in another message, as after a push whose answer was lost", [][]event.Event{{purchase("1")}, {purchase("1")}}, []string{"1"}, 1},
		{"another pixel's event of the same id is another", [][]event.Event{{purchase("1"), purchase("1", again, func(e *event.Event) { e.PixelID = "py"; e.ID = "1" })}}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := setup(t)
			x.site.pixels["py"] = settings.Pixel{ID: "py", ConsentMode: settings.Implied}
			x.start()
			for _, events := range c.pushes {
				x.push(events...)
				x.done()
			}
			if c.stored == nil {
				if n := len(x.shelf.ids()); n != 2 {
					t.Errorf("%d events archived, want 2", n)
				}
			} else if got := x.ids(); !slices.Equal(got, c.stored) {
				t.Errorf("stored %v, want %v", got, c.stored)
			}
			x.counted(duplicate, c.drops)
		})
	}
}

func TestConsent(t *testing.T) {
	revoke := func(x *world) {
		x.withdraw("visitor-1")
	}
	partial := func(e *event.Event) {
		e.Verdict.State = event.Partial
		e.Consent.State = event.Partial
		e.Subject.Email = "digest"
		e.Order.ID = "anon_0123456789abcdef0123456789abcdef"
	}
	for _, c := range []struct {
		name    string
		before  func(*world)
		event   event.Event
		outcome string
		check   func(*testing.T, *world, event.Event)
	}{
		{"a withdrawal after the event drops it", revoke, purchase("1"), revoked, nil},
		{"another visitor's does not", revoke, purchase("2"), stored, nil},
		{
			"what the site's settings no longer allow is dropped",
			func(x *world) { x.site.pixels["px"] = settings.Pixel{ID: "px", ConsentMode: settings.GCM} },
			purchase("1", func(e *event.Event) { e.Consent.GCM.AnalyticsStorage = "denied" }), suppressed, nil,
		},
		{
			"what they allow only for analytics is stripped",
			func(x *world) {
				p := x.site.pixels["px"]
				p.ConsentMode = settings.GCM
				x.site.pixels["px"] = p
			},
			purchase("1", func(e *event.Event) {
				e.Consent.GCM = event.ConsentMode{AnalyticsStorage: "granted", AdStorage: "denied"}
				e.Subject.Email = "digest"
			}), stored,
			func(t *testing.T, x *world, e event.Event) {
				if e.Verdict.State != event.Partial || e.Subject.Email != "" || e.Subject.ClickIDs != nil || strings.Contains(e.Context.Page.URL, "gclid") || e.Order.ID != "" {
					t.Errorf("stored: %+v", e)
				}
				if s := x.syncs("acme")["1"]; s.Code != "consent" || !strings.HasPrefix(s.Message, "not sent: consent: ") {
					t.Errorf("%+v", s)
				}
			},
		},
		{
			"partial stays partial, with its order's pseudonym, and is forwarded to nobody", nil, purchase("1", partial), stored,
			func(t *testing.T, x *world, e event.Event) {
				if e.Verdict.State != event.Partial || e.Subject.Email != "" || e.Order.ID != "anon_0123456789abcdef0123456789abcdef" || e.Subject.VisitorID != "visitor-1" {
					t.Errorf("stored: %+v", e)
				}
				if len(x.deliveries("acme")) != 0 {
					t.Error("it was forwarded")
				}
			},
		},
		{
			"the US verdict of an edge that knew the place stands", nil,
			purchase("1", func(e *event.Event) { e.Verdict = event.Verdict{State: event.Full, Regime: "us", Rule: "R5/U8"} }), stored,
			func(t *testing.T, x *world, e event.Event) {
				if e.Verdict.State != event.Full || len(x.deliveries("acme")) != 1 {
					t.Errorf("stored: %+v", e)
				}
			},
		},
		{
			"an event of a pixel that was removed is kept", nil,
			purchase("1", func(e *event.Event) { e.PixelID = "gone" }), stored, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := setup(t)
			x.push(c.event)
			if c.before != nil {
				c.before(x)
			}
			x.start()
			x.done()
			x.counted(c.outcome, 1)
			all := x.stored()
			if want := c.outcome == stored; (len(all) == 1) != want || (len(x.shelf.ids()) == 1) != want {
				t.Fatalf("stored %v, archived %v", all, x.shelf.ids())
			}
			if c.check != nil {
				c.check(t, x, all[c.event.ID])
			}
		})
	}
}

func TestAPixelThatWasJustMadeIsKnown(t *testing.T) {
	x := setup(t)
	p := x.site.pixels["px"]
	p.ID = "new"
	x.site.late = map[string]settings.Pixel{"new": p}
	x.push(purchase("1", func(e *event.Event) { e.PixelID = "new" }))
	x.start()
	x.done()
	if len(x.deliveries("acme")) != 1 {
		t.Error("it was not routed")
	}
}

func TestAMessageThatCannotBeReadIsBuriedAlone(t *testing.T) {
	x := setup(t)
	for _, body := range []string{`{"id":`, `[]`, `{}`, `{"id":"x"}`, "\xff\xfe"} {
		if err := x.queue.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	x.push(purchase("1"))
	x.start()
	x.done()
	if got := x.ids(); !slices.Equal(got, []string{"1"}) {
		t.Errorf("stored %v", got)
	}
	dead := x.dead()
	if len(dead) != 5 {
		t.Errorf("%d dead", len(dead))
	}
	x.counted(undecodable, 5)
	for _, l := range dead {
		if !strings.Contains(l.Reason, "cannot be decoded") || l.Origin != "ingest:high" {
			t.Errorf("%+v", l)
		}
	}
}

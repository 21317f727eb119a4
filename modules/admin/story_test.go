package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

func TestTheStorySaysWhyAnEventWasNotSent(t *testing.T) {
	b := open(t)
	seed(t, b, time.Now())
	s := ask[story](b, get, base+"/events/0193f2bb-story-purchase?pixel_id=px_shop", nil, 200)
	if len(s.Deliveries) != 2 || !s.Settled {
		t.Fatalf("%+v", s.Deliveries)
	}
	amazon, ttd := s.Deliveries[0], s.Deliveries[1]
	if ttd.Outcome != event.NotSent || ttd.Sentence != "not sent: partner is off" {
		t.Errorf("ttd: %s, %q", ttd.Outcome, ttd.Sentence)
	}
	if amazon.Outcome != event.Accepted || len(amazon.Attempts) != 2 || amazon.Attempts[0].Outcome != event.Retry {
		t.Errorf("amazon: %+v", amazon)
	}
	kinds := ""
	for _, x := range s.Steps {
		kinds += x.Kind + " "
	}
	if kinds != "received consent enriched identity stored " {
		t.Error(kinds)
	}
	page := b.as(Viewer).get("/events/0193f2bb-story-purchase?pixel_id=px_shop").body
	contains(t, page, "not sent: partner is off", "Rule G5: the visitor agreed to all purposes we need.")
	if strings.Contains(page, `hx-trigger="every 2s"`) {
		t.Error("a settled story goes on refreshing itself")
	}
	young := b.as(Marketer).get("/events/0193f2cc-story-waiting?pixel_id=px_shop").body
	contains(t, young, `hx-trigger="every 2s"`, "On its way to The Trade Desk.", "Waiting: Amazon DSP does not answer just now.")
}

// A partner that is on hold keeps an event for hours: it is held back for it all the time,
// and not sent nowhere.
func TestTheStorySaysForWhomAnEventIsHeldBack(t *testing.T) {
	b := open(t)
	now := time.Now().UTC()
	seed(t, b, now)
	must(t, b.changePartner(t.Context(), principal{}, "ttd", partnerChange{Mode: new(settings.Hold)}))
	old := someEvent("e-held", now.Add(-3*time.Hour))
	must(t, b.store.WriteEvents(t.Context(), old))
	must(t, b.store.WriteMatches(t.Context(), event.Match{EventID: old.ID, PixelID: old.PixelID, Partner: "ttd", Name: old.Name, ReceivedAt: old.ReceivedAt}))
	w := b.as(Viewer)
	body := w.get("/events/e-held?pixel_id=px_shop").body
	contains(t, body, "Held back for The Trade Desk.", "Waiting: The Trade Desk is on hold.", `href="/partners/ttd"`)
	if strings.Contains(body, "Not sent to anybody") {
		t.Error("an event that is held back is said to be sent to nobody")
	}
	must(t, b.changePartner(t.Context(), principal{}, "ttd", partnerChange{Mode: new(settings.On)}))
	contains(t, w.get("/events/e-held?pixel_id=px_shop").body, "Handed over for The Trade Desk, and not tried yet", `href="/queues"`)
	// Where the log is kept no longer than that, it cannot tell.
	p, _ := b.o.Settings.Pixel("px_shop")
	p.Retention.SyncsDays = 1
	_, err := b.o.Settings.SavePixel(t.Context(), p)
	must(t, err)
	older := someEvent("e-forgotten", now.Add(-30*time.Hour))
	must(t, b.store.WriteEvents(t.Context(), older))
	must(t, b.store.WriteMatches(t.Context(), event.Match{EventID: older.ID, PixelID: older.PixelID, Partner: "ttd", Name: older.Name, ReceivedAt: older.ReceivedAt}))
	if body := w.get("/events/e-forgotten?pixel_id=px_shop").body; strings.Contains(body, "Handed over") {
		t.Error("it says that it was not tried, of what is kept no longer")
	}
}

func TestAnEventThatWentToNobodySaysWhy(t *testing.T) {
	now := time.Now()
	b := open(t)
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_shop", "name": "Shop"}, 201)
	partial, bot, plain, stranger := someEvent("e-partial", now), someEvent("e-bot", now), someEvent("e-plain", now), someEvent("e-stranger", now)
	partial.Verdict.State = event.Partial
	bot.Enrichment.Bot = "Googlebot"
	stranger.PixelID = "px_gone"
	must(t, b.store.WriteEvents(t.Context(), partial, bot, plain, stranger))
	w := b.as(Viewer)
	for id, want := range map[string]string{
		"e-partial":  "consent allows our own analytics only",
		"e-bot":      "taken for a machine (Googlebot)",
		"e-plain":    "no route of Shop takes purchase",
		"e-stranger": "its pixel has been deleted",
	} {
		contains(t, w.get("/events/"+id).body, want)
	}
}

package admin

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// buried puts deliveries to The Trade Desk among the dead letters.
func (b *bench) buried(list ...event.Delivery) {
	b.t.Helper()
	for _, d := range list {
		body, err := json.Marshal(d)
		must(b.t, err)
		must(b.t, b.queue.Push(b.t.Context(), queue.Item{Queue: queue.Partner("ttd"), Body: body}))
		got, err := b.queue.Pull(b.t.Context(), queue.Partner("ttd"), 1)
		must(b.t, err)
		must(b.t, b.queue.Bury(b.t.Context(), queue.Partner("ttd"), "unknown_outcome: no answer", got[0].ID))
	}
}

func letter(id string, change ...func(*event.Delivery)) event.Delivery {
	now := time.Now().UTC()
	e := someEvent(id, now)
	e.Consent, e.Verdict = event.Consent{}, event.Verdict{State: event.Full, Regime: "default", Rule: "R7/D1"}
	e.Subject.VisitorID, e.Subject.AnonymousID = "v-"+id, "v-"+id
	e.Context.IP = "203.0.113.7"
	d := event.Delivery{Event: e, Partner: "ttd", Params: jsontext.Value(`{"adv":"fellfleet","tracker_id":"trk9x2"}`), Permission: event.Allowed, QueuedAt: now}
	for _, c := range change {
		c(&d)
	}
	return d
}

// shop makes the pixel and switches The Trade Desk on.
func (b *bench) shop() {
	b.t.Helper()
	who := principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}
	_, err := b.addPixel(b.t.Context(), who, settings.Pixel{ID: "px_shop", Name: "Shop", Enabled: true, ConsentMode: settings.Implied, Country: "GB"})
	must(b.t, err)
	on := settings.On
	must(b.t, b.changePartner(b.t.Context(), who, "ttd", partnerChange{Mode: &on}))
}

// What consent, age or the adapter would stop is said before a replay, by the page and
// by the API's dry run, and nothing is moved for it.
func TestAReplayIsLookedThroughFirst(t *testing.T) {
	b := open(t)
	b.shop()
	b.buried(
		letter("good-1"), letter("good-2"),
		letter("revoked"),
		letter("old", func(d *event.Delivery) { d.Event.Time = time.Now().Add(-25 * time.Hour) }),
		letter("denied", func(d *event.Delivery) { d.Permission = event.Denied }),
		letter("routeless", func(d *event.Delivery) { d.Params = jsontext.Value(`{"adv":"a","merchant_id":"m","tracker_id":"t"}`) }),
	)
	_, err := b.o.Book.Decide(t.Context(), consent.Change{Visitor: consent.Visitor{PixelID: "px_shop", ID: "v-revoked"}, Verdict: consent.Revoked(), At: time.Now()})
	must(t, err)

	m := ask[moved](b, post, base+"/dlq/ttd/replay", `{"all":true,"dry_run":true}`, 200)
	if m.Moved != 0 || m.Preview == nil || m.Preview.Looked != 6 || m.Preview.Sends != 2 {
		t.Fatalf("%+v %+v", m, m.Preview)
	}
	codes := map[string]int{}
	for _, s := range m.Preview.Stops {
		codes[s.Code] += s.Count
	}
	if fmt.Sprint(codes) != "map[bad_route:1 consent:2 too_old:1]" {
		t.Errorf("stops: %v", codes)
	}
	contains(t, m.Message, "2 would be sent to The Trade Desk now; the others not", "2 consent")

	w := b.as(Administrator)
	page := w.post("/dead/ttd/replay", url.Values{"scope": {"all"}})
	contains(t, page.body, "Replay 6 dead letters?", "2 of 6 would be sent", "withdrew consent", "older than The Trade Desk takes", "good-1")
	if n := len(ask[deadPage](b, get, base+"/dlq/ttd", nil, 200).Items); n != 6 {
		t.Errorf("%d letters are left after the look", n)
	}

	// A change is looked through too, and a bad one is told at its field.
	mended := w.post("/dead/ttd/replay", url.Values{"scope": {"all"}, "params": {`{"merchant_id":null}`}})
	contains(t, mended.body, "3 of 6 would be sent")
	for field, bad := range map[string]string{"params": "[1]", "event": `{"consent":{}}`, "rate": "many"} {
		wrong := w.post("/dead/ttd/replay", url.Values{"scope": {"all"}, field: {bad}, "confirm": {map[bool]string{true: "", false: "yes"}[field == "event"]}})
		if wrong.status != 422 || !strings.Contains(wrong.body, "field-error") {
			t.Errorf("%s %s: %d", field, bad, wrong.status)
		}
	}
}

type deadPage = page[deadView]

// The categories of a Segment client's consent are set on the pixel's page.
func TestCategoriesOfSegmentsClientsAreSetInTheConsole(t *testing.T) {
	b := open(t)
	b.shop()
	w := b.as(Administrator)
	form := func(lines string) url.Values {
		return url.Values{"name": {"Shop"}, "consent_mode": {"implied"}, "revision": {"1"}, "segment_categories": {lines}}
	}
	if got := w.post("/pixels/px_shop", form("Marketing = ad_storage, ad_user_data\nFunctional = analytics_storage")); got.status != 303 {
		t.Fatalf("%d: %.300s", got.status, got.body)
	}
	p, _ := b.o.Settings.Pixel("px_shop")
	if fmt.Sprint(p.Consent.Categories) != "map[Functional:[analytics_storage] Marketing:[ad_storage ad_user_data]]" {
		t.Errorf("saved: %v", p.Consent.Categories)
	}
	contains(t, w.get("/pixels/px_shop").body, "Functional = analytics_storage\nMarketing = ad_storage, ad_user_data")
	for _, bad := range []string{"Marketing", "Marketing = everything"} {
		got := w.post("/pixels/px_shop", form(bad))
		if got.status != 422 {
			t.Errorf("%q: %d", bad, got.status)
		}
		contains(t, got.body, "field-error", bad)
	}
}

// A replay at a rate goes on page by page, and shows how far it is.
func TestAReplayAtARateShowsItsProgress(t *testing.T) {
	b := open(t)
	b.shop()
	for i := range 5 {
		b.buried(letter(fmt.Sprint("e-", i)))
	}
	w := b.as(Administrator)
	form := url.Values{"scope": {"all"}, "rate": {"1"}, "params": {`{"tracker_id":"other"}`}, "confirm": {"yes"}, "total": {"5"}}
	got := w.post("/dead/ttd/replay", form)
	contains(t, got.body, "<progress", "of about 5", "1 a second", `name="cursor"`)
	for range 10 {
		at := strings.Index(got.body, `name="cursor" value="`)
		if at < 0 {
			break
		}
		value := func(name string) string {
			_, rest, _ := strings.Cut(got.body, `name="`+name+`" value="`)
			v, _, _ := strings.Cut(rest, `"`)
			return v
		}
		form.Set("cursor", value("cursor"))
		form.Set("moved", value("moved"))
		got = w.post("/dead/ttd/replay", form)
	}
	if got.status != 303 {
		t.Fatalf("%d: %.300s", got.status, got.body)
	}
	contains(t, w.get("/dead/ttd").body, "Put back into their queue: 5 messages. They were edited.", "Empty, as it should be")
	list, _, err := b.queue.Peek(context.Background(), queue.Partner("ttd"), "", 10)
	must(t, err)
	for _, m := range list {
		if !strings.Contains(string(m.Body), `"tracker_id":"other"`) {
			t.Errorf("not edited: %s", m.Body)
		}
	}
	if len(list) != 5 {
		t.Errorf("%d are back", len(list))
	}
}

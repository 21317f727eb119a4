package admin

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// someEvent is an ordinary purchase.
func someEvent(id string, at time.Time) event.Event {
	return event.Event{
		ID: id, Receipt: "r-" + id, PixelID: "px_shop", Name: "purchase", Time: at.Add(-time.Second), SentAt: at, ReceivedAt: at,
		Source: "web", Priority: event.High,
		Consent: event.Consent{TCF: "CPexample", State: event.Full},
		Verdict: event.Verdict{State: event.Full, Regime: "gdpr", Rule: "G5", Reason: "the visitor agreed to all purposes we need"},
		Subject: event.Subject{
			VisitorID: "v-8f2e41c09b", AnonymousID: "a-0193f2aa", Email: "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b",
			Country: "GB", ClickIDs: map[string]string{"gclid": "Cj0KCQjw"},
		},
		Context: event.Context{
			Page: event.Page{URL: "https://shop.example.com/checkout/thanks", Title: "Thank you", Referrer: "https://www.google.com/"}, Locale: "en-GB", Timezone: "Europe/London",
			SDK: event.SDK{Name: "web", Version: "1.0.0"}, IP: "203.0.113.0",
		},
		Order: event.Order{ID: "A-10482", Value: "249.95", Currency: "GBP", Items: []event.Item{
			{ID: "SKU-1", Name: "Trail shoe, slate", Price: "129.95", Quantity: "1"}, {ID: "SKU-7", Name: "Wool socks, two pairs", Price: "60.00", Quantity: "2"},
		}},
		Properties: jsontext.Value(`{"order_id":"A-10482","value":249.95,"currency":"GBP","coupon":"AUTUMN","customer_type":"returning"}`),
		Enrichment: event.Enrichment{
			Device:   event.Device{Class: "mobile", Browser: "Safari", BrowserVersion: "19", OS: "iOS", OSVersion: "19.1"},
			Campaign: event.Campaign{Source: "google", Medium: "cpc", Name: "autumn-shoes"},
			Referrer: event.Referrer{Host: "www.google.com", Kind: "search", Name: "Google"},
		},
	}
}

// seed fills the stores as a few busy weeks would.
func seed(t *testing.T, b *bench, now time.Time) {
	ctx := t.Context()
	r := rand.New(rand.NewPCG(1, 2))
	route := func(partner, name, params string) settings.Route {
		return settings.Route{Partner: partner, Event: name, Enabled: true, Params: jsontext.Value(params)}
	}
	for _, p := range []settings.Pixel{
		{ID: "px_shop", Name: "Fell & Fleet shop", Advertiser: "Fell & Fleet", Domains: []string{"shop.example.com"}, Enabled: true, ConsentMode: settings.CMP, Country: "GB", Routes: []settings.Route{
			route("ttd", "purchase", `{"adv":"fellfleet","tracker_id":"trk9x2"}`),
			route("ttd", "add_to_cart", `{"adv":"fellfleet","tracker_id":"trk9x2"}`),
			route("amazon", "purchase", `{"account_id":"1234567890","region":"EU","conversion_type":"OFF_AMAZON_PURCHASES"}`),
		}},
		{ID: "px_blog", Name: "The Fell journal", Advertiser: "Fell & Fleet", Domains: []string{"journal.example.com"}, Enabled: true, ConsentMode: settings.Banner, Country: "GB"},
		{ID: "px_us", Name: "US store", Advertiser: "Fell & Fleet Inc.", Domains: []string{"us.example.com"}, Enabled: true, ConsentMode: settings.GCM, Country: "US", Routes: []settings.Route{
			route("amazon", "purchase", `{"account_id":"9876543210","region":"NA"}`)}},
		{ID: "px_old", Name: "Landing page, spring", Advertiser: "Fell & Fleet", Enabled: false, ConsentMode: settings.CMP},
	} {
		if _, err := b.addPixel(ctx, principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}, p); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"page_view", "page_view", "page_view", "page_view", "page_view", "view_item", "view_item", "view_item", "add_to_cart", "add_to_cart", "begin_checkout", "purchase", "sign_up", "scroll"}
	pages := []string{"/", "/shoes", "/shoes/trail-slate", "/socks", "/checkout", "/journal/winter-fells"}
	classes := []string{"mobile", "mobile", "mobile", "desktop", "desktop", "tablet"}
	var events []event.Event
	seen := 0
	var syncs []event.Sync
	flush := func() {
		must(t, b.store.WriteEvents(ctx, events...))
		must(t, b.store.WriteSyncs(ctx, syncs...))
		events, syncs = nil, nil
	}
	for i := range 5000 {
		// Busier lately, and by day.
		age := time.Duration(r.ExpFloat64() * float64(20*time.Hour))
		at := now.Add(-age)
		if h := at.Hour(); (h < 6 || h > 23) && r.IntN(3) > 0 {
			at = at.Add(-9 * time.Hour)
		}
		e := someEvent(fmt.Sprintf("0193f2aa-%04x-7c1e-9d55-%012x", i, r.Int64N(1<<47)), at.UTC())
		e.Name = names[r.IntN(len(names))]
		e.Subject.VisitorID = fmt.Sprintf("v-%010x", r.IntN(900))
		e.Enrichment.Device.Class = classes[r.IntN(len(classes))]
		e.PixelID = []string{"px_shop", "px_shop", "px_shop", "px_us", "px_blog"}[r.IntN(5)]
		host := map[string]string{"px_shop": "shop.example.com", "px_us": "us.example.com", "px_blog": "journal.example.com"}[e.PixelID]
		e.Context.Page.URL = "https://" + host + pages[r.IntN(len(pages))]
		if r.IntN(4) == 0 {
			e.Verdict = event.Verdict{State: event.Partial, Regime: "gdpr", Rule: "G7", Reason: "the visitor agreed to measurement only"}
		}
		if e.Name != "purchase" {
			e.Order, e.Properties = event.Order{}, jsontext.Value(`{"section":"shoes"}`)
		} else {
			e.Order.ID = fmt.Sprintf("A-%d", 10000+i)
			e.Order.Value = event.Amount(fmt.Sprintf("%d.%02d", 20+r.IntN(300), r.IntN(100)))
			if e.PixelID == "px_us" {
				e.Order.Currency = "USD"
			}
			for _, p := range []string{"ttd", "amazon"} {
				syncs = append(syncs, someSync(r, e, p))
			}
		}
		e.Context.Tab, e.Seq = fmt.Sprint("tab-", seen/12), 1+seen%12
		if seen++; seen%40 == 5 {
			continue // lost on its way
		}
		events = append(events, e)
		if len(events) == 500 {
			flush()
		}
	}
	flush()
	// The stories that are looked at.
	story := someEvent("0193f2bb-story-purchase", now.Add(-40*time.Second).UTC())
	must(t, b.store.WriteEvents(ctx, story))
	must(t, b.store.WriteSyncs(ctx,
		event.Sync{EventID: story.ID, PixelID: story.PixelID, Partner: "ttd", At: now.Add(-38 * time.Second).UTC(), Outcome: event.NotSent, Code: "partner_off", Message: "not sent: partner is off", OrderID: story.Order.ID},
		event.Sync{EventID: story.ID, PixelID: story.PixelID, Partner: "amazon", Attempt: 1, At: now.Add(-37 * time.Second).UTC(), Outcome: event.Retry, Code: "http_503", Message: "Service Unavailable", Status: 503, Latency: 3100 * time.Millisecond, OrderID: story.Order.ID, Answer: "upstream connect error"},
		event.Sync{EventID: story.ID, PixelID: story.PixelID, Partner: "amazon", Attempt: 2, At: now.Add(-31 * time.Second).UTC(), Outcome: event.Accepted, Status: 207, Latency: 184 * time.Millisecond, RequestID: "5J2KQW7C", OrderID: story.Order.ID, Payload: "6f1d0a5f0cd3f0f1e7be8a0f5fd3bb0a", Answer: `{"success":[{"index":0,"event":{"eventId":"0193f2bb-story-purchase"}}],"error":[]}`},
	))
	young := someEvent("0193f2cc-story-waiting", now.UTC())
	must(t, b.store.WriteEvents(ctx, young))
	seedQueues(t, b, now)
	lanes(t, b, now)
}

func someSync(r *rand.Rand, e event.Event, partner string) event.Sync {
	s := event.Sync{EventID: e.ID, PixelID: e.PixelID, Partner: partner, Attempt: 1, At: e.ReceivedAt.Add(2 * time.Second), Outcome: event.Accepted, Status: 200, Latency: time.Duration(60+r.IntN(300)) * time.Millisecond, OrderID: e.Order.ID}
	switch n := r.IntN(40); {
	case !e.Verdict.State.Allows(event.Full):
		s.Attempt, s.Outcome, s.Status, s.Latency = 0, event.NotSent, 0, 0
		s.Code, s.Message = "consent", "not sent: consent allows our own analytics only"
	case n == 0:
		s.Outcome, s.Status, s.Code, s.Message = event.Rejected, 400, "InvalidPrivacySetting", "The request has an invalid privacy setting."
	}
	return s
}

func seedQueues(t *testing.T, b *bench, now time.Time) {
	ctx := t.Context()
	body, err := json.Marshal(event.Delivery{Event: someEvent("0193f2aa-dead-1", now.Add(-time.Hour).UTC()), Partner: "ttd", Params: jsontext.Value(`{"adv":"fellfleet","tracker_id":"trk9x2"}`), Permission: event.Allowed})
	must(t, err)
	for i := range 14 {
		must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Partner("ttd"), Body: body}))
		got, err := b.queue.Pull(ctx, queue.Partner("ttd"), 1)
		must(t, err)
		reason := "InvalidPrivacySetting: The request has an invalid privacy setting."
		if i%5 == 0 {
			reason = "http_402: the tracker does not know this event's name"
		}
		must(t, b.queue.Bury(ctx, queue.Partner("ttd"), reason, got[0].ID))
	}
	for i := range 6 {
		must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Validation, Reason: []string{"events[0].name must be a letter, then letters, digits, _ . : or -", "pixel is not allowed on evil.example"}[i%2],
			Body: []byte(`{"pixel_id":"px_shop","events":[{"name":"2fast"}]}`)}))
	}
	for range 9 {
		must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Partner("amazon"), Body: body}))
	}
	must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Ingest(event.High), Body: []byte(`{}`)}, queue.Item{Queue: queue.Ingest(event.Standard), Body: []byte(`{}`)}))
}

// lanes publishes what dispatchers would.
func lanes(t *testing.T, b *bench, now time.Time) {
	type report struct {
		Instance string              `json:"instance"`
		At       time.Time           `json:"at"`
		Lanes    []lanestatus.Status `json:"lanes"`
	}
	body, err := json.Marshal(report{"a", now, []lanestatus.Status{
		{Partner: "ttd", Instance: "a", Breaker: lanestatus.Closed, Since: now.Add(-5 * time.Hour), Success: 812},
		{Partner: "amazon", Instance: "a", Breaker: lanestatus.Open, Since: now.Add(-4 * time.Minute), Answers: []lanestatus.Answer{{At: now, Status: 503, Events: 9, Latency: 3 * time.Second, Note: "Service Unavailable"}}},
	}})
	must(t, err)
	must(t, b.state.Set(context.Background(), state.Entry{Key: "lanes:0", Value: body, TTL: time.Hour}))
}

package analyticstest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// Begin is the time of receipt of the first generated event: neither the
// beginning of an hour nor of a minute, and on the evening before Europe's clocks
// go back.
var Begin = time.Date(2026, 10, 24, 21, 37, 12, 345_678_000, time.UTC)

// hostile are strings that a store must treat as any other.
var hostile = []string{
	"100%", "under_score", `back\slash`, "it's", `"quoted"`, "'; DROP TABLE events; --", "a\x00b", "line\nbreak\ttab",
	"\u202Eעברית\u202C مرحبا", "ÄÖÜ ß İ", "日本語😀", "{{.}}", "<script>alert(1)</script>", "=1+1", "[a-z]*?", "$1 :name @x ?",
	strings.Repeat("long ", 2000),
}

var (
	names   = []string{"page_view", "page_view", "page_view", "page_view", "view_item", "view_item", "add_to_cart", "begin_checkout", "purchase", "scroll", "refund"}
	agents  = []string{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"}
	devices = []event.Device{{Class: "desktop", Browser: "Chrome", BrowserVersion: "141.0.0.0", OS: "Windows", OSVersion: "10.0"}, {Class: "mobile", Browser: "Safari", BrowserVersion: "18.5", OS: "iOS", OSVersion: "18.5"}}
	refs    = []event.Referrer{{}, {Kind: "direct"}, {Host: "www.google.com", Kind: "search", Name: "Google"}, {Host: "news.example.org", Kind: "referral"}}
)

// Events makes n events whose receipt is spread evenly from Begin over span; the
// same seed makes the same ones. Some are received at the same instant, some are
// stored later than others received after them, and some of the first 1,700 hold
// hostile strings.
func Events(seed uint64, n int, span time.Duration) []event.Event {
	r := rand.New(rand.NewPCG(seed, 1))
	events := make([]event.Event, n)
	for i := range events {
		at := Begin.Add((span / time.Duration(n) * time.Duration(i)).Truncate(time.Microsecond))
		if i > 0 && r.IntN(8) == 0 {
			at = events[i-1].ReceivedAt
		}
		events[i] = one(r, i, at)
	}
	for i := 0; i+10 < n; i += 10 {
		if r.IntN(3) == 0 {
			j := i + 1 + r.IntN(9)
			events[i], events[j] = events[j], events[i]
		}
	}
	return events
}

func one(r *rand.Rand, i int, at time.Time) event.Event {
	agent := r.IntN(len(agents))
	visitor := fmt.Sprintf("v-%016x", uint64(r.IntN(1+r.IntN(1+r.IntN(5000))))*0x9E3779B97F4A7C15)
	path := fmt.Sprintf("/products/%d", r.IntN(200))
	e := event.Event{
		ID: fmt.Sprintf("%012x-%08x-%06x", at.UnixMilli(), r.Uint32(), i), Receipt: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()),
		PixelID: [...]string{"px_demo", "px_demo", "px_demo", "px_other", "px_third"}[r.IntN(5)], Name: names[r.IntN(len(names))],
		Time: at.Add(-time.Duration(r.IntN(5000)) * time.Millisecond), SentAt: at.Add(-200 * time.Millisecond), ReceivedAt: at,
		Source: [...]string{"web", "web", "web", "pixel", "server"}[r.IntN(5)], Priority: event.Standard,
		Consent: event.Consent{TCF: fmt.Sprintf("CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAA%08x", r.Uint32()), State: event.Full},
		Verdict: event.Verdict{State: [...]event.State{event.Full, event.Full, event.Partial}[r.IntN(3)], Regime: "gdpr", Rule: "G5", Reason: "all purposes are allowed"},
		Subject: event.Subject{VisitorID: visitor, AnonymousID: visitor, Country: [...]string{"GB", "DE", "US", ""}[r.IntN(4)]},
		Context: event.Context{
			Page:   event.Page{URL: "https://shop.example.com" + path + fmt.Sprintf("?ref=%06x", r.IntN(1<<24)), Referrer: "https://www.google.com/", Title: fmt.Sprintf("Shoe %d – Example SHOP", r.IntN(200))},
			Locale: "en-GB", Timezone: "Europe/London", Screen: event.Screen{Width: 1280, Height: 720}, SDK: event.SDK{Name: "web", Version: "1.0.0"},
			IP: "192.0.2.0", UserAgent: agents[agent],
		},
		Properties: jsontext.Value(fmt.Sprintf(`{"list":"spring","position":%d}`, r.IntN(50))),
		Enrichment: event.Enrichment{Device: devices[agent], Referrer: refs[r.IntN(len(refs))]},
		Trace:      fmt.Sprintf("00-%016x%016x-%016x-01", r.Uint64(), r.Uint64(), r.Uint64()),
	}
	if r.IntN(10) == 0 {
		e.Subject.VisitorID = ""
	}
	if r.IntN(4) == 0 {
		e.Enrichment.Campaign = event.Campaign{Source: [...]string{"google", "newsletter"}[r.IntN(2)], Medium: [...]string{"cpc", "email"}[r.IntN(2)], Name: fmt.Sprintf("campaign-%02d", r.IntN(30))}
	}
	if r.IntN(30) == 0 { // it waited in a browser that was offline
		e.Time = at.Add(-time.Duration(r.IntN(72*3600)) * time.Second)
	}
	if e.Name == "purchase" || e.Name == "refund" || r.IntN(20) == 0 {
		order := i
		if r.IntN(9) == 0 {
			order -= order % 40 // the page was loaded again
		}
		e.Order = event.Order{ID: fmt.Sprintf("A-%d", 10_000+order), Value: event.Amount(fmt.Sprintf("%d.%02d", r.IntN(500), r.IntN(100))), Currency: [...]string{"GBP", "EUR", "USD"}[r.IntN(3)]}
		e.Priority = event.High
		switch r.IntN(12) {
		case 0:
			e.Order.Value = ""
		case 1:
			e.Order.Value = "-12.50"
		case 2:
			e.Order.Value = "0"
		}
	}
	if v := e.Order.Value; v != "" && r.IntN(6) > 0 {
		whole, _, _ := strings.Cut(string(v), ".")
		e.Enrichment.Value = event.Value{Amount: event.Amount(whole + ".1234"), Currency: "EUR", Date: "2026-10-01"}
	}
	if i%25 == 24 {
		h := hostile[i/25%len(hostile)]
		switch i / 25 / len(hostile) { // once each: the id is a key
		case 0:
			e.Name, e.Context.Page.Title = h, h
		case 1:
			e.ID, e.Subject.VisitorID = h, h
			e.Order.ID = h
		case 2:
			e.Enrichment.Referrer.Host, e.Enrichment.Campaign.Name, e.Order.Currency = h, h, h
		case 3:
			e.PixelID, e.Context.Page.URL = h, "https://shop.example.com/"+h
		}
	}
	return e
}

// spring puts events where Europe's clocks go forward.
func spring(events []event.Event) []event.Event {
	for i := range events {
		e := &events[i]
		for _, t := range []*time.Time{&e.Time, &e.SentAt, &e.ReceivedAt} {
			*t = t.AddDate(0, 0, -210)
		}
	}
	return events
}

// Matches makes matches for about half of the events.
func Matches(seed uint64, events []event.Event) []event.Match {
	r := rand.New(rand.NewPCG(seed, 3))
	var out []event.Match
	for i := range events {
		e := &events[i]
		for _, partner := range []string{"ttd", "amazon", "dv360"}[:r.IntN(4)] {
			if r.IntN(2) == 0 {
				out = append(out, event.Match{EventID: e.ID, PixelID: e.PixelID, Partner: partner, Name: e.Name, ReceivedAt: e.ReceivedAt,
					Grade: event.Grades[r.IntN(len(event.Grades))], Keys: []string{"email"}, Missing: []string{}})
			}
		}
	}
	return out
}

// Syncs makes up to two lines of the sync log for each event.
func Syncs(seed uint64, events []event.Event) []event.Sync {
	r := rand.New(rand.NewPCG(seed, 2))
	var syncs []event.Sync
	for i := range events {
		e := &events[i]
		for attempt := range r.IntN(3) {
			l := event.Sync{
				EventID: e.ID, PixelID: e.PixelID, Partner: [...]string{"ttd", "amazon", "dv360"}[r.IntN(3)], Attempt: attempt,
				At: e.ReceivedAt.Add(time.Duration(r.IntN(60_000_000)) * time.Microsecond), Outcome: [...]event.Outcome{event.Accepted, event.Accepted, event.Retry, event.Rejected, event.NotSent}[r.IntN(5)],
				Status: 200, Latency: time.Duration(r.IntN(1e9)), RequestID: fmt.Sprintf("%08x", r.Uint32()), Payload: fmt.Sprintf("%064x", r.Uint64()), OrderID: e.Order.ID,
			}
			if r.IntN(20) == 0 {
				l.Outcome = [...]event.Outcome{event.Dry, event.Unverified}[r.IntN(2)]
			}
			if attempt == 0 || l.Outcome == event.NotSent {
				l.Status, l.Latency = 0, 0
			}
			if l.Outcome != event.Accepted {
				l.Code, l.Message, l.Answer = [...]string{"partner_off", "consent", "InvalidPrivacySetting", ""}[r.IntN(4)], "not sent: partner is off", `{"error":"no"}`
			}
			if i%25 == 24 && attempt == 0 {
				h := hostile[r.IntN(len(hostile))]
				l.Partner, l.Code, l.Message, l.Answer = h, h, h, h
			}
			syncs = append(syncs, l)
		}
	}
	return syncs
}

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/miq/pixel/modules/event"
)

// shop makes events as those of a few shops: a month of them, oldest first, with the
// same ones for the same seed but for their ids.
type shop struct {
	r        *rand.Rand
	from     time.Time
	every    time.Duration
	visitors int
	made     int
}

func newShop(events int, until time.Time) *shop {
	span := 30 * 24 * time.Hour
	return &shop{r: rand.New(rand.NewPCG(1, 2)), from: until.Add(-span), every: span / time.Duration(events), visitors: max(10, events/8)}
}

var (
	shopNames  = []string{"page_view", "page_view", "page_view", "page_view", "page_view", "view_item", "view_item", "view_item", "add_to_cart", "begin_checkout", "purchase", "scroll", "scroll"}
	shopPixels = []string{"px_shop", "px_shop", "px_shop", "px_journal", "px_us"}
	shopLands  = []string{"GB", "GB", "DE", "FR", "US", "US", "NL", ""}
	shopAgents = []struct {
		agent  string
		device event.Device
	}{
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", event.Device{Class: "desktop", Browser: "Chrome", BrowserVersion: "142.0.0.0", OS: "Windows", OSVersion: "10.0"}},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1", event.Device{Class: "mobile", Browser: "Safari", BrowserVersion: "19.1", OS: "iOS", OSVersion: "19.1"}},
		{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36", event.Device{Class: "mobile", Browser: "Chrome", BrowserVersion: "142.0.0.0", OS: "Android", OSVersion: "10"}},
	}
)

// next makes the next n.
func (s *shop) next(n int) []event.Event {
	out := make([]event.Event, n)
	for i := range out {
		at := s.from.Add(time.Duration(s.made) * s.every).Truncate(time.Microsecond).UTC()
		s.made++
		a := shopAgents[s.r.IntN(len(shopAgents))]
		visitor := fmt.Sprintf("%016x", uint64(1+s.r.IntN(1+s.r.IntN(s.visitors)))*0x9E3779B97F4A7C15)
		path := fmt.Sprintf("/products/%d", s.r.IntN(1+s.r.IntN(2000)))
		id, err := uuid.NewV7()
		if err != nil {
			panic(err) // there is no randomness
		}
		e := event.Event{
			ID: id.String(), Receipt: id.String(), PixelID: shopPixels[s.r.IntN(len(shopPixels))], Name: shopNames[s.r.IntN(len(shopNames))],
			Time: at.Add(-time.Duration(s.r.IntN(4000)) * time.Millisecond), SentAt: at.Add(-100 * time.Millisecond), ReceivedAt: at, Source: "web", Priority: event.Standard,
			Consent: event.Consent{TCF: fmt.Sprintf("CQ%032xAAfKABENB-CgAAAAAAAAAAYgAA", s.r.Uint64()), State: event.Full},
			Verdict: event.Verdict{State: [...]event.State{event.Full, event.Full, event.Full, event.Partial}[s.r.IntN(4)], Regime: "gdpr", Rule: "G5", Reason: "all purposes are allowed"},
			Subject: event.Subject{VisitorID: visitor, AnonymousID: visitor, Country: shopLands[s.r.IntN(len(shopLands))]},
			Context: event.Context{Page: event.Page{URL: "https://shop.example.com" + path, Referrer: "https://www.google.com/", Title: "Product " + path[10:]}, Locale: "en-GB", Timezone: "Europe/London",
				SDK: event.SDK{Name: "web", Version: "1.0.0"}, IP: "192.0.2.0", UserAgent: a.agent},
			Properties: []byte(fmt.Sprintf(`{"list":"spring","position":%d}`, s.r.IntN(40))),
			Enrichment: event.Enrichment{Device: a.device, Referrer: event.Referrer{Host: "www.google.com", Kind: "search", Name: "Google"}},
		}
		if s.r.IntN(4) == 0 {
			e.Enrichment.Campaign = event.Campaign{Source: "google", Medium: "cpc", Name: fmt.Sprintf("campaign-%02d", s.r.IntN(40))}
		}
		if e.Name == "purchase" {
			e.Priority = event.High
			e.Order = event.Order{ID: fmt.Sprintf("A-%d", s.made), Value: event.Amount(fmt.Sprintf("%d.%02d", 5+s.r.IntN(300), s.r.IntN(100))), Currency: [...]string{"GBP", "GBP", "EUR", "USD"}[s.r.IntN(4)]}
		}
		out[i] = e
	}
	return out
}

package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/simulate"
)

// traffic makes events as the collector accepts them from visitors who come to a shop
// about once a day, look around and now and then buy: many visits at once, their events
// mixed. A visitor has the same browser, consent and customer id at each visit. The same
// seed makes the same events.
type traffic struct {
	r        *rand.Rand
	visitors int
	began    time.Time
	now      time.Time // when the next visit begins
	visits   []visit
	made     uint64
	agents   []string
}

// visit is one that goes on.
type visit struct {
	visitor int
	at      time.Time // of the last event
	left    int
	page    int
	landing bool
	buys    bool
}

const (
	// atOnce is how many visits go on at any time.
	atOnce = 1000
	// perVisit is how many events a visit has about.
	perVisit = 6
)

// span is about how long so many events take, and the first ones of all visitors.
func span(visitors, events int) time.Duration {
	return time.Duration(float64(visitors+events/perVisit+2*atOnce) / float64(visitors) * float64(24*time.Hour))
}

func newTraffic(visitors int, from time.Time) *traffic {
	t := &traffic{r: rand.New(rand.NewPCG(3, 4)), visitors: visitors, began: from, now: from}
	for _, system := range []string{"Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"} {
		for v := 130; v < 143; v++ {
			t.agents = append(t.agents, fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", system, v))
		}
	}
	for v := 14; v < 20; v++ {
		t.agents = append(t.agents, fmt.Sprintf("Mozilla/5.0 (iPhone; CPU iPhone OS %d_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.1 Mobile/15E148 Safari/604.1", v, v))
	}
	return t
}

// shopSite is the pixel that the events are of.
func shopSite() settings.Pixel {
	return settings.Pixel{
		ID: "px_shop", Name: "Shop", Enabled: true, ConsentMode: settings.CMP, Domains: []string{"shop.example.com"}, Country: "GB",
		Consent: settings.ConsentOptions{Default: "full"},
		Routes: []settings.Route{
			{Partner: "ttd", Event: "purchase", Enabled: true, Params: []byte(`{"adv":"adv1","tracker_id":"trk1"}`)},
			{Partner: "dv360", Event: "purchase", Enabled: true, When: "value > 10.0 && country != \"FR\"", Params: []byte(`{"profile_id":"1","floodlight_configuration_id":"2","floodlight_activity_id":"3"}`)},
			{Partner: "ttd", Event: "add_to_cart", Enabled: true, Sample: 50, Params: []byte(`{"adv":"adv1","tracker_id":"trk2"}`)},
		},
	}
}

// number is the n-th of a visitor's own numbers, always the same.
func number(visitor int, n uint64) uint64 {
	x := uint64(visitor)*0x9E3779B97F4A7C15 + n*0xBF58476D1CE4E5B9
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

func nameOf(visitor int) string {
	a, b := number(visitor, 1), number(visitor, 2)
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(a), uint16(a>>32), a>>48&0xfff, b>>48&0xfff, b&0xffffffffffff)
}

// first makes the first event that is known of the visitor: one page.
func (t *traffic) first(visitor int) queue.Item {
	return t.event(&visit{visitor: visitor, at: t.arrival(), landing: true}, "page_view")
}

// next makes the next event of whichever visit it is.
func (t *traffic) next() queue.Item {
	if len(t.visits) < atOnce {
		t.visits = append(t.visits, t.come())
	}
	i := t.r.IntN(len(t.visits))
	v := &t.visits[i]
	name := "page_view"
	switch n := t.r.IntN(100); {
	case v.landing && n < 4:
		name = "impression"
	case v.landing && n < 8:
		name = "click"
	case v.landing:
	case v.buys && v.left == 1:
		name = "purchase"
	case v.buys && v.left == 2:
		name = "begin_checkout"
	case n < 25:
		name = "view_item"
	case n < 31:
		name = "add_to_cart"
	case n < 37:
		name = "scroll"
	}
	out := t.event(v, name)
	v.landing = false
	if v.left--; v.left <= 0 {
		t.visits[i] = t.come()
	}
	return out
}

// arrival is when the next visitor comes.
func (t *traffic) arrival() time.Time {
	t.now = t.now.Add(24 * time.Hour / time.Duration(t.visitors))
	return t.now
}

func (t *traffic) come() visit {
	v := visit{at: t.arrival(), visitor: t.r.IntN(t.visitors), left: 1 + t.r.IntN(5) + t.r.IntN(8), landing: true, page: t.r.IntN(500)}
	v.buys = v.left > 5 && t.r.IntN(6) == 0
	return v
}

func (t *traffic) event(v *visit, name string) queue.Item {
	t.made++
	v.at = v.at.Add(time.Duration(5+t.r.IntN(50)) * time.Second)
	r, id := t.r, v.visitor
	known := number(id, 3)%4 == 0 // a customer who is logged in
	european := number(id, 4)%3 > 0
	at := v.at.Truncate(time.Microsecond)
	unique := func() string {
		return fmt.Sprintf("%012x-7%03x-8%03x-%012x", at.UnixMilli(), r.Uint32()&0xfff, r.Uint32()&0xfff, r.Uint64()&0xffffffffffff)
	}
	uuid := func() string { u := unique(); return u[:8] + "-" + u[8:] }
	v.page = (v.page + r.IntN(7)) % 500
	e := event.Event{
		ID: uuid(), Receipt: uuid(), PixelID: "px_shop", Name: name,
		Time: at.Add(-time.Duration(200+r.IntN(800)) * time.Millisecond), SentAt: at.Add(-100 * time.Millisecond), ReceivedAt: at, Source: "web", Priority: event.Standard,
		Subject: event.Subject{AnonymousID: nameOf(id)},
		Context: event.Context{
			Page:   event.Page{URL: fmt.Sprintf("https://shop.example.com/shoes/item-%d", v.page), Referrer: "https://shop.example.com/shoes", Title: fmt.Sprintf("Running shoe %d | Shop", v.page)},
			Locale: [...]string{"en-GB", "de-DE", "en-US"}[number(id, 5)%3], Timezone: "Europe/London",
			Screen: event.Screen{Width: 1920, Height: 1080}, SDK: event.SDK{Name: "web", Version: "1.0.0"},
			IP:        fmt.Sprintf("203.0.%d.%d", number(id, 6)%256, number(id, 7)%256),
			UserAgent: t.agents[number(id, 8)%uint64(len(t.agents))],
			Place:     event.Place{Country: "US", Region: "CA"},
		},
	}
	if european {
		yes := true
		e.Context.Place = event.Place{Country: "GB"}
		e.Consent = event.Consent{GDPRApplies: &yes, TCF: tcString(t.began.Add(-time.Duration(number(id, 9)%(200*24))*time.Hour), number(id, 10)%5 > 0)}
	} else {
		e.Consent = event.Consent{USPrivacy: "1YNN"}
	}
	if v.landing {
		switch n := r.IntN(10); {
		case n < 3:
			e.Context.Page.URL += fmt.Sprintf("?utm_source=google&utm_medium=cpc&utm_campaign=campaign-%02d&gclid=Cj0KCQ%016x", r.IntN(40), r.Uint64())
			e.Context.Page.Referrer = "https://www.google.com/"
		case n < 4:
			e.Context.Page.URL += "?utm_source=newsletter&utm_medium=email&utm_campaign=spring"
			e.Context.Page.Referrer = ""
		case n < 7:
			e.Context.Page.Referrer = "https://www.google.com/"
		default:
			e.Context.Page.Referrer = ""
		}
	}
	if known {
		e.Subject.UserID = fmt.Sprintf("customer-%d", id)
	}
	switch name {
	case "purchase", "begin_checkout":
		e.Priority = event.High
	case "scroll":
		e.Priority = event.Low
	}
	price := fmt.Sprintf("%d.%02d", 10+r.IntN(200), r.IntN(100))
	switch name {
	case "page_view":
		e.Properties = []byte(`{"category":"shoes"}`)
	case "scroll":
		e.Properties = []byte(`{"percent":75}`)
	case "impression", "click":
		e.Properties = []byte(fmt.Sprintf(`{"partner":"dv360","campaign":"campaign-%02d","creative":"%d"}`, r.IntN(40), r.IntN(400)))
	default:
		order := ""
		if name == "purchase" {
			order = fmt.Sprintf(`"order_id":"A-%d",`, t.made)
			e.Subject.Email = fmt.Sprintf("%016x%016x%016x%016x", number(id, 11), number(id, 12), number(id, 13), number(id, 14))
			e.Subject.PostalCode, e.Subject.Country = fmt.Sprintf("%016x%016x%016x%016x", number(id, 15), number(id, 16), number(id, 17), number(id, 18)), "GB"
		}
		e.Properties = []byte(fmt.Sprintf(`{%s"value":%s,"currency":"GBP","items":[{"item_id":"SKU%d","item_name":"Running shoe %d","price":%s,"quantity":1}]}`, order, price, v.page, v.page, price))
		e.Order, _ = event.ParseOrder(name, e.Properties)
	}
	decide(&e)
	return queue.Item{Queue: queue.Ingest(e.Priority), Body: event.Encode(&e), Account: queue.AccountOf(e.PixelID, e.ReceivedAt)}
}

var decider = consent.New(consent.Options{})

// decide does with consent what the collector does.
func decide(e *event.Event) {
	s := shopSite()
	e.Verdict = decider.Decide(consent.Request{Signals: e.Consent, Country: e.Context.Place.Country, Now: e.ReceivedAt}, s.Site())
	consent.Strip(e, e.Verdict.State, []byte("salt"))
}

// tcString is a TC string as a consent platform makes them: all purposes, or those of
// our own analytics alone, 1 and 7.
func tcString(made time.Time, all bool) string {
	if all {
		return simulate.TCString(made, 0xffc000)
	}
	return simulate.TCString(made, 1<<23|1<<17)
}

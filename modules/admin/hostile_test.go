package admin

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// hostile is what an event may carry to hurt whoever looks at it.
var hostile = []string{
	`<script>window.owned=1</script>`,
	`"><img src=x onerror="window.owned=1">`,
	`<svg onload=window.owned=1>`,
	`'-window.owned=1-'`,
	`{{.Secret}}{{template "layout"}}`,
	`javascript:window.owned=1`,
	`</textarea></title></style><iframe srcdoc="<script>parent.owned=1</script>">`,
	"\u202egnp.exe\u2066 \u0000 \ufeff",
	`=HYPERLINK("https://evil.example")`,
	`hx-get="/logout" <a hx-on:click="window.owned=1">`,
	strings.Repeat("W", 10_000),
}

// attack stores hostile text wherever an event, a line of the sync log, a dead
// letter or a setting can carry some, and returns the events' ids.
func attack(t *testing.T, b *bench) []string {
	ctx, now := t.Context(), time.Now().UTC()
	var ids []string
	for i, h := range hostile {
		e := someEvent(fmt.Sprintf("h%d-%s", i, cut(h, 80)), now)
		e.Name, e.Source, e.PixelID = "custom"+cut(h, 40), cut(h, 40), "px_shop"
		e.Context.Page = event.Page{URL: "https://shop.example.com/" + h, Title: h, Referrer: h}
		e.Context.Locale, e.Context.Timezone, e.Context.UserAgent, e.Context.IP = h, h, h, h
		e.Context.SDK = event.SDK{Name: h, Version: h}
		e.Subject = event.Subject{VisitorID: h, AnonymousID: h, UserID: h, Email: h, Country: h, ClickIDs: map[string]string{h: h}, PartnerIDs: map[string]string{h: h}}
		e.Order = event.Order{ID: h, Value: "1", Currency: cut(h, 20), Items: []event.Item{{ID: h, Name: h, Brand: h}}}
		e.Enrichment = event.Enrichment{Device: event.Device{Class: h, Browser: h, OS: h}, Campaign: event.Campaign{Source: h, Name: h}, Referrer: event.Referrer{Host: h, Kind: h, Name: h}, Bot: h}
		e.Verdict.Rule, e.Verdict.Reason = h, h
		quoted, err := jsontext.AppendQuote(nil, h)
		must(t, err)
		e.Properties = jsontext.Value(`{"x":` + string(quoted) + `}`)
		must(t, b.store.WriteEvents(ctx, e))
		must(t, b.store.WriteSyncs(ctx, event.Sync{EventID: e.ID, PixelID: e.PixelID, Partner: "ttd", Attempt: 1, At: now, Outcome: event.Rejected, Code: cut(h, 60), Message: h, Status: 400, RequestID: h, Answer: h, OrderID: h}))
		must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Validation, Body: []byte(h), Reason: h}))
		ids = append(ids, e.ID)
	}
	_, err := b.addPixel(ctx, principal{Kind: "user", Name: hostile[0]}, settings.Pixel{ID: "px_1", Name: cut(hostile[1], 200), Advertiser: hostile[0], Enabled: true, Routes: []settings.Route{
		{Partner: "amazon", Event: "*", Enabled: true, Params: jsontext.Value(`{"account_id":"<svg/onload=owned=1>"}`)},
	}})
	must(t, err)
	_, err = b.people.add(ctx, user{Login: cut(hostile[0], 100), Role: Viewer})
	must(t, err)
	return ids
}

func cut(s string, n int) string {
	s = strings.ReplaceAll(s, "\u0000", "")
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// spilled says what is cut off by the card that it is in or runs over its edge, and cannot
// be moved into sight.
const spilled = `[...document.querySelectorAll("main .card, main .tile")].filter((c) => c.checkVisibility()).flatMap((c) => {
	const edge = c.getBoundingClientRect().right + 1;
	const moves = (e) => e && e.tagName !== "MAIN" && (["auto", "scroll"].includes(getComputedStyle(e).overflowX) || moves(e.parentElement));
	return [...c.querySelectorAll("td, th, p, h1, h2, h3, dd, dt, code, a, .chip, .badge, input, select")].filter((e) => e.checkVisibility() && !e.closest(".sr, .clip, .clip-s, svg, select, .pop") && e.getBoundingClientRect().right > edge && !moves(e)).map((e) => e.tagName + "." + e.className + " runs out of its card: " + e.textContent.slice(0, 40));
}).slice(0, 3)`

// TestHostileEventsAreInert looks at every page in a browser while the stores
// are full of attacks: no script runs, the policy has nothing to block, and
// nothing breaks out of its place.
func TestHostileEventsAreInert(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	seedProof(t, b, time.Now())
	seedBackfills(t, b, time.Now())
	seedErasures(t, b)
	ids := attack(t, b)
	link, err := b.LoginLink(t.Context())
	must(t, err)
	ctx := chromium(t)
	drive(t, ctx, chromedp.Navigate(b.server.URL+link[len(b.URL()):]))
	paths := []string{"/pixels/px_1", "/pixels/px_1/check", "/pixels/px_1/routes/0"}
	for _, p := range everyPage {
		if p.name != "missing" {
			paths = append(paths, b.at(p.path))
		}
	}
	for _, group := range []string{"utm_source", "utm_campaign", "referrer_host", "page_path", "browser", "name", "source"} {
		paths = append(paths, "/reports?group_by="+group+"&dimension="+group)
	}
	w := b.browser()
	second, err := b.LoginLink(t.Context())
	must(t, err)
	w.get(second[len(b.URL()):])
	list := w.get("/events").body
	for range ids {
		at := strings.Index(list, `href="/events/h`)
		if at < 0 {
			t.Fatal("fewer events are listed than stored")
		}
		list = list[at+6:]
		address := list[:strings.Index(list, `"`)]
		paths = append(paths, strings.ReplaceAll(address, "&amp;", "&"))
	}
	pick := regexp.MustCompile(*only)
	for _, path := range paths {
		where := cut(path, 60)
		if !pick.MatchString(path) {
			continue
		}
		if got := w.get(path); got.status != 200 {
			t.Errorf("%s: %d", where, got.status)
			continue
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+path), chromedp.Poll[chromedp.Void](`document.readyState == "complete"`))
		eval[bool](t, ctx, `document.querySelectorAll("details").forEach((d) => d.open = true), true`)
		healthy(t, ctx, where)
		if eval[bool](t, ctx, `"owned" in window`) {
			t.Errorf("%s: a script ran", where)
		}
		if n := eval[int](t, ctx, `document.querySelectorAll("main script, main iframe, main img, main svg[onload], main [hx-on\\:click], main [onerror]").length`); n > 0 {
			t.Errorf("%s: %d elements that are not ours", where, n)
		}
		// On a phone, where the least fits beside each other, and on a desk, where what a
		// phone hides is shown.
		for _, width := range []int64{390, 1440} {
			drive(t, ctx, chromedp.EmulateViewport(width, 900))
			if over := eval[int](t, ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				t.Errorf("%s is %d px too wide for %d: %s", where, over, width, eval[string](t, ctx, `[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > document.documentElement.clientWidth && !e.closest(".scroll, pre")).map((e) => e.tagName + "." + e.className).slice(0, 5).join(", ")`))
			}
			if broken := eval[[]string](t, ctx, spilled); len(broken) > 0 {
				t.Errorf("%s at %d: %s", where, width, strings.Join(broken, "; "))
			}
		}
		healthy(t, ctx, where)
	}
	// What arrives live passes through script.
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/live"), chromedp.Poll[chromedp.Void](`document.getElementById("live-state").dataset.state == "on"`))
	e := someEvent(`live-<img src=x onerror=owned=1>`, time.Now().UTC())
	e.Name, e.PixelID, e.Order.Currency = `n<img src=x onerror=owned=1>`, `p<script>owned=1</script>`, `<b>`
	must(t, b.store.WriteEvents(t.Context(), e))
	drive(t, ctx, chromedp.Poll[chromedp.Void](`[...document.querySelectorAll("#live-rows a")].some((a) => a.textContent.startsWith("n<img"))`))
	healthy(t, ctx, "/live")
	if eval[bool](t, ctx, `"owned" in window || document.querySelectorAll("main img, main script").length > 0`) {
		t.Error("a live event broke out")
	}
}

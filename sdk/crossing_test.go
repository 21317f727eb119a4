package sdk_test

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/sdk"
)

// The two domains of one shop. Browsers take whatever ends so for this machine, and each
// for a site of its own.
const shopHost, payHost = "shop.localhost", "pay.localhost"

func crossMode(spa string) settings.Pixel {
	return settings.Pixel{
		Enabled: true, ConsentMode: settings.Implied, Consent: settings.ConsentOptions{TrustGDPR0: true},
		Domains: []string{shopHost, payHost}, Tag: settings.TagOptions{CrossDomain: true, SPA: spa},
	}
}

// crossSite is a shop on two domains, with all that leads from the first to the second.
func crossSite(t *testing.T, p settings.Pixel) (s *site, at func(host, path string) string) {
	t.Helper()
	s = newSite(t, p, quick, "")
	u, err := url.Parse(s.Shop.URL)
	if err != nil {
		t.Fatal(err)
	}
	at = func(host, path string) string { return "http://" + host + ":" + u.Port() + path }
	page := "<!doctype html><title>Shop</title><body>" +
		`<a id="link" href="` + at(payHost, "/till?id=5") + `">pay</a> ` +
		`<a id="part" href="` + at(payHost, "/till#prices") + `">prices</a> ` +
		`<a id="own" href="` + at(shopHost, "/more") + `">more</a> ` +
		`<a id="away" href="` + at("elsewhere.localhost", "/") + `">away</a> ` +
		`<form id="get" action="` + at(payHost, "/till?lost=1") + `"><input name="q" value="7"><button>get</button></form>` +
		`<form id="post" method="post" action="` + at(payHost, "/till?id=6") + `"><input name="q" value="7"><button>post</button></form>` +
		`<p style="height:3000px"></p><h2 id="prices">Prices</h2>` + sdk.Snippet(s.Collector.URL, "px_demo")
	for _, path := range []string{"/", "/till", "/more"} {
		s.put(path, page)
	}
	return s, at
}

// aim puts the focus on what leads away, and waits until the tag has a token for it.
func (s *site) aim(t *testing.T, ctx context.Context, selector string, want bool) {
	t.Helper()
	do(t, ctx, chromedp.Poll[chromedp.Void](`window.miqParts && window.miqParts.cross`))
	const answers = `performance.getEntriesByType("resource").filter(e => /[/]crossing$/.test(e.name)).length`
	before := eval[int](t, ctx, answers)
	eval[any](t, ctx, `document.querySelector("`+selector+`").focus()`)
	if want {
		do(t, ctx, chromedp.Poll[chromedp.Void](answers+` > `+strconv.Itoa(before)))
	}
	eval[any](t, ctx, settle+".then(() => 1)") // until the page has made something of the answer
}

func (s *site) tokens() (n int) {
	for _, a := range s.arrivals() {
		if a.Path == "/crossing" && a.Method == "POST" && a.Status == 200 {
			n++
		}
	}
	return n
}

// kept are the events that the collector keeps of a page, by the host and then the path.
func (s *site) kept(t *testing.T, host string) []event.Event {
	t.Helper()
	var out []event.Event
	for _, p := range event.Priorities {
		list, err := s.queue.Pull(t.Context(), queue.Ingest(p), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			var e event.Event
			if err := event.Decode(m.Body, &e); err != nil {
				t.Fatal(err)
			}
			if u, err := url.Parse(e.Context.Page.URL); err == nil && u.Hostname() == host {
				out = append(out, e)
			}
		}
	}
	return out
}

func TestAVisitorIsKnownAgainOnAnotherOfTheDomains(t *testing.T) {
	for name, c := range map[string]struct {
		spa, selector, want string // where he gets to
	}{
		"by a link":                          {"", "#link", "/till?id=5"},
		"by a link to a part of a page":      {"", "#part", "/till#prices"},
		"by a form":                          {"", "#get button", "/till?q=7"},
		"by a form that posts":               {"", "#post button", "/till?id=6"},
		"where the fragment is the app's":    {"hash", "#part", "/till#prices"},
		"by a form, the fragment is the app": {"hash", "#get button", "/till?q=7"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := browse(t)
			s, at := crossSite(t, crossMode(c.spa))
			do(t, ctx, chromedp.Navigate(at(shopHost, "/")))
			first := s.next(t)
			s.aim(t, ctx, c.selector, true)
			do(t, ctx, chromedp.KeyEvent("\r"))
			second := s.next(t)
			for !strings.Contains(text(second), payHost+":") || second.names() == "" {
				second = s.next(t)
			}
			do(t, ctx, chromedp.Poll[chromedp.Void](`location.hostname == "`+payHost+`" && location.href.indexOf("_miq") < 0`))
			if got := eval[string](t, ctx, `location.href`); got != at(payHost, c.want) {
				t.Errorf("the address is %s, want %s", got, at(payHost, c.want))
			}
			if c.selector == "#part" && c.spa == "" { // the page is at its part
				do(t, ctx, chromedp.Poll[chromedp.Void](`scrollY > 500`))
			}
			a, b := first.at("identity", "anonymous_id"), second.at("identity", "anonymous_id")
			kept := s.kept(t, payHost)
			if len(kept) == 0 || a == b || kept[0].Crossing.Visitor != a || kept[0].Subject.AnonymousID != b {
				t.Fatalf("%v went to the other domain, where %v came; kept %+v", a, b, kept)
			}
			if e := kept[0]; strings.Contains(e.Context.Page.URL, "_miq") || e.Context.Page.URL != at(payHost, c.want) {
				t.Errorf("kept with the address %s", e.Context.Page.URL)
			}
			// The address that was cleaned is no new page, to an app neither.
			eval[any](t, ctx, settle+`.then(() => { location.hash = "#other"; return `+settle+` }).then(() => 1)`)
			want := 1
			if c.spa == "hash" {
				want = 2 // #other is one
			}
			views := func() (n int) {
				for _, r := range s.arrivals() {
					if r.Path == "/collect" && r.at("identity", "anonymous_id") == b {
						n += strings.Count(r.names(), "page_view")
					}
				}
				return n
			}
			for deadline := time.Now().Add(time.Minute); views() < want && time.Now().Before(deadline); {
				<-time.After(10 * time.Millisecond)
			}
			if n := views(); n != want {
				t.Errorf("%d page views, want %d", n, want)
			}
		})
	}
}

func TestNoTokenLeavesWhereNoneIsDue(t *testing.T) {
	ctx := browse(t)
	s, at := crossSite(t, crossMode(""))
	do(t, ctx, chromedp.Navigate(at(shopHost, "/")))
	s.next(t)
	for _, selector := range []string{"#own", "#away"} {
		if s.aim(t, ctx, selector, false); s.tokens() != 0 {
			t.Errorf("%s: a token was asked for", selector)
		}
	}
	// Who copies the address copies it as the page has it.
	s.aim(t, ctx, "#link", true)
	if got := eval[string](t, ctx, `addEventListener("click", e => e.preventDefault(), {once: true}); link.click(); new Promise(done => setTimeout(() => done(link.href), 100))`); got != at(payHost, "/till?id=5") {
		t.Errorf("after a click that led nowhere the link is %s", got)
	}
	// One token is for one click; and a visitor who takes consent back has none left.
	eval[any](t, ctx, `link.blur(), 1`)
	s.aim(t, ctx, "#link", true)
	eval[any](t, ctx, `miq("consent", {state: "partial"}), `+settle+".then(() => 1)")
	got := eval[string](t, ctx, `let seen; addEventListener("click", e => { e.preventDefault(); seen = link.href }, {once: true}); link.click(); seen`)
	if got != at(payHost, "/till?id=5") {
		t.Errorf("after consent was taken back the link leads to %s", got)
	}
}

// Who is sent an address with a token in it, and opens it elsewhere, is nobody else.
func TestAnAddressThatIsPassedOnMakesNobodySomebodyElse(t *testing.T) {
	ctx := browse(t)
	s, at := crossSite(t, crossMode(""))
	do(t, ctx, chromedp.Navigate(at(shopHost, "/")))
	s.next(t)
	s.aim(t, ctx, "#link", true)
	address := eval[string](t, ctx, `let seen; addEventListener("click", e => { e.preventDefault(); seen = link.href }, {once: true}); link.click(); seen`)
	if !strings.Contains(address, "#_miq=") {
		t.Fatalf("the link led to %s", address)
	}
	other := browse(t)
	do(t, other, chromedp.Navigate(address))
	s.next(t)
	if kept := s.kept(t, payHost); len(kept) != 1 || kept[0].Crossing != (event.Crossing{}) || strings.Contains(kept[0].Context.Page.URL, "_miq") {
		t.Errorf("kept %+v", kept)
	}
}

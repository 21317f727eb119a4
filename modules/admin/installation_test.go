package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// finding is the check of a name, or an empty one.
func finding(list []check, name string) check {
	for _, c := range list {
		if c.Name == name {
			return c
		}
	}
	return check{}
}

func TestACheckSaysWhatIsMissing(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	site := func(change func(*heard)) []check {
		e := someEvent("e-1", now.Add(-3*time.Second))
		h := heard{
			pixel:  settings.Pixel{ID: "px_shop", Enabled: true, ConsentMode: settings.CMP, Domains: []string{"shop.example.com"}, Routes: []settings.Route{{Partner: "ttd", Event: "*", Enabled: true}}},
			origin: "https://px.example.com", events: []event.Event{e}, now: now,
		}
		change(&h)
		return h.checks()
	}
	for _, c := range []struct {
		what           string
		change         func(*heard)
		name, status   string
		title, inWords string
	}{
		{"all is well", func(h *heard) {}, "event", good, "Events arrive", "3 s ago"},
		{"all is well", func(h *heard) {}, "cookie", good, "first-party", "one site"},
		{"nothing came", func(h *heard) { h.events = nil }, "event", pending, "Waiting for the first event", "in another tab"},
		{"off", func(h *heard) { h.pixel.Enabled = false }, "pixel", wrong, "off", "refused"},
		{"consent withheld it all", func(h *heard) { h.events, h.suppressed = nil, 7 }, "consent", wrong, "none of 7 events", "__tcfapi"},
		{"its own banner was not answered", func(h *heard) {
			h.events, h.suppressed, h.pixel.ConsentMode = nil, 1, settings.GCM
		}, "consent", wrong, "none of 1 event", `miq("consent", {state: "full"})`},
		{"no signal", func(h *heard) { h.events[0].Consent = event.Consent{} }, "consent", careful, "No consent signal", "consent platform"},
		{"no signal needed", func(h *heard) {
			h.events[0].Consent, h.pixel.ConsentMode = event.Consent{}, settings.Implied
		}, "consent", good, "No consent signal", "vouch"},
		{"partial", func(h *heard) { h.events[0].Verdict.State = event.Partial }, "consent", careful, "our own analytics only", "accept everything"},
		{"a domain that is not listed", func(h *heard) {
			h.refusals = []refusal{{Code: "origin_not_allowed", Message: "came from a site that is not among the pixel's domains: copy.example.net", At: now}}
		}, "domain", wrong, "copy.example.net is not among", "copied the tag"},
		{"a frame without an address", func(h *heard) {
			h.refusals = []refusal{{Code: "origin_not_allowed", Message: "came from a site that is not among the pixel's domains: ", At: now}}
		}, "domain", wrong, "not in the pixel's list", "sandboxed frame"},
		{"events that are refused", func(h *heard) {
			h.refusals = []refusal{{Code: "name", Pointer: "/events/0/name", Message: "must be a letter, then letters", At: now}}
		}, "refused", wrong, "1 event was refused", "/events/0/name must be a letter"},
		{"any domain", func(h *heard) { h.pixel.Domains = nil }, "domain", careful, "Seen on shop.example.com", "List the advertiser's domains"},
		{"the image alone", func(h *heard) { h.events[0].Source = "pixel" }, "event", careful, "Events arrive", "script was blocked"},
		{"another site's collector", func(h *heard) { h.origin = "https://collect.example.net" }, "cookie", careful, "third party", "px.example.com"},
		{"without https", func(h *heard) { h.origin = "http://px.example.com" }, "cookie", wrong, "https", "Secure"},
		{"nothing is kept", func(h *heard) { h.events[0].Subject = event.Subject{} }, "visitor", careful, "No id", "sandboxed frame"},
		{"a wrong clock", func(h *heard) { h.events[0].Enrichment.Skew = 180_000 }, "clock", careful, "clock is wrong", "3m0s behind"},
		{"a program", func(h *heard) { h.events[0].Enrichment.Bot = "user agent: HeadlessChrome" }, "people", careful, "programs", "HeadlessChrome"},
		{"a dry run", func(h *heard) { h.pixel.Dry = true }, "partners", careful, "Test mode", "nothing is sent"},
		{"no route", func(h *heard) { h.pixel.Routes = nil }, "partners", careful, "no partner yet", "own reports"},
		{"a partner that is off", func(h *heard) { h.off = []string{"The Trade Desk"} }, "partners", careful, "The Trade Desk is switched off", "nothing is sent"},
	} {
		found := site(c.change)
		got := finding(found, c.name)
		if got.Status != c.status || !strings.Contains(got.Title, c.title) || !strings.Contains(got.Text, c.inWords) {
			t.Errorf("%s: %+v", c.what, got)
		}
		for _, x := range found {
			if (x.Link == "") != (x.Do == "") {
				t.Errorf("%s: %+v", c.what, x)
			}
		}
	}
}

func TestTheInstallationThroughTheAPI(t *testing.T) {
	b := open(t)
	ask[any](b, post, base+"/pixels", `{"id":"px_shop","domains":["shop.example.com"]}`, 201)
	if got := ask[installation](b, get, base+"/pixels/px_shop/installation", nil, 200); got.Working || finding(got.Checks, "event").Status != pending {
		t.Errorf("%+v", got)
	}
	must(t, b.queue.Push(t.Context(), queue.Item{Queue: queue.Validation, Reason: "origin_not_allowed: x",
		Body: fmt.Appendf(nil, `{"pixel_id":"px_shop","received_at":%q,"code":"origin_not_allowed","message":"came from a site that is not among the pixel's domains: evil.example"}`, time.Now().UTC().Format(time.RFC3339Nano))}))
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-1", time.Now().UTC())))
	got := ask[installation](b, get, base+"/pixels/px_shop/installation", nil, 200)
	if got.Working || !strings.Contains(finding(got.Checks, "domain").Title, "evil.example") || finding(got.Checks, "event").Status != good {
		t.Errorf("%+v", got)
	}
	if got := b.call(adminToken, get, base+"/pixels/px_shop/installation?since=yesterday", nil); got.status != 400 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestAPixelIsInstalledInABrowser is the journey in a browser: make a pixel, copy the tag,
// wait for the first event, be told what is wrong, mend it.
func TestAPixelIsInstalledInABrowser(t *testing.T) {
	asEachRole(t, Marketer, func(t *testing.T, role Role, may bool) {
		collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
		}))
		defer collector.Close()
		b := open(t, func(o *Options) { o.Collector.PublicURL = collector.URL })
		ctx := chromium(t)
		b.enter(ctx, role)
		if !may {
			b.ends(ctx, role, Marketer, "/pixels", `a[href="/pixels/new"]`)
			b.ends(ctx, role, Marketer, "/pixels/new", "main form")
			return
		}
		begun := time.Now()
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels"))
		press(t, ctx, `a[href="/pixels/new"]`)
		fill(t, ctx, "#name", "Spring shop")
		fill(t, ctx, "#id", "px_shop")
		press(t, ctx, "main form .btn.primary")
		until(t, ctx, `location.pathname == "/pixels/px_shop" && document.body.textContent.includes("The pixel is made.")`)
		t.Logf("a pixel was made in %v", time.Since(begun).Round(time.Millisecond))
		for _, id := range []string{"tag", "tag-shopify", "tag-woocommerce", "tag-module", "tag-pinned", "tag-image", "tag-csp"} {
			if !eval[bool](t, ctx, fmt.Sprintf(`document.getElementById(%q).textContent.includes(%q) && !!document.querySelector('[data-copy=%s]')`, id, collector.URL, id)) {
				t.Errorf("%s cannot be copied", id)
			}
		}
		press(t, ctx, `#install a[href="/pixels/px_shop/check"]`)
		until(t, ctx, `document.getElementById("reach") && document.getElementById("reach").className == "ok"`)
		until(t, ctx, `document.getElementById("verdict").textContent.includes("waiting")`)
		// The first event comes from a site that nobody listed, and then the right one.
		_, err := b.changePixel(t.Context(), principal{}, "pixel.update", with(t, b, "px_shop", func(p *settings.Pixel) { p.Domains = []string{"other.example.com"} }))
		must(t, err)
		must(t, b.queue.Push(t.Context(), queue.Item{Queue: queue.Validation, Reason: "x",
			Body: fmt.Appendf(nil, `{"pixel_id":"px_shop","received_at":%q,"code":"origin_not_allowed","message":"came from a site that is not among the pixel's domains: shop.example.com"}`, time.Now().UTC().Format(time.RFC3339Nano))}))
		until(t, ctx, `document.getElementById("checks").textContent.includes("shop.example.com is not among the pixel's domains")`)
		until(t, ctx, `document.getElementById("verdict").textContent.includes("something is wrong")`)
		press(t, ctx, `#checks a[href="/pixels/px_shop#domains"]`)
		until(t, ctx, `location.pathname == "/pixels/px_shop" && !!document.getElementById("domains")`)
		fill(t, ctx, "#domains", "shop.example.com")
		press(t, ctx, "#settings .form-foot .btn")
		until(t, ctx, `document.body.textContent.includes("Saved.")`)
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels/px_shop/check?since="+url.QueryEscape(time.Now().UTC().Add(time.Second).Format(time.RFC3339))))
		must(t, b.store.WriteEvents(t.Context(), someEvent("e-first", time.Now().UTC().Add(2*time.Second))))
		until(t, ctx, `document.getElementById("verdict").textContent.includes("works")`)
		until(t, ctx, `!document.getElementById("checks").hasAttribute("hx-get")`)
		healthy(t, ctx, "the check")
	})
}

func TestABrowserThatCannotReachTheCollectorSaysSo(t *testing.T) {
	asEachRole(t, Viewer, func(t *testing.T, role Role, _ bool) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		b := open(t, func(o *Options) { o.Collector.PublicURL = gone.URL })
		ask[any](b, post, base+"/pixels", `{"id":"px_shop"}`, 201)
		ctx := chromium(t)
		b.enter(ctx, role)
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels/px_shop/check"))
		until(t, ctx, `document.getElementById("reach").className == "bad" && document.getElementById("reach").textContent.includes("content blocker")`)
		until(t, ctx, `!document.querySelector("#verdict .but") || document.querySelector("#verdict .but").checkVisibility()`)
	})
}

// with is a stored pixel, changed.
func with(t *testing.T, b *bench, id string, change func(*settings.Pixel)) settings.Pixel {
	t.Helper()
	p, ok := b.o.Settings.Pixel(id)
	if !ok {
		t.Fatalf("there is no pixel %s", id)
	}
	change(&p)
	return p
}

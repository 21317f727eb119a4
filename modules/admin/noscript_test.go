package admin

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// scriptless switches scripts off for the pages of a browser. What a test asks of a page
// is still answered.
func scriptless(t *testing.T, ctx context.Context) {
	t.Helper()
	drive(t, ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
}

// seen waits for a condition without a script in the page that waits itself.
func seen(t *testing.T, ctx context.Context, js string) {
	t.Helper()
	asked := fmt.Sprintf(`(() => { try { return !!(%s); } catch { return false; } })()`, js)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(3 * time.Minute); ; {
		if ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](asked)); err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("never became true without scripts: %s", js)
		}
	}
}

// Without scripts every page says what it has to say, charts as tables, and what can be
// done by a form is done.
func TestTheConsoleWorksWithoutScripts(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	seedProof(t, b, time.Now())
	seedBackfills(t, b, time.Now())
	seedErasures(t, b)
	hash, err := b.hasher.hash(t.Context(), somePassword)
	must(t, err)
	_, err = b.people.add(t.Context(), user{Login: "ada", Role: Administrator, Password: hash})
	must(t, err)
	ctx := chromium(t)
	scriptless(t, ctx)
	on := func(js string) bool {
		t.Helper()
		v, err := chromedp.Run(ctx, chromedp.Evaluate[bool](js))
		must(t, err)
		return v
	}
	do := func(js string) { t.Helper(); on(js + `, true`) }
	open := func(path string) {
		t.Helper()
		drive(t, ctx, chromedp.Navigate(b.server.URL+path))
	}
	drive(t, ctx, chromedp.EmulateViewport(1440, 900))
	open("/login")
	do(`(document.getElementById("login").value = "ada", document.getElementById("password").value = "` + somePassword + `", document.querySelector('form[action="/login"] button').click())`)
	seen(t, ctx, `document.querySelector(".side .me-name").textContent == "ada"`)
	if on(`!!document.querySelector(".u-wrap")`) {
		t.Fatal("scripts run")
	}
	const visible = `((e) => e && e.checkVisibility() && e.getBoundingClientRect().height > 0)`
	for _, p := range everyPage {
		open(b.at(p.path))
		if !on(visible + `(document.querySelector("h1"))`) {
			t.Errorf("%s shows no heading", p.path)
		}
		// A chart is a table too, which can be opened where it is folded away.
		do(`document.querySelectorAll("main details").forEach((d) => d.open = true)`)
		if !on(`[...document.querySelectorAll("[data-chart]")].every((e) => [...e.querySelectorAll("table")].some(` + visible + `) || [...(e.closest("section") || document).querySelectorAll("table")].some(` + visible + `))`) {
			t.Errorf("%s has a chart whose numbers cannot be seen", p.path)
		}
		if !on(`[...document.querySelectorAll("form[data-autosubmit]")].every((f) => [...f.querySelectorAll("button")].some(` + visible + `))`) {
			t.Errorf("%s has a form that only a script can send", p.path)
		}
	}
	open("/")
	do(`(document.querySelector('input[name=range][value="7d"]').checked = true, [...document.querySelectorAll("noscript button, form button")].find((b) => b.textContent == "Show").click())`)
	seen(t, ctx, `location.search.includes("range=7d") && document.querySelector('input[name=range][value="7d"]').checked`)
	open("/events")
	do(`(document.getElementById("q").value = "0193f2bb-story", document.querySelector("form[role=search] button").click())`)
	seen(t, ctx, `location.search.includes("find=") && document.querySelector('a[data-row][href^="/events/0193f2bb-story-purchase"]')`)
	do(`document.querySelector('a[data-row][href^="/events/0193f2bb-story-purchase"]').click()`)
	seen(t, ctx, `document.body.textContent.includes("Accepted by Amazon DSP")`)
	open("/pixels/new")
	do(`(document.getElementById("name").value = "Made without scripts", document.querySelector('form[action="/pixels"] .btn.primary').click())`)
	seen(t, ctx, `location.pathname.startsWith("/pixels/") && location.pathname != "/pixels/new" && document.querySelector("h1").textContent.includes("Made without scripts")`)
	open("/partners/ttd")
	do(`document.querySelector('form.mode button[value="hold"]').click()`)
	seen(t, ctx, `document.body.textContent.includes("is on hold. Events wait")`)
	open("/identities")
	do(`(document.getElementById("name").value = "customer-5", document.querySelector('form[action="/identities"] button').click())`)
	seen(t, ctx, `location.search.includes("find=") && document.body.textContent.includes("What holds it together")`)
	do(`document.querySelector('.side form[action="/logout"] button').click()`)
	seen(t, ctx, `location.pathname == "/login"`)
}

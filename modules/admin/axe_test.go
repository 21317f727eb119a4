package admin

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axeRules are what axe looks for: WCAG 2.2 AA and what is held to be good practice.
const axeRules = `{type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}`

// twice are the ids that are on a page more than once.
const twice = `(() => { const ids = [...document.querySelectorAll("[id]")].map((e) => e.id); return [...new Set(ids.filter((id, i) => ids.indexOf(id) !== i))]; })()`

// findings runs axe on the page that is open and says what it holds against it.
func findings(t *testing.T, ctx context.Context, only string) []string {
	t.Helper()
	return eval[[]string](t, ctx, `axe.run({runOnly: `+only+`, resultTypes: ["violations"], preload: false}).then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.impact + " " + v.id + " " + n.target.flat() + ": " + n.failureSummary.replace(/\s+/g, " "))))`)
}

// TestEveryPageIsAccessibleAndStandsStill opens every page in both themes: axe finds
// nothing on it, with all that is folded opened, and nothing moves while it loads.
func TestEveryPageIsAccessibleAndStandsStill(t *testing.T) {
	axe, err := os.ReadFile("../../sdk/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Skip("SKIPPED: axe is not installed (npm ci --prefix sdk), so the pages' accessibility is not looked at")
	}
	b := open(t, allPartners)
	seed(t, b, time.Now())
	seedProof(t, b, time.Now())
	seedBackfills(t, b, time.Now())
	seedErasures(t, b)
	ctx := chromium(t)
	drive(t, ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: `
			window.moved = 0;
			new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) moved += e.value; }).observe({type: "layout-shift", buffered: true});
		`})
		return chromedp.Void{}, err
	})
	look := func(p struct{ name, path string }) {
		drive(t, ctx, chromedp.Navigate(b.server.URL+b.at(p.path)))
		until(t, ctx, `document.readyState == "complete" && [...document.querySelectorAll("[data-chart]")].every((f) => f.plotted)`)
		if moved := eval[float64](t, ctx, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(moved))))`); moved > 0.1 { // what is held to be good
			t.Errorf("%s moves while it loads: %.3f", p.path, moved)
		}
		healthy(t, ctx, p.path)
		eval[bool](t, ctx, `document.querySelectorAll("main details").forEach((d) => d.open = true), true`)
		for _, id := range eval[[]string](t, ctx, twice) {
			t.Errorf("%s has the id %q twice", p.path, id)
		}
		eval[bool](t, ctx, string(axe)+"; true")
		for _, theme := range []string{"light", "dark"} {
			eval[bool](t, ctx, fmt.Sprintf(`document.documentElement.dataset.theme = %q, true`, theme))
			for _, f := range findings(t, ctx, axeRules) {
				t.Errorf("%s, %s: %s", p.path, theme, f)
			}
		}
	}
	for _, p := range b.gates() {
		look(p)
	}
	b.enter(ctx, Administrator)
	pick := regexp.MustCompile(*only)
	for _, p := range everyPage {
		if pick.MatchString(p.name) {
			look(p)
		}
	}
}

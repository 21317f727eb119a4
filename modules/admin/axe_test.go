package admin

import (
	"context"
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

// axeColours are those of them that a theme decides on.
const axeColours = `{type: "rule", values: ["color-contrast", "link-in-text-block"]}`

// alike leaves of what is made alike two of each kind: rows, items and articles that have
// the same elements, classes and attributes, whatever they say. What is unlike the others
// stays, wherever in a list it is. Before, it says which ids there are twice, since that
// can be seen of the whole page alone.
const alike = `(() => {
	const ids = [...document.querySelectorAll("[id]")].map((e) => e.id), twice = ids.filter((id, i) => ids.indexOf(id) !== i);
	const kind = (e) => e.tagName + [...e.attributes].map((a) => a.name + (["class", "type", "role"].includes(a.name) ? "=" + a.value : "")).sort().join() + "(" + [...e.children].map(kind).join() + ")" + (e.children.length || !e.textContent.trim() ? "" : "text");
	for (const list of document.querySelectorAll("main tbody, main ul, main ol, main dl, main .letters > .card")) {
		const seen = new Map();
		for (const e of [...list.children]) {
			const k = kind(e), n = (seen.get(k) || 0) + 1;
			seen.set(k, n);
			if (n > 2) e.remove();
		}
	}
	return [...new Set(twice)];
})()`

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
		for _, id := range eval[[]string](t, ctx, alike) {
			t.Errorf("%s has the id %q twice", p.path, id)
		}
		eval[bool](t, ctx, string(axe)+"; true")
		eval[bool](t, ctx, `document.documentElement.dataset.theme = "light", true`)
		for _, f := range findings(t, ctx, axeRules) {
			t.Errorf("%s: %s", p.path, f)
		}
		eval[bool](t, ctx, `document.documentElement.dataset.theme = "dark", true`)
		for _, f := range findings(t, ctx, axeColours) {
			t.Errorf("%s, dark: %s", p.path, f)
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

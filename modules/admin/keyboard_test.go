package admin

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// hands are somebody at a keyboard alone, who must always see where they are.
type hands struct {
	t   *testing.T
	ctx context.Context
}

// hit presses keys, one after the other.
func (h hands) hit(keys string) {
	h.t.Helper()
	drive(h.t, h.ctx, chromedp.KeyEvent(keys))
}

// sight says what keeps one from seeing where the focus is; empty: nothing.
const sight = `(() => {
	const e = document.activeElement;
	if (!e || e === document.body) return "lost";
	const box = e.matches(".seg input") ? e.nextElementSibling : e, style = getComputedStyle(box), name = e.outerHTML.slice(0, 160);
	if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) return "not marked: " + name;
	const rects = [...box.getClientRects()].filter((r) => r.width > 0 && r.height > 0);
	const seen = rects.map((r) => [Math.max(r.left, 0), Math.max(r.top, 0), Math.min(r.right, innerWidth), Math.min(r.bottom, innerHeight)]).filter(([l, t, r, b]) => r - l > 1 && b - t > 1);
	if (!seen.length) return "out of sight: " + name;
	const [l, t, r, b] = seen[0], over = document.elementFromPoint((l + r) / 2, (t + b) / 2);
	if (!over || !(box.contains(over) || over.contains(box))) return "covered by " + (over ? over.outerHTML.slice(0, 80) : "nothing") + ": " + name;
	return "";
})()`

// at waits for the focus to be on something, where it can be seen.
func (h hands) at(selector string) {
	h.t.Helper()
	until(h.t, h.ctx, fmt.Sprintf(`document.activeElement.matches(%q)`, selector))
	if wrong := eval[string](h.t, h.ctx, sight); wrong != "" {
		h.t.Errorf("the focus at %s is %s", selector, wrong)
	}
}

// to goes from control to control until it is at one; at each it sees where it is.
func (h hands) to(selector string) {
	h.t.Helper()
	for range 150 {
		h.hit(kb.Tab)
		if wrong := eval[string](h.t, h.ctx, sight); wrong != "" {
			h.t.Fatalf("on the way to %s the focus is %s", selector, wrong)
		}
		if eval[bool](h.t, h.ctx, fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			return
		}
	}
	h.t.Fatalf("no way to %s by the keyboard: %s", selector, onScreen(h.ctx))
}

// skip goes past the navigation to a page's content.
func (h hands) skip() {
	h.t.Helper()
	until(h.t, h.ctx, `document.readyState == "complete"`)
	h.hit(kb.Tab)
	h.at(".skip")
	h.hit(kb.Enter)
	h.at("#main")
}

// arrive waits for a page, however its focus is.
func (h hands) arrive(shows string) {
	h.t.Helper()
	until(h.t, h.ctx, `document.readyState == "complete" && (`+shows+`)`)
}

// around goes through all of a page and says what can be clicked and was not reached.
func (h hands) around() []string {
	h.t.Helper()
	eval[bool](h.t, h.ctx, `(window.nameOf = (e) => [e.tagName, e.getAttribute("href") || e.name || "", e.value || "", e.textContent.trim().slice(0, 30)].join(" ").trim(), window.reached = new Set(), true)`)
	for n := range 300 {
		h.hit(kb.Tab)
		switch wrong := eval[string](h.t, h.ctx, sight); {
		case wrong == "lost" && n > 0, wrong == "" && n > 0 && eval[bool](h.t, h.ctx, `document.activeElement.matches(".skip")`):
			return eval[[]string](h.t, h.ctx, `[...document.querySelectorAll("a[href], button:not([disabled]), input:not([type=hidden]), select, textarea, summary")].filter((e) => e.checkVisibility() && e.tabIndex >= 0 && !(e.type === "radio" && !e.checked)).map(nameOf).filter((n) => !reached.has(n))`)
		case wrong != "":
			h.t.Errorf("the focus is %s", wrong)
		}
		eval[bool](h.t, h.ctx, `(reached.add(nameOf(document.activeElement)), true)`)
	}
	h.t.Errorf("no way out: the keyboard is still at %s", eval[string](h.t, h.ctx, `nameOf(document.activeElement)`))
	return nil
}

// Somebody who has a keyboard and nothing else signs in, finds an event, changes a pixel,
// makes another, holds a partner and replays dead letters, and sees all the time where
// they are.
func TestTheConsoleIsUsedByKeyboardAlone(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	hash, err := b.hasher.hash(t.Context(), somePassword)
	must(t, err)
	_, err = b.people.add(t.Context(), user{Login: "ada", Role: Administrator, Password: hash})
	must(t, err)
	ctx := chromium(t)
	h := hands{t, ctx}
	drive(t, ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(b.server.URL+"/login"))
	h.at("#login")
	h.hit("ada" + kb.Tab)
	h.at("#password")
	h.hit("not it, by far" + kb.Enter)
	h.arrive(`document.querySelector(".form-error")`)
	h.at("#password") // what was wrong is typed again at once
	h.hit(somePassword + kb.Enter)
	h.arrive(`document.querySelector(".side .me-name").textContent == "ada"`)
	h.skip()

	// Search has a key of its own, from anywhere.
	h.hit("/")
	h.arrive(`location.pathname == "/events"`)
	h.at("#q")
	h.hit("0193f2bb-story" + kb.Enter)
	h.arrive(`location.search.includes("find=")`)
	h.hit("/")
	h.at("#q")
	h.hit(kb.Escape) // out of the field
	h.at("#main")
	h.hit("j")
	h.at(`a[data-row][href^="/events/0193f2bb-story-purchase"]`)
	h.hit(kb.Enter)
	h.arrive(`location.pathname.startsWith("/events/") && document.querySelector(".timeline")`)
	h.skip()
	h.to(`a[href^="/pixels/px_shop"]`)
	h.hit(kb.Enter)

	// A setting is changed; a wrong one is led back to.
	h.arrive(`location.pathname == "/pixels/px_shop"`)
	h.skip()
	h.to("#name")
	h.hit("Named by keys")
	h.to("#country")
	h.hit("1" + kb.Enter)
	h.arrive(`document.querySelector("[aria-invalid]")`)
	h.at("#country")
	drive(t, ctx, chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift))) // to and fro: what stands there is chosen
	h.to("#country")
	h.hit("IE")
	h.to(`form[action="/pixels/px_shop"] .btn.primary`)
	h.hit(" ")
	h.arrive(`document.querySelector(".notice")`)
	h.at(".notice") // what was done is where one is
	if p, _ := b.o.Settings.Pixel("px_shop"); p.Name != "Named by keys" || p.Country != "IE" {
		t.Errorf("%q %q", p.Name, p.Country)
	}
	h.to(`.notice [data-dismiss]`)
	h.hit(kb.Enter)
	h.at("#main")
	h.to("details.more > summary")
	h.hit(" ")
	until(t, ctx, `document.activeElement.parentElement.open`)

	// Another pixel.
	h.hit("gp")
	h.arrive(`location.pathname == "/pixels"`)
	h.skip()
	h.to(`a[href="/pixels/new"]`)
	h.hit(kb.Enter)
	h.arrive(`location.pathname == "/pixels/new"`)
	h.skip()
	h.to("#name")
	h.hit("Made by keys" + kb.Enter)
	h.arrive(`document.querySelector("h1").textContent.includes("Made by keys")`)

	// A partner is held and let go.
	h.hit("ga")
	h.arrive(`location.pathname == "/partners"`)
	h.skip()
	h.to(`#cards a[href="/partners/ttd"]`)
	h.hit(kb.Enter)
	h.arrive(`location.pathname == "/partners/ttd"`)
	h.skip()
	h.to(`form.mode button[value="hold"]`)
	h.hit(" ")
	h.arrive(`document.querySelector(".notice").textContent.includes("is on hold")`)
	h.at(".notice")
	h.to(`form.mode button[value="on"]`)
	h.hit(kb.Enter)
	h.arrive(`document.querySelector(".notice").textContent.includes("is on. What waits")`)

	// A payload is tried without leaving the form.
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels/px_shop/routes/0"))
	h.skip()
	h.to("#try")
	h.hit(kb.Enter)
	until(t, ctx, `document.getElementById("preview-body")`)
	h.at("#try")

	// Dead letters go back.
	h.hit("gq")
	h.arrive(`location.pathname == "/queues"`)
	h.skip()
	h.to(`a[href="/dead/ttd"]`)
	h.hit(kb.Enter)
	h.arrive(`location.pathname == "/dead/ttd"`)
	h.skip()
	h.to(`form[action="/dead/ttd/replay"] button`)
	h.hit(kb.Enter)
	h.at("#replay-head")
	h.to(`#replay button[name="confirm"]`)
	h.hit(kb.Enter)
	h.arrive(`document.body.textContent.includes("Empty, as it should be")`)
	h.at(".notice")

	// What pops up is left by Escape, to where one was.
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/people"))
	h.skip()
	h.to("details.confirm > summary")
	h.hit(kb.Enter)
	until(t, ctx, `document.activeElement.parentElement.open`)
	h.hit(kb.Tab)
	h.at("details.confirm .pop button")
	h.hit(kb.Escape)
	h.at("details.confirm > summary")
	if eval[bool](t, ctx, `!!document.querySelector("details.confirm[open]")`) {
		t.Error("it stays open")
	}
	h.hit("?")
	h.at("#keys button")
	h.hit(kb.Escape)
	h.at("details.confirm > summary")

	// Choices that ask for the page anew at once do not throw anybody out.
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/reports"))
	h.skip()
	h.to(`#filters input[name=range]`)
	was := eval[string](t, ctx, `document.activeElement.value`)
	h.hit(kb.ArrowRight)
	h.arrive(`location.search.includes("range=") && !location.search.includes("range=` + was + `&")`)
	h.at(`#filters input[name=range]:checked`)
	healthy(t, ctx, "the keyboard")
}

// A part of a page that refreshes itself does not take the focus along: not where it is
// there before it asks, nor where it comes in between.
func TestTheFocusStaysWhereAPageRefreshesItself(t *testing.T) {
	b := open(t, allPartners)
	seedPixels(t, b)
	ctx := chromium(t)
	b.enter(ctx, Administrator)
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/partners"))
	until(t, ctx, `document.readyState == "complete" && window.htmx`)
	eval[bool](t, ctx, `(() => {
		window.done = 0; window.asked = 0;
		const link = () => document.querySelector('#cards a[href="/partners/ttd"]');
		document.addEventListener("htmx:afterRequest", () => done++);
		document.addEventListener("htmx:beforeRequest", () => asked++);
		document.addEventListener("htmx:beforeSend", () => { window.focused = link(); focused.focus(); }, { once: true });
		return true;
	})()`)
	until(t, ctx, `done == 1`) // somebody came there while it was under way
	if !eval[bool](t, ctx, `focused.isConnected && document.activeElement === focused`) {
		t.Error("an answer under way took the focus along")
	}
	was := eval[int](t, ctx, `asked`)
	until(t, ctx, fmt.Sprintf(`asked > %d`, was))
	if !eval[bool](t, ctx, `done == 1 && document.activeElement === focused`) {
		t.Error("it asked while somebody was there")
	}
	eval[bool](t, ctx, `(focused.blur(), true)`)
	until(t, ctx, `done > 1 && !focused.isConnected`)
	healthy(t, ctx, "/partners")
}

// All that can be clicked on a page is reached by the keyboard, and the keyboard gets out
// of it again.
func TestThereIsAWayThroughEveryPageByKeyboard(t *testing.T) {
	b, ctx := arrive(t, Administrator)
	h := hands{t, ctx}
	for _, path := range []string{"/", "/live", "/pixels/px_shop", "/pixels/px_shop/routes/0", "/partners/amazon", "/dead/ttd", "/people"} {
		drive(t, ctx, chromedp.Navigate(b.server.URL+path))
		until(t, ctx, `document.readyState == "complete"`)
		for _, missed := range h.around() {
			t.Errorf("%s: not reached: %s", path, missed)
		}
	}
}

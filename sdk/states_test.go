package sdk_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/settings"
)

// kinds of events, each with what causes it on a page, and its name.
var kinds = []struct{ name, js string }{
	{"page_view", `miq("page")`},
	{"quiz_done", `miq("track", "quiz_done", {score: 3})`},
	{"add_to_cart", `miq("track", "add_to_cart", {value: 5, currency: "GBP", items: [{item_id: "SKU1"}]})`},
	{"purchase", `miq("track", "purchase", {order_id: "A-1", value: 99.5, currency: "GBP"})`},
	{"element_click", `document.querySelector("button").click()`},
	{"outbound_click", `document.querySelector("a").click()`},
	{"form_submit", `document.querySelector("form").requestSubmit()`},
	{"refund", `dataLayer.push({event: "refund", ecommerce: {transaction_id: "A-1", value: 1, currency: "GBP"}})`},
}

// states are the phases that a page can be in, each with how it is reached and
// what may leave.
var states = []struct {
	name  string
	reach []string
	full  bool
	sends bool
}{
	{name: "no_consent"},
	{name: "denied", reach: []string{"none"}},
	{name: "partial", reach: []string{"partial"}, sends: true},
	{name: "full", reach: []string{"full"}, sends: true, full: true},
	{name: "partial after full", reach: []string{"full", "partial"}, sends: true},
	{name: "full after partial", reach: []string{"partial", "full"}, sends: true, full: true},
	{name: "revoked from partial", reach: []string{"partial", "none"}},
	{name: "revoked from full", reach: []string{"full", "none"}},
	{name: "given again after a revocation", reach: []string{"full", "none", "full"}, sends: true, full: true},
}

func TestEveryStateByEveryKindOfEvent(t *testing.T) {
	p := gcmMode
	p.Tag = settings.TagOptions{Autotrack: settings.AutotrackKinds[:], Ecommerce: true}
	page := `<!doctype html><title>Shop</title><button id="b">Hello</button><a href="https://elsewhere.example/x?email=me@example.com" onclick="event.preventDefault()">There</a>
<form name="f" onsubmit="event.preventDefault()"><input name="secret" value="hunter2"></form><script>miq("init", "px_demo")</script>`
	page = strings.Replace(page, "<script>", `<script src="{origin}/sdk.js"></script><script>`, 1)
	for _, state := range states {
		t.Run(state.name, func(t *testing.T) {
			ctx := browse(t)
			s := newSite(t, p, quick, page)
			do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?gclid=abc"), chromedp.Poll[chromedp.Void](`window.miqParts && miqParts.gcm && miqParts.extras`))
			reach(t, ctx, s, state.reach)
			var want []string
			for _, kind := range kinds {
				eval[any](t, ctx, kind.js+", 1")
				want = append(want, kind.name)
			}
			if !state.sends {
				eval[any](t, ctx, settle+".then(() => 1)")
				select {
				case a := <-s.came:
					t.Errorf("%s came with %s", a.Path, a.names())
				default:
				}
				if got := eval[string](t, ctx, stored); got != `["","",""]` {
					t.Errorf("the browser keeps %s", got)
				}
				if names, _ := s.stored(t); len(names) > 0 {
					t.Errorf("the collector keeps %v", names)
				}
				return
			}
			var got []string
			last := 0.0
			for len(got) < len(want) {
				a := s.next(t)
				if a.Path != "/collect" {
					t.Fatalf("%s came", a.Path)
				}
				if wanted := map[bool]string{true: "full", false: "partial"}[state.full]; a.at("consent", "state") != wanted {
					t.Errorf("%s left under %v, want %s", a.names(), a.at("consent", "state"), wanted)
				}
				if state.full != (a.at("identity", "click_ids", "gclid") == "abc") && state.name != "full after partial" {
					t.Errorf("the click id is %v", a.at("identity", "click_ids", "gclid"))
				}
				for _, e := range a.events() {
					got = append(got, e["name"].(string))
					if seq, _ := e["seq"].(float64); seq <= last {
						t.Errorf("%s has the number %v after %v", e["name"], seq, last)
					} else {
						last = seq
					}
				}
			}
			if strings.Join(got, ",") != strings.Join(want, ",") {
				t.Errorf("came %v", got)
			}
			if names, _ := s.stored(t); len(names) != len(want) {
				t.Errorf("the collector keeps %v", names)
			}
			for _, a := range s.arrivals() {
				if a.Path == "/collect" && strings.Contains(text(a), "hunter2") {
					t.Error("a field's value left")
				}
			}
		})
	}
}

// reach leads a page through answers, and takes the reports of withdrawals away.
func reach(t *testing.T, ctx context.Context, s *site, answers []string) {
	t.Helper()
	before := ""
	for _, answer := range answers {
		// An id has to be there for a withdrawal to have something to withdraw.
		if before == "full" || before == "partial" {
			eval[any](t, ctx, `miq("page"), 1`)
			s.next(t)
			s.stored(t)
		}
		eval[any](t, ctx, `miq("consent", {state: "`+answer+`"}), 1`)
		if answer == "none" && before != "" || answer == "partial" && before == "full" {
			if a := s.next(t); a.Path != "/consent" || a.at("state") != answer || a.at("anonymous_id") == "" {
				t.Errorf("of the withdrawal the collector hears %s %v", a.Path, a.Body)
			}
		}
		before = answer
	}
}

func TestARevocationClearsEveryPlace(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, gcmMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?utm_source=news&gclid=1"), ready)
	eval[any](t, ctx, `miq("consent", {state: "full"}), 1`)
	id := s.next(t).at("identity", "anonymous_id")
	other := another(t, ctx)
	do(t, other, chromedp.Navigate(s.Shop.URL+"/other"), ready)
	eval[any](t, other, `miq("consent", {state: "full"}), 1`)
	s.next(t)
	// A batch that waits for a retry is parked.
	s.breaks(down)
	eval[any](t, other, `miq("track", "waiting"), 1`)
	do(t, other, chromedp.Poll[chromedp.Void](`Object.keys(localStorage).some(key => key.startsWith("_miq_q"))`))
	s.breaks(nil)
	eval[any](t, ctx, `document.cookie = "_miq_id=`+id.(string)+`;Path=/", 1`)

	eval[any](t, ctx, `miq("consent", {state: "none"}), 1`)
	for {
		a := s.next(t)
		if a.Path == "/collect" && a.names() == "waiting" {
			continue // it was on its way
		}
		if a.Path != "/consent" || a.at("anonymous_id") != id || a.at("state") != "none" {
			t.Errorf("the collector hears %s %v", a.Path, a.Body)
		}
		break
	}
	for name, tab := range map[string]context.Context{"this": ctx, "the other": other} {
		do(t, tab, chromedp.Poll[chromedp.Void](`document.cookie + Object.keys(localStorage) + Object.keys(sessionStorage) == ""`))
		eval[any](t, tab, `miq("page"), miq("track", "purchase", {order_id: "A", value: 1, currency: "GBP"}), `+settle+".then(() => 1)")
		if got := eval[string](t, tab, stored); got != `["","",""]` {
			t.Errorf("%s tab keeps %s", name, got)
		}
	}
	eval[any](t, ctx, `new Promise(done => setTimeout(done, 2500)).then(() => 1)`) // longer than a retry waits
	select {
	case a := <-s.came:
		t.Errorf("%s came after the revocation: %v", a.Path, a.Body)
	default:
	}
}

func TestAnIDFromAnEarlierVisitGoesWithARefusal(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, gcmMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL), ready)
	eval[any](t, ctx, `miq("consent", {state: "full"}), 1`)
	id := s.next(t).at("identity", "anonymous_id")
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/later"), ready)
	eval[any](t, ctx, `miq("consent", {state: "none"}), 1`)
	if a := s.next(t); a.Path != "/consent" || a.at("anonymous_id") != id {
		t.Errorf("the collector hears %s %v", a.Path, a.Body)
	}
	if got := eval[string](t, ctx, stored); got != `["","",""]` {
		t.Errorf("the browser keeps %s", got)
	}
}

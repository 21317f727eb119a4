package sdk_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/sdk"
)

// What the tag keeps until the collector has it.

func TestTwoHundredQueuedEventsLeaveWithThePage(t *testing.T) {
	for name, size := range map[string]int{"small": 10, "more than the browser's budget": 600} {
		t.Run(name, func(t *testing.T) {
			ctx := browse(t)
			s := newSite(t, impliedMode, patient, shop())
			s.batch = "1000"
			do(t, ctx, chromedp.Navigate(s.Shop.URL))
			full(t, ctx)
			eval[any](t, ctx, fmt.Sprintf(`for (let i = 0; i < 199; i++) miq("track", "many", {i, text: "x".repeat(%d)}); 1`, size))
			do(t, ctx, chromedp.Navigate(s.Shop.URL+"/gone.js"))
			got := map[any]int{}
			ways := map[string]int{}
			for len(got) < 200 {
				for tries := 0; len(s.came) == 0 && tries < 20; tries++ {
					eval[any](t, ctx, settle+".then(() => 1)")
				}
				if len(s.came) == 0 {
					t.Fatalf("%d events came in %v", len(got), ways)
				}
				a := s.next(t)
				ways[a.Path]++
				for _, e := range a.events() {
					got[e["id"]]++
				}
			}
			for id, n := range got {
				if n > 1 {
					t.Errorf("%v came %d times", id, n)
				}
			}
			if _, kept := s.stored(t); len(kept) != 200 {
				t.Errorf("the collector keeps %d", len(kept))
			}
			t.Logf("200 events in %v", ways)
		})
	}
}

func TestFiveTabsSendNothingTwice(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	s.next(t)
	var refused atomic.Int64
	s.breaks(func(w http.ResponseWriter, r *http.Request) bool {
		refused.Add(1)
		return unavailable(w, r)
	})
	eval[any](t, ctx, `for (let i = 0; i < 30; i++) miq("track", "kept", {i}); 1`)
	do(t, ctx, chromedp.Poll[chromedp.Void](`Object.keys(localStorage).filter(key => key.startsWith("_miq_q.")).reduce((n, key) => n + JSON.parse(localStorage[key]).reduce((n, batch) => n + batch.envelope.events.length, 0), 0) == 30`))
	// The tab goes, and with it its lock; five others look at what it left.
	before := refused.Load()
	do(t, ctx, chromedp.Navigate("about:blank"))
	for i := 0; refused.Load() < before+3 && i < 50; i++ {
		do(t, ctx, chromedp.Sleep(100*time.Millisecond)) // the beacons of its farewell, refused too
	}
	s.breaks(nil)
	tabs := make([]context.Context, 5)
	for i := range tabs {
		tabs[i] = another(t, ctx)
		do(t, tabs[i], chromedp.Navigate(fmt.Sprintf("%s/tab%d", s.Shop.URL, i)))
	}
	got, viewed := map[any]int{}, 0
	for len(got) < 30 || viewed < 5 {
		for _, e := range s.next(t).events() {
			switch e["name"] {
			case "kept":
				got[e["id"]]++
			case "page_view":
				viewed++
			}
		}
	}
	eval[any](t, tabs[0], `new Promise(done => setTimeout(done, 2000)).then(() => 1)`)
	for len(s.came) > 0 {
		for _, e := range s.next(t).events() {
			got[e["id"]]++
		}
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("%v came %d times", id, n)
		}
	}
	if left := eval[float64](t, tabs[0], `Object.keys(localStorage).filter(key => key.startsWith("_miq_q.")).length`); left != 0 {
		t.Errorf("%v queues are left", left)
	}
}

// offline is how long the network stays away: with PIXEL_TEST_LONG=1 for a minute, else
// until the tag has put its events aside.
func offline() time.Duration {
	if os.Getenv("PIXEL_TEST_LONG") != "" {
		return time.Minute
	}
	return 0
}

func TestWhatHappensOfflineArrivesOnceTheNetworkIsBack(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	s.next(t)
	s.breaks(down)
	eval[any](t, ctx, `miq("track", "purchase", {order_id: "A-1", value: 99.5, currency: "GBP"}), miq("track", "later"), 1`)
	do(t, ctx, chromedp.Poll[chromedp.Void](`(localStorage[Object.keys(localStorage).find(key => key.startsWith("_miq_q."))] || "").includes("later")`))
	time.Sleep(offline())
	s.breaks(nil)
	got := map[any]int{}
	for len(got) < 2 {
		for _, e := range s.next(t).events() {
			got[e["name"]]++
		}
	}
	if got["purchase"] != 1 || got["later"] != 1 {
		t.Errorf("came %v", got)
	}
	do(t, ctx, chromedp.Poll[chromedp.Void](`!Object.keys(localStorage).some(key => key.startsWith("_miq_q."))`))
}

func TestABlockedCollectorLeavesThePageAlone(t *testing.T) {
	ctx := browse(t)
	page := `<!doctype html><title>Shop</title><script>window.wrong = []; addEventListener("error", e => e.message && wrong.push(e.message)); addEventListener("unhandledrejection", e => wrong.push("" + e.reason))</script>`
	s := newSite(t, impliedMode, quick, page+sdk.Snippet("http://127.0.0.1:9", "px_demo"))
	s.page["/half"] = page + strings.Replace(sdk.Snippet("{origin}", "px_demo"), `"px_demo"`, `"px_demo", {endpoint: "http://127.0.0.1:9", consentMode: "implied"}`, 1)
	for _, path := range []string{"/", "/half"} {
		do(t, ctx, chromedp.Navigate(s.Shop.URL+path))
		eval[any](t, ctx, `miq("page"), miq("track", "purchase", {order_id: "A", value: 1, currency: "GBP"}), miq("consent", {state: "full"}), history.pushState({}, "", "/x"), `+settle+".then(() => 1)")
		if wrong := eval[[]string](t, ctx, `window.wrong`); len(wrong) > 0 {
			t.Errorf("%s: the page saw %v", path, wrong)
		}
	}
	s.silent(t)
}

package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/sdk"
)

// ready waits until the tag has its settings and its source of consent.
var ready = chromedp.Poll[chromedp.Void](`window.miqParts && window.miq.version`)

// full waits until a page's implied consent is there.
func full(t *testing.T, ctx context.Context) {
	t.Helper()
	eval[any](t, ctx, `new Promise(done => miq("on", "consent", done)).then(() => 1)`)
}

func text(a arrival) string {
	b, _ := json.Marshal(a.Body)
	return string(b)
}

// down closes the connection, as a network that is not there.
func down(w http.ResponseWriter, _ *http.Request) bool {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
	return true
}

func unavailable(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	w.Header().Set("Access-Control-Allow-Credentials", "true")
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

// views collects the page views that come: as many as are wanted, and until none comes any
// more. They are sorted: two requests may be under way at once, and either arrive first.
func views(t *testing.T, ctx context.Context, s *site, want string) (pages []string) {
	t.Helper()
	wanted := 0
	if want != "" {
		wanted = len(strings.Split(want, ","))
	}
	end := time.After(20 * time.Second)
	for settled := false; ; {
		select {
		case a := <-s.came:
			for _, e := range a.events() {
				if e["name"] == "page_view" {
					pages = append(pages, strings.TrimPrefix(a.at("context", "page", "url").(string), s.Shop.URL)+" "+a.at("context", "page", "title").(string))
				}
			}
		case <-end:
			wanted = 0
		default:
			if len(pages) < wanted {
				eval[any](t, ctx, `new Promise(done => setTimeout(done, 20)).then(() => 1)`)
			} else if !settled {
				eval[any](t, ctx, settle+".then(() => 1)")
				settled = true
			} else {
				slices.Sort(pages)
				return pages
			}
		}
	}
}

func TestASinglePageAppIsCountedOncePerChangeOfAddress(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/a"))
	full(t, ctx)
	for _, step := range []struct{ name, js, want string }{
		{"the first page", `1`, "/a Shop"},
		{"fifty times the same address", `for (let i = 0; i < 50; i++) history.replaceState({i}, "", location.href)`, ""},
		{"a fragment", `location.hash = "top"`, ""},
		{"a new path", `history.pushState({}, "", "/b"); document.title = "B"`, "/b B"},
		{"a new query, and back within one step", `history.replaceState({}, "", "/b?x=1"); history.replaceState({}, "", "/b")`, "/b B,/b?x=1 B"},
		{"the router's page view and ours", `history.pushState({}, "", "/c"); miq("page"); document.title = "C"`, "/c C"},
		{"back", `history.back()`, "/b C"},
		{"the site's own call later", `setTimeout(() => miq("page"), 1100); new Promise(done => setTimeout(done, 1200)).then(() => 1)`, "/b C"},
	} {
		eval[any](t, ctx, step.js+";1")
		if step.name == "the site's own call later" {
			eval[any](t, ctx, `new Promise(done => setTimeout(done, 1300)).then(() => 1)`)
		}
		if got := strings.Join(views(t, ctx, s, step.want), ","); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

func TestASPAWithItsPagesInTheFragment(t *testing.T) {
	for mode, want := range map[string]string{"hash": "/#a Shop,/#b Shop", "off": "/#a Shop"} {
		ctx := browse(t)
		p := impliedMode
		p.Tag.SPA = mode
		s := newSite(t, p, quick, shop())
		do(t, ctx, chromedp.Navigate(s.Shop.URL+"/#a"))
		full(t, ctx)
		eval[any](t, ctx, `location.hash = "b"; 1`)
		if got := strings.Join(views(t, ctx, s, want), ","); got != want {
			t.Errorf("%s: %q, want %q", mode, got, want)
		}
	}
}

func TestAPageThatComesBackFromTheCacheIsCountedAgain(t *testing.T) {
	ctx := browse(t)
	// The page speaks for itself, since the debugger loses sight of it for a while.
	s := newSite(t, impliedMode, quick, shop()+`<script>addEventListener("pageshow", e => { fetch(e.persisted ? "/restored" : "/loaded"); if (e.persisted) setTimeout(() => miq("track", "after"), 500) })</script>`)
	s.page["/away"] = "<!doctype html><title>Away</title><script>setTimeout(() => history.back(), 500)</script>"
	shown := make(chan string, 10)
	s.visited = func(path string) {
		if path == "/restored" || path == "/loaded" {
			shown <- path
		}
	}
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/a"))
	<-shown
	first := s.next(t)
	eval[any](t, ctx, `setTimeout(() => location.href = "/away"), 1`)
	if how := <-shown; how != "/restored" {
		t.Skip("SKIPPED: this browser keeps no page in its back/forward cache")
	}
	again := s.next(t)
	if again.names() != "page_view" || again.at("identity", "anonymous_id") != first.at("identity", "anonymous_id") {
		t.Errorf("came %s of %v", again.names(), again.at("identity"))
	}
	if again.events()[0]["id"] == first.events()[0]["id"] {
		t.Error("the new view has the old one's id")
	}
	if a := s.next(t); a.names() != "after" {
		t.Errorf("then came %s", a.names())
	}
}

func TestAPrerenderedPageIsSilentUntilItIsSeen(t *testing.T) {
	path, err := chromium()
	if err != nil {
		t.Skip("SKIPPED: no chromium on PATH, so the tag is not tried in a browser")
	}
	s := newSite(t, impliedMode, quick, shop())
	s.page["/"] = `<!doctype html><title>Start</title><a href="/next">Next</a><script type="speculationrules">{"prerender": [{"source": "list", "urls": ["/next"], "eagerness": "immediate"}]}</script>
		<script>const look = () => fetch("/ask.js").then(r => r.text()).then(go => go == "go" ? document.querySelector("a").click() : setTimeout(look, 100)); look()</script>`
	s.page["/next"] = shop() + `<script>fetch(document.prerendering ? "/prerendering" : "/plain")</script>`
	shown := make(chan string, 10)
	s.visited = func(path string) {
		if path == "/prerendering" || path == "/plain" {
			shown <- path
		}
	}
	// Without a debugger, before which a browser prerenders nothing.
	browser := exec.CommandContext(t.Context(), path, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir="+t.TempDir(),
		"--disable-features=Prerender2MemoryControls", s.Shop.URL)
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { browser.Process.Kill(); browser.Wait() })
	select {
	case <-shown:
	case <-time.After(20 * time.Second):
		t.Skip("SKIPPED: this browser prerenders nothing")
	}
	for i := 0; i < 20; i++ {
		time.Sleep(100 * time.Millisecond) // in which it could have sent something
	}
	for _, a := range s.arrivals() {
		if a.Path != "/sdk.js" {
			t.Errorf("%s came while nobody saw the page", a.Path)
		}
	}
	s.put("/ask.js", "go")
	if a := s.next(t); a.names() != "page_view" || !strings.HasSuffix(a.at("context", "page", "url").(string), "/next") {
		t.Errorf("came %s of %v", a.names(), a.at("context", "page"))
	}
	select {
	case how := <-shown:
		t.Errorf("the page was loaded again: %s", how)
	default:
	}
}

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

func TestAStrictPolicyLetsEveryPartWork(t *testing.T) {
	ctx := browse(t)
	p := gcmMode
	p.Tag = settings.TagOptions{Autotrack: []string{"clicks"}}
	s := newSite(t, p, quick, `<!doctype html><title>Shop</title><button>B</button><script nonce="abc">`+strings.TrimPrefix(strings.Split(sdk.Snippet("{origin}", "px_demo"), "</script>")[0], "<script>")+"</script>",
		"Content-Security-Policy", "default-src 'none'; script-src 'nonce-abc' {origin}; connect-src {origin}; img-src {origin}")
	do(t, ctx, chromedp.Navigate(s.Shop.URL), chromedp.Poll[chromedp.Void](`window.miqParts && miqParts.gcm && miqParts.extras`))
	eval[any](t, ctx, `miq("consent", {state: "full"}), document.querySelector("button").click(), 1`)
	if a := s.next(t); a.names() != "page_view,element_click" {
		t.Errorf("came %s", a.names())
	}
}

func TestWithoutJavaScriptTheImageCounts(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, shop())
	do(t, ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}), chromedp.Navigate(s.Shop.URL))
	if a := s.next(t); a.Path != "/pixel.gif" || a.Method != "GET" {
		t.Errorf("%s %s came", a.Method, a.Path)
	}
	if names, _ := s.stored(t); strings.Join(names, ",") != "page_view" {
		t.Errorf("the collector keeps %v", names)
	}
}

func TestAPinnedTagTakesNothingElse(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, "<!doctype html><title>Shop</title>"+sdk.Pinned("{origin}", "px_demo"))
	s.page["/forged"] = strings.Replace("<!doctype html><title>Shop</title>"+sdk.Pinned("{origin}", "px_demo"), "sha384-", "sha384-A", 1)
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	if a := s.next(t); a.names() != "page_view" {
		t.Errorf("came %s", a.names())
	}
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/forged"))
	eval[any](t, ctx, settle+".then(() => 1)")
	if eval[bool](t, ctx, `!!miq.version`) {
		t.Error("a script of another digest ran")
	}
}

func TestTheTouchThatLedHereGoesAlongOnLaterPages(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?utm_source=news&dclid=d1"))
	s.next(t)
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?utm_source=again&vmcid=v1"))
	s.next(t)
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/checkout"))
	a := s.next(t)
	for want, keys := range map[string][]string{
		"news":  {"context", "touch", "first", "params", "utm_source"},
		"again": {"context", "touch", "last", "params", "utm_source"},
		"d1":    {"identity", "click_ids", "dclid"},
		"v1":    {"identity", "click_ids", "vmcid"},
	} {
		if got := a.at(keys...); got != want {
			t.Errorf("%v is %v, want %v", keys, got, want)
		}
	}
	if a.events()[0]["seq"] != 3.0 {
		t.Errorf("the third event of the tab has the number %v", a.events()[0]["seq"])
	}
}

func TestHooksMayChangeAndDropEvents(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, patient, `<!doctype html><title>Shop</title><script src="{origin}/sdk.js"></script><script>
		miq("use", {name: "mine", setup: ({track}) => window.own = () => track("from_plugin"), beforeSend: e => { if (e.name == "broken") throw 1; }});
		miq("init", "px_demo", {beforeSend: e => { e.page.url = e.page.url.split("?")[0]; return e.name != "dropped"; }});
		miq("page"); miq("track", "dropped"); miq("track", "broken"); own(); miq("track", "purchase", {order_id: "A", value: 1, currency: "GBP"});</script>`)
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?token=secret"))
	if a := s.next(t); a.names() != "page_view,from_plugin,purchase" || strings.Contains(text(a), "secret") {
		t.Errorf("came %s: %s", a.names(), text(a))
	}
}

func TestADataLayerIsReadWhateverShapeItHas(t *testing.T) {
	ctx := browse(t)
	p := impliedMode
	p.Tag.Ecommerce = true
	s := newSite(t, p, quick, `<!doctype html><title>Shop</title><script>
		dataLayer = [{event: "gtm.js"}, {event: "view_item", ecommerce: {currency: "GBP", value: 5, items: [{item_id: "SKU1"}]}}];
		function gtag() { dataLayer.push(arguments) }</script>`+shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL), chromedp.Poll[chromedp.Void](`window.miqParts && miqParts.extras`))
	eval[any](t, ctx, `gtag("event", "Add To Cart", {currency: "GBP", value: 5, items: [{id: "SKU1", name: "Shoe", price: "5"}]}),
		dataLayer.push({ecommerce: {currencyCode: "GBP", purchase: {actionField: {id: 77, revenue: "99.50"}, products: [{id: "SKU1", name: "Shoe", price: "99.50", quantity: 1}]}}}), 1`)
	var got []string
	for len(got) < 4 {
		for _, e := range s.next(t).events() {
			got = append(got, e["name"].(string))
			if e["name"] == "purchase" {
				p := e["properties"].(map[string]any)
				item := p["items"].([]any)[0].(map[string]any)
				if p["order_id"] != "77" || p["value"] != 99.5 || p["currency"] != "GBP" || item["item_id"] != "SKU1" || item["price"] != 99.5 {
					t.Errorf("the purchase is %v", p)
				}
			}
		}
	}
	if strings.Join(got, ",") != "page_view,view_item,add_to_cart,purchase" {
		t.Errorf("came %v", got)
	}
}

package sdk_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/sdk"
)

var (
	bannerMode  = settings.Pixel{Enabled: true, ConsentMode: settings.Banner}
	cmpMode     = settings.Pixel{Enabled: true, ConsentMode: settings.CMP}
	gcmMode     = settings.Pixel{Enabled: true, ConsentMode: settings.GCM}
	impliedMode = settings.Pixel{Enabled: true, ConsentMode: settings.Implied, Consent: settings.ConsentOptions{TrustGDPR0: true}}
)

// shop is the snippet on an otherwise plain page.
func shop() string {
	return "<!doctype html><title>Shop</title><body><h1>Shop</h1>" + sdk.Snippet("{origin}", "px_demo")
}

var chromium = sync.OnceValues(func() (string, error) { return exec.LookPath("chromium") })

// start starts the one browser of all tests; TestMain ends it.
var start = sync.OnceValues(func() (context.Context, error) {
	path, err := chromium()
	if err != nil {
		return nil, err
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	end = func() { cancel(); stop() }
	return ctx, chromedp.Do(ctx)
})

var end = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	end()
	os.Exit(code)
}

// browse opens a window of its own: fresh storage, nothing remembered.
func browse(t *testing.T) context.Context {
	t.Helper()
	if _, err := chromium(); err != nil {
		t.Skip("SKIPPED: no chromium on PATH, so the tag is not tried in a browser")
	}
	browser, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return open(t, browser, chromedp.WithNewBrowserContext())
}

// another opens a tab beside one, with the same storage.
func another(t *testing.T, tab context.Context) context.Context {
	t.Helper()
	return open(t, tab, chromedp.WithNewWindow(false))
}

func open(t *testing.T, parent context.Context, option chromedp.ContextOption) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, option)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute+2*offline())
	t.Cleanup(cancel)
	return ctx
}

func do(t *testing.T, ctx context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

func eval[T any](t *testing.T, ctx context.Context, js string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return v
}

// asked waits until the banner is up and has the focus.
func asked(t *testing.T, ctx context.Context) {
	t.Helper()
	do(t, ctx, chromedp.Poll[chromedp.Void](`document.activeElement && document.activeElement.localName == "miq-consent"`))
}

// answer presses the n-th button of the banner, by keyboard: the shadow root is
// closed to scripts, and a banner has to work without a mouse.
func answer(t *testing.T, ctx context.Context, n int) {
	t.Helper()
	asked(t, ctx)
	do(t, ctx, chromedp.KeyEvent(strings.Repeat("\t", n)+"\r"))
}

// The banner's buttons, in the order of the keyboard.
const (
	refuse = 1
	accept = 2
	more   = 3
)

// analyticsOnly goes through the settings: opens them, which puts the focus on
// the first box, checks it and saves.
func analyticsOnly(t *testing.T, ctx context.Context) {
	t.Helper()
	answer(t, ctx, more)
	do(t, ctx, chromedp.KeyEvent(" "+strings.Repeat("\t", 4)+"\r"))
}

// settle gives the tag the time in which it would have sent what it had.
const settle = `new Promise(done => setTimeout(done, 400))`

// stored is all that scripts can see of what the browser keeps.
const stored = `JSON.stringify([document.cookie, Object.keys(localStorage).join(), Object.keys(sessionStorage).join()])`

func TestNothingLeavesAndNothingIsKeptBeforeTheAnswer(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, bannerMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?gclid=abc"))
	asked(t, ctx)
	eval[any](t, ctx, settle+`.then(() => (miq("track", "purchase", {order_id: "A-1", value: 1, currency: "GBP"}), 1))`)
	eval[any](t, ctx, settle+".then(() => 1)")
	s.silent(t)
	if got := eval[string](t, ctx, stored); got != `["","",""]` {
		t.Errorf("the browser keeps %s", got)
	}
}

func TestAcceptanceReleasesHeldEventsWithTheirOwnTime(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, bannerMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?gclid=abc"))
	asked(t, ctx)
	before := eval[string](t, ctx, settle+".then(() => new Date().toISOString())")
	answer(t, ctx, accept)

	a := s.next(t)
	if a.Path != "/collect" || a.names() != "page_view" {
		t.Fatalf("got %s %s", a.Path, a.names())
	}
	if at := a.events()[0]["time"].(string); at >= before {
		t.Errorf("the page view says %s, but it happened before %s", at, before)
	}
	for want, keys := range map[string][]string{
		"full":    {"consent", "state"},
		"granted": {"consent", "gcm", "ad_personalization"},
		"abc":     {"identity", "click_ids", "gclid"},
		"px_demo": {"pixel_id"},
		"web":     {"context", "sdk", "name"},
		"Shop":    {"context", "page", "title"},
	} {
		if got := a.at(keys...); got != want {
			t.Errorf("%v is %v, want %v", keys, got, want)
		}
	}
	if id := a.at("identity", "anonymous_id"); id == "" || id != eval[string](t, ctx, `localStorage._miq`) {
		t.Errorf("anonymous id %v is not the stored one", id)
	}

	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/next"))
	if b := s.next(t); b.at("identity", "anonymous_id") != a.at("identity", "anonymous_id") {
		t.Error("the next page is somebody else's")
	}
	if eval[bool](t, ctx, `!!document.querySelector("miq-consent")`) {
		t.Error("who has accepted is asked again")
	}
}

func TestRefusalSendsNothingAndIsNotAskedAgain(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, bannerMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	answer(t, ctx, refuse)
	do(t, ctx, chromedp.Poll[chromedp.Void](`!document.querySelector("miq-consent")`))
	eval[any](t, ctx, `miq("track", "purchase", {order_id: "A-1", value: 1, currency: "GBP"}); `+settle+".then(() => 1)")
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/next"))
	eval[any](t, ctx, settle+".then(() => 1)")
	s.silent(t)
	if eval[bool](t, ctx, `!!document.querySelector("miq-consent")`) {
		t.Error("who has refused is asked again on the next page")
	}
	if got := eval[string](t, ctx, stored); got != `["","","_miq_consent"]` {
		t.Errorf("the browser keeps %s", got)
	}
}

func TestAnalyticsOnlyTakesOutWhatNamesTheVisitor(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, bannerMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/a?gclid=abc&utm_source=news&q=me@example.com"))
	eval[any](t, ctx, `miq("identify", {user_id: "u1", email: "me@example.com"}), 1`)
	analyticsOnly(t, ctx)
	a := s.next(t)
	if got := a.at("consent", "state"); got != "partial" {
		t.Fatalf("state is %v", got)
	}
	if got, want := a.at("context", "page", "url"), s.Shop.URL+"/a?utm_source=news"; got != want {
		t.Errorf("url is %v, want %v", got, want)
	}
	if got := a.Body["identity"].(map[string]any); len(got) != 1 || got["anonymous_id"] == "" {
		t.Errorf("identity is %v, want the anonymous id alone", got)
	}
	if got := a.at("consent", "gcm", "analytics_storage"); got != "granted" {
		t.Errorf("analytics_storage is %v", got)
	}
	if got := a.at("consent", "gcm", "ad_storage"); got != "denied" {
		t.Errorf("ad_storage is %v", got)
	}
}

func TestAPurchaseLeavesAtOnce(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, patient, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	eval[any](t, ctx, `miq("track", "purchase", {order_id: "A-1", value: 99.5, currency: "GBP"}), 1`)
	a := s.next(t)
	if a.names() != "page_view,purchase" {
		t.Errorf("got %s", a.names())
	}
	if got := a.Header.Get("Content-Type"); got != "text/plain;charset=UTF-8" {
		t.Errorf("content type %s would need a preflight", got)
	}
}

func TestLeavingThePageSendsWhatIsQueuedByBeacon(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, patient, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	do(t, ctx, chromedp.Poll[chromedp.Void](`localStorage._miq === undefined && window.miq.version`))
	// The settings have to be in, or the page leaves undecided.
	eval[any](t, ctx, `new Promise(done => miq("on", "consent", done)).then(() => 1)`)
	eval[any](t, ctx, `miq("track", "add_to_cart", {value: 5, currency: "GBP"}), 1`)
	do(t, ctx, chromedp.Navigate("about:blank"))
	a := s.next(t)
	if a.names() != "page_view,add_to_cart" {
		t.Errorf("got %s", a.names())
	}
	if got := a.Header.Get("Sec-Fetch-Mode"); got != "no-cors" {
		t.Errorf("mode %q is not a beacon's", got)
	}
	select {
	case again := <-s.came:
		t.Errorf("came again: %s", again.names())
	case <-time.After(300 * time.Millisecond):
	}
}

func TestWithdrawalPurges(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, bannerMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	answer(t, ctx, accept)
	a := s.next(t)
	eval[any](t, ctx, `document.cookie = "_miq_id=server-set;Path=/"; miq("consent", {state: "none"}); miq("page"), 1`)
	p := s.next(t)
	if p.Path != "/consent" || p.at("state") != "none" || p.at("pixel_id") != "px_demo" {
		t.Errorf("got %s %v", p.Path, p.Body)
	}
	if p.at("anonymous_id") != a.at("identity", "anonymous_id") {
		t.Errorf("asks to purge %v", p.at("anonymous_id"))
	}
	if got := eval[string](t, ctx, stored); got != `["","","_miq_consent"]` {
		t.Errorf("the browser still keeps %s", got)
	}
	eval[any](t, ctx, settle+".then(() => 1)")
	select {
	case late := <-s.came:
		t.Errorf("came after the withdrawal: %s %s", late.Path, late.names())
	default:
	}
}

func TestTheBannerCanBeOpenedAgain(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, bannerMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	answer(t, ctx, accept)
	s.next(t)
	eval[any](t, ctx, `miq("banner"), miq("track", "search"), 1`)
	asked(t, ctx)
	eval[any](t, ctx, settle+".then(() => 1)")
	if len(s.came) != 0 {
		t.Error("something left while the visitor was asked again")
	}
	do(t, ctx, chromedp.KeyEvent("\u001b"))
	if a := s.next(t); a.names() != "search" || a.at("consent", "state") != "full" {
		t.Errorf("after closing without changes came %s under %v", a.names(), a.at("consent", "state"))
	}
}

// lateCMP is a consent platform that loads late and is answered late.
const lateCMP = `<script>
setTimeout(() => {
	const listeners = [];
	window.__tcfapi = (command, version, fn) => {
		if (command != "addEventListener") return;
		listeners.push(fn);
		fn({gdprApplies: undefined, cmpStatus: "loading", listenerId: 1}, true);
		setTimeout(() => fn({gdprApplies: true, cmpStatus: "loaded", eventStatus: "cmpuishown", listenerId: 1}, true), 50);
	};
	window.choose = (purposes) => listeners.forEach(fn => fn({
		gdprApplies: true, cmpStatus: "loaded", eventStatus: "useractioncomplete", tcString: "CPtest", listenerId: 1,
		purpose: {consents: Object.fromEntries(purposes.map(p => [p, true]))}, vendor: {consents: {101: true}},
	}, true));
}, 300)</script>`

func TestALateConsentPlatformIsHeard(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, cmpMode, quick, shop()+lateCMP)
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	do(t, ctx, chromedp.Poll[chromedp.Void](`window.choose`))
	eval[any](t, ctx, settle+".then(() => 1)")
	s.silent(t)
	eval[any](t, ctx, `choose([1,2,3,4,7,9,10]), 1`)
	a := s.next(t)
	if a.names() != "page_view" || a.at("consent", "tcf") != "CPtest" || a.at("consent", "state") != "full" || a.at("consent", "gdpr_applies") != true {
		t.Errorf("got %s with %v", a.names(), a.at("consent"))
	}
	eval[any](t, ctx, `choose([]), 1`)
	if p := s.next(t); p.Path != "/consent" || p.at("tcf") != "CPtest" {
		t.Errorf("after the withdrawal came %s %v", p.Path, p.Body)
	}
}

func TestTheSitesOwnBannerDecidesThroughConsentMode(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, gcmMode, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	eval[any](t, ctx, settle+".then(() => 1)")
	s.silent(t)
	eval[any](t, ctx, `miq("consent", {gcm: {ad_storage: "denied", ad_user_data: "denied", ad_personalization: "denied", analytics_storage: "granted"}}), 1`)
	if a := s.next(t); a.at("consent", "state") != "partial" || a.at("consent", "gcm", "analytics_storage") != "granted" {
		t.Errorf("got %v", a.at("consent"))
	}
}

func TestTheModuleDoesWhatTheSnippetDoes(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, impliedMode, quick, `<!doctype html><script type="module">
		import {init, page, track} from "{origin}/sdk.mjs";
		init("px_demo"); page(); track("view_item", {items: [{item_id: "SKU1"}]});
	</script>`)
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	if a := s.next(t); a.names() != "page_view,view_item" {
		t.Errorf("got %s", a.names())
	}
}

func TestASwitchedOffPixelIsSilent(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, settings.Pixel{ConsentMode: settings.Implied}, quick, shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	eval[any](t, ctx, settle+".then(() => (miq('track', 'purchase'), 1))")
	eval[any](t, ctx, settle+".then(() => 1)")
	s.silent(t)
}

func TestNeitherPolicyNorHostStylesBreakTheBanner(t *testing.T) {
	ctx := browse(t)
	page := `<!doctype html><link rel="stylesheet" href="data:text/css,body>*{display:none!important;width:1px!important}*{--paper:red;color:red}"><body>
		<script src="{origin}/sdk.js"></script><script nonce="abc">miq("init", "px_demo")</script>`
	s := newSite(t, bannerMode, quick, page, "Content-Security-Policy",
		"default-src 'none'; script-src 'nonce-abc' {origin}; connect-src {origin}; style-src data:")
	do(t, ctx, chromedp.Navigate(s.Shop.URL))
	do(t, ctx, chromedp.Poll[chromedp.Void](`document.querySelector("miq-consent")`))
	box := eval[map[string]float64](t, ctx, `(() => {
		const host = document.querySelector("miq-consent"), {width, height} = host.getBoundingClientRect();
		return {width, height, fixed: +(getComputedStyle(host).position == "fixed")};
	})()`)
	if box["fixed"] != 1 || box["width"] < 300 || box["height"] < 100 {
		t.Errorf("the banner is %v", box)
	}
}

package admin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/partner/dv360"
	"github.com/miq/pixel/modules/partner/yahoo"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

var (
	screenshots = flag.String("screenshots", "", "folder to save a picture of every page in")
	only        = flag.String("only", "", "a regular expression of the names of the pages to take")
)

// chromium opens a window of its own: fresh storage, nothing remembered. What
// goes wrong on a page, scripts' errors and violations of the policy, is
// gathered in window.wrong.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED: no chromium on PATH, so the console is not tried in a browser")
	}
	ctx, cancel := chromedp.NewContext(theBrowser.running(t, path), chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	drive(t, ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: `
			window.wrong = [];
			addEventListener("error", (e) => wrong.push("error: " + (e.message || e.target.outerHTML)), true);
			addEventListener("unhandledrejection", (e) => wrong.push("rejected: " + e.reason));
			addEventListener("securitypolicyviolation", (e) => wrong.push("policy: " + e.violatedDirective + " " + e.blockedURI + " " + e.sourceFile + ":" + e.lineNumber));
		`})
		return chromedp.Void{}, err
	})
	return ctx
}

// theBrowser is one for all tests: it takes a second of two processors to start.
var theBrowser oneBrowser

type oneBrowser struct {
	mu   sync.Mutex
	ctx  context.Context
	stop func()
}

// running is the browser, which is started where none runs.
func (o *oneBrowser) running(t *testing.T, path string) context.Context {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx != nil && o.ctx.Err() == nil {
		return o.ctx
	}
	dir, err := os.MkdirTemp("", "console-browser")
	must(t, err)
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-sync", true), chromedp.Flag("no-first-run", true),
	)
	ctx, end := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(ctx)
	o.ctx, o.stop = ctx, func() {
		cancel()
		end()
		os.RemoveAll(dir)
	}
	must(t, chromedp.Do(ctx)) // it starts
	return ctx
}

func TestMain(m *testing.M) {
	code := m.Run()
	if theBrowser.stop != nil {
		theBrowser.stop()
	}
	os.Exit(code)
}

func drive(t *testing.T, ctx context.Context, list ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(ctx, list...); err != nil {
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

// healthy fails on whatever went wrong on the page that is open.
func healthy(t *testing.T, ctx context.Context, where string) {
	t.Helper()
	for _, w := range eval[[]string](t, ctx, `window.wrong`) {
		t.Errorf("%s: %s", where, w)
	}
}

// everyPage are the addresses that a person can open, with what the seed holds.
var everyPage = []struct{ name, path string }{
	{"overview", "/"}, {"overview-7d", "/?range=7d"}, {"overview-consent", "/?range=7d&chart=consent"}, {"live", "/live"}, {"tour", "/tour"}, {"events", "/events"}, {"events-search", "/events?find={words:checkout}&name=purchase"}, {"events-none", "/events?find={words:nothing-like-it}"},
	{"event", "/events/0193f2bb-story-purchase?pixel_id=px_shop"}, {"event-request", "/events/0193f2bb-story-purchase?pixel_id=px_shop&request=amazon"}, {"event-waiting", "/events/0193f2cc-story-waiting?pixel_id=px_shop"},
	{"reports", "/reports"}, {"reports-grouped", "/reports?metric=visitors&group_by=device&range=30d&zone=Europe/London&dimension=utm_campaign&where=country&is=GB"}, {"reports-revenue", "/reports?metric=revenue&range=30d"}, {"reports-dates", "/reports?range=dates&group_by=name"}, {"reports-none", "/reports?name=nothing"},
	{"report-funnel", "/reports/funnel"}, {"report-consent", "/reports/consent"}, {"report-reconciliation", "/reports/reconciliation"}, {"report-duplicates", "/reports/duplicates"}, {"report-latency", "/reports/latency"}, {"report-loss", "/reports/loss"},
	{"pixels", "/pixels"}, {"pixel-new", "/pixels/new"}, {"pixel", "/pixels/px_shop"}, {"pixel-waiting", "/pixels/px_old"}, {"pixel-check", "/pixels/px_shop/check"}, {"pixel-check-waiting", "/pixels/px_old/check"},
	{"route-choose", "/pixels/px_shop/routes/new"}, {"route-ttd", "/pixels/px_shop/routes/new?partner=ttd"}, {"route-amazon", "/pixels/px_shop/routes/2"}, {"route-dv360", "/pixels/px_shop/routes/new?partner=dv360"}, {"route-yahoo", "/pixels/px_shop/routes/new?partner=yahoo"},
	{"partners", "/partners"}, {"partner-ttd", "/partners/ttd"}, {"partner-amazon", "/partners/amazon"}, {"partner-dv360", "/partners/dv360"}, {"partner-yahoo", "/partners/yahoo"},
	{"identities", "/identities"}, {"identity", "/identities?find={identity:customer-5}&pixel_id=px_shop"}, {"fields", "/privacy/fields"}, {"fields-none", "/privacy/fields?pixel_id=px_old"}, {"receipts", "/privacy/receipts"}, {"erasures", "/privacy/erasures"}, {"erasure", "/privacy/erasures/{newest}"}, {"receipts-visitor", "/privacy/receipts?find={visitor:visitor-1}"}, {"queues", "/queues"}, {"processes", "/processes"}, {"ledger", "/ledger"}, {"attribution", "/attribution"}, {"attribution-campaign", "/attribution?dimension=campaign&range=90d"}, {"at-risk", "/at-risk"}, {"readiness", "/match-readiness"}, {"dead-ttd", "/dead/ttd"}, {"dead-validation", "/dead/validation"}, {"dead-empty", "/dead/amazon"},
	{"backfills", "/backfills"}, {"backfills-rehearse", "/backfills?form=rehearse&pixel_id=px_shop"}, {"rehearsal", "/backfills/0193f2dd-0000-7000-8000-000000000001"},
	{"people", "/people"}, {"audit", "/audit"}, {"approvals", "/approvals"}, {"account", "/account"}, {"missing", "/nowhere"},
}

// gates are the pages for who is not signed in.
func (b *bench) gates() []struct{ name, path string } {
	id := userID("invited@example.com")
	if _, err := b.people.add(b.t.Context(), user{Login: "invited@example.com", Role: Viewer}); !errors.Is(err, errUserTaken) {
		must(b.t, err)
	}
	secret, err := b.links.make(b.t.Context(), setPassword, id)
	must(b.t, err)
	return []struct{ name, path string }{{"login", "/login"}, {"setup", "/setup?token=" + secret}}
}

func allPartners(o *Options) { o.Adapters = append(o.Adapters, dv360.New(), yahoo.New()) }

// seedProof fills what is kept beside the events: a visitor's receipts, how well
// partners could match a purchase, and books that do not balance.
func seedProof(t *testing.T, b *bench, now time.Time) {
	ctx := t.Context()
	for i, s := range []event.State{event.Full, event.Partial, event.None} {
		receipts, err := b.o.Book.Decide(ctx, consent.Change{
			Visitor: consent.Visitor{PixelID: "px_shop", ID: "visitor-1"}, At: now.Add(time.Duration(i-9) * time.Hour),
			Verdict: event.Verdict{State: s, Regime: "gdpr", Rule: "R1/G5", Reason: "the visitor agreed to some of the purposes we need"},
			Signals: event.Consent{TCF: "CPexampleCPexampleCPexampleCPexampleCPexampleCPexample", State: s}, Source: "web", ID: "e",
		})
		must(t, err)
		must(t, b.store.WriteReceipts(ctx, receipts...))
	}
	for _, p := range []string{"ttd", "amazon"} {
		must(t, b.store.WriteMatches(ctx, event.Match{EventID: "0193f2bb-story-purchase", PixelID: "px_shop", Partner: p, Name: "purchase", ReceivedAt: now,
			Grade: event.MediumMatch, Keys: []string{"email"}, Missing: []string{"phone", "ip"}}))
	}
	for i := range 6 {
		must(t, b.store.WriteMatches(ctx, event.Match{EventID: fmt.Sprint("0193f2aa-weak-", i), PixelID: "px_shop", Partner: "ttd", Name: "purchase", ReceivedAt: now,
			Grade: []event.Grade{event.NoMatch, event.LowMatch}[i%2], Keys: []string{}, Missing: []string{"email", "tdid"}}))
	}
	seedCredits(t, b, now)
	sentFields(t, b, "px_shop")
	ada := principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}
	must(t, b.decideFields(ctx, ada, holding("px_shop", true)))
	must(t, b.decideFields(ctx, ada, fieldDecision{PixelID: "px_shop", Partner: "ttd", Decision: settings.Refuse, Paths: []string{"data[].client_ip"}}))
	parked(t, b, "px_shop", "amazon", 3, "events[].matchKeys[POSTAL].values[]", "events[].customData[loyalty-tier]")
	parked(t, b, "px_shop", "yahoo", 1, "[].eventData.price")
	for i := range 8 { // a household, a till that many use, and its customers' addresses
		for j := range 1 + i%3 {
			must(t, b.o.People.Resolve(ctx, &identity.Seen{Event: &event.Event{
				ID: fmt.Sprintf("0193f2bb-seen-%d-%d", i, j), PixelID: "px_shop", Source: "web", ReceivedAt: now.Add(-time.Duration(50-i) * time.Hour), Verdict: event.Verdict{State: event.Full},
				Subject: event.Subject{AnonymousID: fmt.Sprintf("7d1f2c3b-9a4e-4c58-b6d7-%012x", 16*i+j), UserID: fmt.Sprint("customer-", i), Email: fmt.Sprintf("%064x", 0xfe11f1ee7*uint64(i+1))},
			}}))
		}
		if i < 5 {
			must(t, b.o.People.Resolve(ctx, &identity.Seen{Event: &event.Event{ID: fmt.Sprint("till-", i), PixelID: "px_shop", Source: "server", ReceivedAt: now, Verdict: event.Verdict{State: event.Full},
				Subject: event.Subject{AnonymousID: "till-2-high-street", UserID: fmt.Sprint("customer-", i)}}}))
		}
	}
	a := queue.AccountOf("px_shop", now.UTC())
	must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Ingest(event.High), Body: []byte("1"), Account: a, Stage: ledger.Received, N: 12480},
		queue.Item{Queue: queue.Ingest(event.High), Account: a, Stage: ledger.Suppressed, N: 1317},
		queue.Item{Queue: queue.Ingest(event.High), Account: a, Stage: ledger.Refused, N: 1317}))
}

// TestScreenshots saves pictures of every page, wide and narrow, light and
// dark, to be looked at: go test -run TestScreenshots -screenshots=DIR.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("only with -screenshots=DIR")
	}
	must(t, os.MkdirAll(*screenshots, 0o755))
	pick := regexp.MustCompile(*only)
	b := open(t, allPartners)
	seed(t, b, time.Now())
	seedProof(t, b, time.Now())
	b.fleet()
	seedBackfills(t, b, time.Now())
	seedErasures(t, b)
	for _, name := range []string{"grace@example.com", "linus@example.com"} {
		_, err := b.invite(t.Context(), principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}, name, Viewer, map[string][]string{"linus@example.com": {"Fell & Fleet"}}[name])
		must(t, err)
	}
	_, err := b.issue(t.Context(), principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}, token{Name: "Nightly export", Role: Viewer, Scopes: []string{"events:read", "reports:read"}, ExpiresAt: time.Now().AddDate(0, 3, 0)})
	must(t, err)
	b.announce("console-1-a1b2c3d4", "dispatcher-1-b2c3d4e5")
	ctx := chromium(t)
	// A picture that is taken while one page makes way for the other shows neither.
	drive(t, ctx, func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}})
		return chromedp.Void{}, err
	})
	shot := func(name string) {
		eval[bool](t, ctx, `scrollTo({top: 0, behavior: "instant"}), true`) // an answer that has the focus is in sight, and what sticks to the top with it
		// A picture of more than the window is drawn out of shape now and then: the window is
		// made as high as the page.
		size := eval[[]int64](t, ctx, `[innerWidth, innerHeight, Math.max(innerHeight, document.documentElement.scrollHeight)]`)
		drive(t, ctx, chromedp.EmulateViewport(size[0], size[2]))
		eval[bool](t, ctx, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
		png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		must(t, err)
		must(t, os.WriteFile(filepath.Join(*screenshots, name+".png"), png, 0o644))
		drive(t, ctx, chromedp.EmulateViewport(size[0], size[1]))
	}
	enter := func() {
		secret, err := b.LoginLink(t.Context())
		must(t, err)
		drive(t, ctx, chromedp.Navigate(b.server.URL+secret[len(b.URL()):]))
	}
	for _, size := range []struct{ w, h int64 }{{1440, 900}, {390, 844}} {
		drive(t, ctx, chromedp.EmulateViewport(size.w, size.h), chromedp.Navigate(b.server.URL+"/login"))
		eval[bool](t, ctx, `document.cookie = "pixel_session=; max-age=0", true`)
		for _, theme := range []string{"light", "dark"} {
			drive(t, ctx, chromedp.Navigate(b.server.URL+"/login"))
			eval[bool](t, ctx, fmt.Sprintf(`document.cookie = "pixel_theme=%s; path=/", true`, theme))
			eval[bool](t, ctx, `fetch("/logout", {method: "POST"}).then(() => true)`) // the gates are for who is not signed in
			for _, p := range b.gates() {
				if pick.MatchString(p.name) {
					drive(t, ctx, chromedp.Navigate(b.server.URL+p.path))
					shot(fmt.Sprintf("%s-%d-%s", p.name, size.w, theme))
				}
			}
			enter()
			for _, p := range everyPage {
				if !pick.MatchString(p.name) {
					continue
				}
				drive(t, ctx, chromedp.Navigate(b.server.URL+b.at(p.path)), chromedp.Sleep(150*time.Millisecond))
				healthy(t, ctx, p.path)
				// What is folded away is looked at too.
				eval[bool](t, ctx, `document.querySelectorAll("main details").forEach((d) => d.open = true), true`)
				if eval[bool](t, ctx, `!!document.querySelector(".status")`) != (p.name == "missing") {
					t.Errorf("%s: an error page", p.path)
				}
				if over := eval[int](t, ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
					t.Errorf("%s is %d px wider than a screen of %d", p.path, over, size.w)
				}
				shot(fmt.Sprintf("%s-%d-%s", p.name, size.w, theme))
			}
			// What a form leads to.
			for _, f := range []struct{ name, path, click string }{
				{"route-tried", "/pixels/px_shop/routes/2", `#preview button[name="try"]`},
				{"replay", "/dead/ttd", `form[action$="/replay"] button`},
				{"test-dry", "/partners/ttd", `#test button[name="dry"]`},
				{"test-dry-amazon", "/partners/amazon", `#test button[name="dry"]`},
			} {
				if !pick.MatchString(f.name) {
					continue
				}
				drive(t, ctx, chromedp.Navigate(b.server.URL+f.path), chromedp.Sleep(150*time.Millisecond))
				eval[bool](t, ctx, fmt.Sprintf(`document.querySelector(%q).click(), true`, f.click))
				drive(t, ctx, chromedp.Sleep(500*time.Millisecond))
				healthy(t, ctx, f.name)
				if over := eval[int](t, ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
					t.Errorf("%s is %d px wider than a screen of %d", f.name, over, size.w)
				}
				shot(fmt.Sprintf("%s-%d-%s", f.name, size.w, theme))
			}
			// What forms say of what they do not take.
			for _, r := range wrongForms {
				if !pick.MatchString(r.name()) {
					continue
				}
				r.try(t, ctx, b.server.URL, strings.NewReplacer("{me}", userID("demo"), "{invited}", b.gates()[1].path, "{out}", "/login").Replace)
				drive(t, ctx, chromedp.Sleep(150*time.Millisecond))
				healthy(t, ctx, r.name())
				if over := eval[int](t, ctx, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
					t.Errorf("%s is %d px wider than a screen of %d", r.name(), over, size.w)
				}
				shot(fmt.Sprintf("%s-%d-%s", r.name(), size.w, theme))
			}
			enter() // the last forms are for who is not signed in
		}
	}
	drive(t, ctx, chromedp.EmulateViewport(390, 844), chromedp.Navigate(b.server.URL+"/"))
	eval[bool](t, ctx, `document.querySelector(".menu").open = true`)
	shot("menu-390")
	b.browser()
	drive(t, ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(b.server.URL+"/"))
	eval[bool](t, ctx, `document.getElementById("keys").showModal(), true`)
	shot("keys-1440")
}

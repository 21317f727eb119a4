package admin

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/amazon"
	"github.com/miq/pixel/modules/partner/dv360"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/partner/yahoo"
	"github.com/miq/pixel/modules/sandbox"
	"github.com/miq/pixel/modules/settings"
)

// move is a step of a journey, as whoever may take it takes it in a browser.
type move struct {
	journey string
	page    string // as everyPage has it
	control string // what takes it, by its selector
	need    Role   // the least that may
	typed   string // what is typed before: a field's selector, =, and the text; several by ;
	shows   string // what is true then
	rest    func(t *testing.T, ctx context.Context)
}

// steps are those of every journey. A role that may sees the control, takes the step and
// sees what comes of it; one that may not does not see it.
var steps = []move{
	{journey: "overview", page: "/", need: Viewer, control: `input[name=range][value="7d"]`, shows: `location.search.includes("range=7d") && document.querySelector("#series .u-wrap canvas") && document.querySelector("#series table tbody tr")`},
	{journey: "make a pixel", page: "/pixels", need: Marketer, control: `a[href="/pixels/new"]`, shows: `document.querySelector('form[action="/pixels"]')`, rest: func(t *testing.T, ctx context.Context) {
		fill(t, ctx, "#name", "Made within a minute")
		press(t, ctx, `form[action="/pixels"] .btn.primary`)
		until(t, ctx, `document.querySelector("h1").textContent.includes("Made within a minute") && document.getElementById("tag").textContent.includes('miq("init"')`)
	}},
	{journey: "its tag", page: "/pixels/px_shop", need: Viewer, control: `button[data-copy="tag"]`, shows: `document.querySelector('button[data-copy="tag"] span').textContent == "Copied" || getSelection().toString().includes("px_shop")`},
	{journey: "check the installation", page: "/pixels/px_shop", need: Viewer, control: `.actions a[href="/pixels/px_shop/check"]`, shows: `document.querySelectorAll("#checks li").length > 3`},
	{journey: "a pixel's settings", page: "/pixels/px_shop", need: Marketer, control: `form[action="/pixels/px_shop"] .btn.primary`, typed: "#country=IE", shows: `document.querySelector(".notice").textContent.includes("Saved.") && document.getElementById("country").value == "IE"`},
	{journey: "retention", page: "/pixels/px_shop", need: Marketer, control: `form[action="/pixels/px_shop"] .btn.primary`, typed: "#syncs_days=400", shows: `document.querySelector(".notice") && document.getElementById("syncs_days").value == "400"`},
	{journey: "a schema", page: "/pixels/px_shop", need: Marketer, control: `form[action="/pixels/px_shop"] .btn.primary`, typed: `#schema_event=trial;#schema_text={"required":["plan"]}`, shows: `document.querySelector(".notice") && document.body.textContent.includes("trial, version")`},
	{journey: "deleting a pixel", page: "/pixels/px_shop", need: Marketer, control: `#delete button`, typed: "#confirm=px_sho", shows: `document.getElementById("e-confirm").textContent.includes("must be exactly px_shop")`},
	{journey: "live", page: "/live", need: Viewer, control: `#live-pause:not([hidden])`, shows: `document.getElementById("live-state").textContent.startsWith("Paused")`},
	{journey: "why was it not sent", page: "/events/0193f2bb-story-purchase?pixel_id=px_shop", need: Viewer, control: `#deliveries li.not_sent a[href="/partners/ttd"]`, shows: `document.querySelector("h1").textContent.includes("The Trade Desk")`},
	{journey: "what was sent of it", page: "/events/0193f2bb-story-purchase?pixel_id=px_shop", need: Marketer, control: `a[href*="request=amazon"]`, shows: `document.getElementById("curl").textContent.startsWith("curl -X POST 'http")`},
	{journey: "search", page: "/events", need: Viewer, control: `form[role=search] button`, typed: "#q=A-10482", shows: `location.search.includes("find=") && document.querySelector('a[data-row][href^="/events/0193f2bb-story-purchase"]')`},
	{journey: "a visitor's identity", page: "/identities", need: Viewer, control: `form[action="/identities"] button`, typed: "#name=customer-5", shows: `document.body.textContent.includes("What holds it together")`},
	{journey: "undoing a link", page: "/identities?find={identity:customer-4}&pixel_id=px_shop", need: Administrator, control: `form[action="/identities/decide"] button[value="unlink"]`, shows: `document.querySelector(".notice") && document.body.textContent.includes("What does not count")`},
	{journey: "holding a partner", page: "/partners/yahoo", need: Administrator, control: `form.mode button[value="hold"]`, shows: `document.querySelector(".notice").textContent.includes("is on hold. Events wait")`},
	{journey: "switching one off in the list", page: "/partners", need: Administrator, control: `form.mode[action="/partners/yahoo/mode"] button[value="off"]`, shows: `document.querySelector(".notice").textContent.includes("is off.")`},
	{journey: "credentials", page: "/partners/amazon", need: Administrator, control: `#credentials form .btn`, typed: "#c-client_id=amzn1.application-oa2-client.example;#c-client_secret=the-s3cret", shows: `document.querySelector(".notice").textContent.includes("Credentials saved")`},
	{journey: "connecting an account", page: "/partners/amazon", need: Administrator, control: `#credentials a[href^="/partners/amazon/connect"]`, shows: `document.getElementById("allow").href.includes("/connected")`, rest: func(t *testing.T, ctx context.Context) {
		press(t, ctx, "#allow")
		until(t, ctx, `document.querySelector(".notice").textContent.includes("is connected")`)
	}},
	{journey: "a partner's settings", page: "/partners/ttd", need: Administrator, control: `#settings .btn`, shows: `document.querySelector(".notice").textContent.includes("Settings saved")`},
	{journey: "a test event", page: "/partners/ttd", need: Administrator, control: `#test button:not([name])`, shows: `document.querySelector(".test").textContent.includes("accepted") && document.getElementById("test-request").textContent.includes("trk9x2")`},
	{journey: "dry mode", page: "/partners/ttd", need: Administrator, control: `#dry button`, shows: `document.querySelector(".notice").textContent.includes("is in a dry run")`},
	{journey: "a route's editor", page: "/pixels/px_shop", need: Marketer, control: `#routes a[href="/pixels/px_shop/routes/new"]`, shows: `document.querySelector('a[href$="partner=ttd"]')`},
	{journey: "preview", page: "/pixels/px_shop/routes/0", need: Marketer, control: `#preview button[name="try"]`, typed: "#map=value = value * 0.5", shows: `document.getElementById("preview-body").textContent.includes("124.975")`},
	{journey: "rehearsal", page: "/pixels/px_shop/routes/0", need: Marketer, control: `#preview button[name="rehearse"]`, shows: `location.pathname.startsWith("/backfills/") && document.querySelector("h1").textContent == "Rehearsal"`},
	{journey: "publish", page: "/pixels/px_shop/routes/new?partner=ttd", need: Marketer, control: `#route-form .btn.primary`, typed: "#event=sign_up;#f-adv=fellfleet;#f-tracker_id=trk9x2", shows: `document.querySelector(".notice").textContent.includes("The route is saved.")`},
	{journey: "a route's switch", page: "/pixels/px_shop", need: Marketer, control: `form[action="/pixels/px_shop/routes/1/switch"] button[value="hold"]`, shows: `document.querySelector('form[action="/pixels/px_shop/routes/1/switch"] button[value="hold"][aria-pressed]')`},
	{journey: "queues", page: "/queues", need: Viewer, control: `a[href="/dead/ttd"]`, shows: `document.querySelector("h1").textContent.includes("dead letters")`},
	{journey: "browsing dead letters", page: "/dead/ttd", need: Viewer, control: `a[data-row][href^="/dead/ttd?reason=http_402"]`, shows: `location.search.includes("reason=") && document.querySelectorAll("article.letter").length == 3`},
	{journey: "replaying them", page: "/dead/ttd", need: Administrator, control: `form[action="/dead/ttd/replay"] button`, shows: `document.getElementById("replay-head").textContent == "Replay 14 dead letters?"`},
	{journey: "deleting them", page: "/dead/ttd", need: Administrator, control: `form[action="/dead/ttd/replay"] button[formaction="/dead/ttd/drop"]`, shows: `document.activeElement.textContent == "Keep them" && document.getElementById("sure")`},
	{journey: "saved views", page: "/reports?group_by=device", need: Viewer, control: `form[action="/reports/views"] button`, typed: "#view-name=Mine", shows: `document.querySelector(".notice").textContent.includes("The view is saved")`, rest: func(t *testing.T, ctx context.Context) {
		drive(t, ctx, chromedp.Navigate(eval[string](t, ctx, `location.origin + "/reports/consent"`)))
		press(t, ctx, `.saved a[href*="group_by=device"]`)
		until(t, ctx, `location.search.includes("group_by=device") && document.getElementById("group_by").value == "device"`)
	}},
	ranged("/reports"), ranged("/reports/funnel"), ranged("/reports/consent"), ranged("/reports/reconciliation"), ranged("/reports/duplicates"), ranged("/reports/latency"), ranged("/reports/loss"),
	ranged("/attribution"), ranged("/match-readiness"), ranged("/ledger"),
	{journey: "money at risk", page: "/at-risk", need: Viewer, control: `a[data-row][href="/dead/ttd"]`, shows: `document.querySelector("h1").textContent.includes("dead letters")`},
	{journey: "data-driven models", page: "/attribution", need: Marketer, control: `form[action="/attribution/run"] button`, shows: `document.querySelector('form[action="/attribution/run"] button').textContent == "Asked for"`},
	{journey: "consent receipts", page: "/privacy/receipts", need: Administrator, control: `form[action="/privacy/receipts"] .btn.primary`, typed: "#visitor_id=visitor-1", shows: `document.querySelectorAll("main tbody tr").length == 3 && !location.href.includes("visitor-1")`},
	{journey: "erasure", page: "/privacy/erasures", need: Administrator, control: `form[action="/privacy/erasures"] .btn.primary`, typed: "#kind=visitor_id;#value=v-8f2e41c09b", shows: `document.body.textContent.includes("This would delete")`},
	{journey: "its certificate", page: "/privacy/erasures/{newest}", need: Administrator, control: `a[href$="/certificate"]`, shows: `true`, rest: func(t *testing.T, ctx context.Context) {
		if got := eval[string](t, ctx, `fetch(document.querySelector('a[href$="/certificate"]').href).then((r) => r.text())`); !strings.Contains(got, `"certificate"`) {
			t.Errorf("the certificate: %.200s", got)
		}
	}},
	{journey: "field approval", page: "/privacy/fields", need: Administrator, control: `form[action="/privacy/fields/decide"] button[value="approve-all"]`, shows: `document.querySelector(".notice").textContent.includes("approved for Amazon DSP")`},
	{journey: "holding new fields", page: "/privacy/fields", need: Administrator, control: `form[action="/privacy/fields/hold"] button`, shows: `document.querySelector(".notice")`},
	{journey: "people", page: "/people", need: Administrator, control: `form[action="/people"] .btn`, typed: "#login=grace@example.com", shows: `document.getElementById("link").textContent.includes("/setup?token=")`},
	{journey: "roles", page: "/people", need: Administrator, control: `form[action="/people/{linus}/role"] button`, typed: "#role-{linus}=marketer", shows: `document.querySelector(".notice").textContent.includes("linus@example.com is marketer now")`},
	{journey: "tokens", page: "/people", need: Administrator, control: `form[action="/people/tokens"] > .btn`, typed: "#token-name=Nightly", shows: `document.getElementById("secret").textContent.length > 20`},
	{journey: "undo", page: "/audit", need: Administrator, control: `form[action$="/undo"] button`, shows: `document.querySelector(".notice").textContent.includes("Undone")`},
	{journey: "a second person", page: "/approvals", need: Administrator, control: `form[action$="/approve"] button`, shows: `document.body.textContent.includes("Nothing waits")`},
	{journey: "replaying the archive", page: "/backfills", need: Administrator, control: `form[action="/backfills"] .btn.primary`, shows: `document.getElementById("e-to").textContent.includes("where to")`},
	{journey: "rehearsing a change", page: "/backfills?form=rehearse&pixel_id=px_shop", need: Marketer, control: `form[action="/rehearsals"] .btn.primary`, typed: `#change={"country":"FR"}`, shows: `location.pathname.startsWith("/backfills/") && document.querySelector("h1").textContent == "Rehearsal"`},
	{journey: "a second factor", page: "/account", need: Viewer, control: `form[action="/account/factor"] button`, shows: `document.querySelector("#factor svg.qr path").getAttribute("d").length > 500`},
	{journey: "the tour", page: "/tour", need: Viewer, control: `#tour li:first-child a.btn`, shows: `location.pathname != "/tour" && document.querySelector("h1") && !document.querySelector(".status")`},
	{journey: "help", page: "/queues", need: Viewer, control: `#keys`, shows: `document.querySelector("h1")`, rest: func(t *testing.T, ctx context.Context) {
		drive(t, ctx, chromedp.KeyEvent("?"))
		until(t, ctx, `document.getElementById("keys").open`)
	}},
}

// ranged is the step to another time in a report.
func ranged(path string) move {
	return move{journey: "the report " + path, page: path, need: Viewer, control: fmt.Sprintf(`form[action="%s"].filters input[name=range]:not(:checked)`, path), shows: `new URLSearchParams(location.search).get("range") === document.querySelector("input[name=range]:checked").value`}
}

// traces are of pixels that are another advertiser's to whoever works for the American one.
const traces = `/px_shop|px_blog|px_old|px_strict|Fell &amp; Fleet shop|The Fell journal|0193f2bb-story|fellfleet/`

// everyJourney is a console with what all steps need, and partners that answer.
func everyJourney(t *testing.T) *bench {
	adapters := []partner.Adapter{dv360.New(), ttd.New(), yahoo.New(), amazon.New()}
	box := httptest.NewServer(sandbox.New(adapters))
	t.Cleanup(box.Close)
	b := open(t, func(o *Options) {
		o.Adapters, o.Partners = adapters, map[string]config.Partner{}
		for name, at := range sandbox.Endpoints(box.URL, adapters) {
			o.Partners[name] = config.Partner{Endpoint: at.Endpoint, TokenURL: at.TokenURL, AuthorizeURL: at.AuthorizeURL}
		}
	})
	b.o.Config.PublicURL = b.server.URL // where partners send people back to
	seed(t, b, time.Now())
	seedProof(t, b, time.Now())
	seedBackfills(t, b, time.Now())
	seedErasures(t, b)
	ada := principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}
	_, err := b.invite(t.Context(), ada, "linus@example.com", Viewer, nil)
	must(t, err)
	p, err := b.addPixel(t.Context(), ada, settings.Pixel{ID: "px_strict", Name: "With two persons", Advertiser: "Fell & Fleet", Enabled: true, ConsentMode: settings.CMP, ConsentApproval: true})
	must(t, err)
	p.ConsentMode = settings.Implied
	if _, err = b.changePixel(t.Context(), ada, "pixel.update", p); err == nil {
		t.Fatal("it waits for nobody")
	}
	return b
}

// Each journey, in a browser, as each role: who may takes it, who may not is not offered
// it, and who works for another advertiser sees nothing of this one's.
func TestEachJourneyAsEachRole(t *testing.T) {
	b := everyJourney(t)
	linus := userID("linus@example.com")
	at := func(text string) string { return strings.ReplaceAll(text, "{linus}", linus) }
	t.Run("of another advertiser", func(t *testing.T) {
		ctx := chromium(t)
		b.enterAs(ctx, user{Login: "us@example.com", Role: Marketer, Advertisers: []string{"Fell & Fleet Inc."}})
		seen := map[string]bool{}
		for _, s := range steps {
			if seen[s.page] {
				continue
			}
			seen[s.page] = true
			drive(t, ctx, chromedp.Navigate(b.server.URL+b.at(s.page)))
			status := eval[string](t, ctx, `document.querySelector(".empty.big .status")?.textContent || "200"`)
			want := "200"
			switch {
			case !Marketer.Allows(s.need) && b.closed(s.page, Marketer):
				want = "403"
			case strings.Contains(s.page, "px_shop") && !strings.HasPrefix(s.page, "/backfills?") && !strings.HasPrefix(s.page, "/identities?"):
				want = "404"
			}
			if status != want {
				t.Errorf("%s: %s, not %s", s.page, status, want)
			}
			if eval[bool](t, ctx, traces+`.test(document.querySelector("main").innerHTML)`) {
				t.Errorf("%s has something of another advertiser's: %s", s.page, eval[string](t, ctx, traces+`.exec(document.querySelector("main").innerHTML).input.slice(Math.max(0, `+traces+`.exec(document.querySelector("main").innerHTML).index - 200)).slice(0, 400)`))
			}
			healthy(t, ctx, s.page)
		}
		// What is their own they look after.
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels/px_us"))
		fill(t, ctx, "#country", "CA")
		press(t, ctx, `form[action="/pixels/px_us"] .btn.primary`)
		until(t, ctx, `document.querySelector(".notice").textContent.includes("Saved.")`)
	})
	for _, role := range []Role{Viewer, Marketer, Administrator} {
		t.Run(string(role), func(t *testing.T) {
			ctx := chromium(t)
			b.enter(ctx, role)
			for _, s := range steps {
				t.Run(s.journey, func(t *testing.T) {
					drive(t, ctx, chromedp.Navigate(b.server.URL+b.at(s.page)))
					if !role.Allows(s.need) {
						b.refuses(t, ctx, s, role)
						return
					}
					for field := range strings.SplitSeq(at(s.typed), ";") {
						if selector, text, ok := strings.Cut(field, "="); ok {
							fill(t, ctx, selector, text)
						}
					}
					offered(t, ctx, at(s.control))
					press(t, ctx, at(s.control))
					until(t, ctx, s.shows)
					if s.rest != nil {
						s.rest(t, ctx)
					}
					healthy(t, ctx, s.journey)
				})
			}
		})
	}
}

// offered waits for a control and opens what it is folded away in, as whoever looks for it
// does; it can be seen then.
func offered(t *testing.T, ctx context.Context, control string) {
	t.Helper()
	until(t, ctx, fmt.Sprintf(`document.querySelector(%q) != null`, control))
	eval[bool](t, ctx, fmt.Sprintf(`(() => { for (let d = document.querySelector(%q).closest("details"); d; d = d.parentElement.closest("details")) d.open = true; return true; })()`, control))
	if control != "#keys" && !eval[bool](t, ctx, fmt.Sprintf(`document.querySelector(%q).checkVisibility()`, control)) {
		t.Errorf("%s cannot be seen", control)
	}
}

// closed reports whether a whole page is kept from a role.
func (b *bench) closed(page string, role Role) bool {
	path, _, _ := strings.Cut(page, "?")
	return !role.Allows(needOf(classified(b.t), "GET", path))
}

// refuses looks at a page as a role that may not take a step from it: the page without
// what would be refused, or a page that says why there is none, with a way out.
func (b *bench) refuses(t *testing.T, ctx context.Context, s move, role Role) {
	t.Helper()
	status := eval[string](t, ctx, `document.querySelector(".empty.big .status")?.textContent || "200"`)
	if b.closed(s.page, role) {
		if status != "403" || !eval[bool](t, ctx, fmt.Sprintf(`document.querySelector("main").textContent.includes("this needs the role %s; yours is %s") && document.querySelectorAll("main .actions a").length > 1 && !document.querySelector("main form")`, s.need, role)) {
			t.Errorf("%s: %s", status, onScreen(ctx))
		}
		if path, _, _ := strings.Cut(s.page, "?"); eval[bool](t, ctx, fmt.Sprintf(`!!document.querySelector('nav a[href=%q]')`, path)) {
			t.Error("the way there is shown all the same")
		}
	} else {
		if status != "200" {
			t.Errorf("%s: %s", status, onScreen(ctx))
		}
		if eval[bool](t, ctx, fmt.Sprintf(`!!document.querySelector(%q)`, s.control)) {
			t.Errorf("%s is offered", s.control)
		}
	}
	healthy(t, ctx, s.page)
}

// needOf is the least role of the route that an address belongs to; public for none.
func needOf(routes map[string]Role, method, path string) Role {
	best, need := -1, public
	parts := strings.Split(path, "/")
	for route, role := range routes {
		m, pattern, _ := strings.Cut(route, " ")
		want := strings.Split(pattern, "/")
		if m != method || len(want) != len(parts) {
			continue
		}
		same := 0
		for i, part := range want {
			switch {
			case part == parts[i]:
				same++
			case !strings.HasPrefix(part, ":"):
				same -= len(parts)
			}
		}
		if same > best {
			best, need = same, role
		}
	}
	return need
}

package admin

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/sandbox"
	"github.com/miq/pixel/modules/settings"
)

// follow posts a form and opens the page that it leads to.
func (w *browser) follow(path string, form url.Values) answer {
	w.b.t.Helper()
	got := w.post(path, form)
	if got.status != 303 {
		w.b.t.Fatalf("%s: %d %s", path, got.status, got.body)
	}
	to, _, _ := strings.Cut(got.header.Get("Location"), "#")
	return w.get(to)
}

func TestAPixelFromNothingToItsFirstRoute(t *testing.T) {
	b := open(t)
	w := b.as(Marketer)
	contains(t, w.get("/pixels").body, "Make the first pixel")
	got := w.follow("/pixels", url.Values{"id": {"px_1"}, "name": {"Shop"}, "consent_mode": {"banner"}, "domains": {"https://shop.example.com/\nwww.example.org"}})
	contains(t, got.body, "The pixel is made", "miq(&#34;init&#34;,&#34;px_1&#34;)", "waiting…", "Nothing is sent anywhere")
	if again := w.get("/pixels/px_1"); strings.Contains(again.body, "The pixel is made") {
		t.Error("the notice stays")
	}
	p, _ := b.o.Settings.Pixel("px_1")
	if p.ConsentMode != settings.Banner || strings.Join(p.Domains, " ") != "shop.example.com www.example.org" || !p.Enabled {
		t.Errorf("%+v", p)
	}

	bad := w.post("/pixels", url.Values{"id": {"px_1"}, "consent_mode": {"cmp"}})
	contains(t, bad.body, "there is a pixel of that id already")
	bad = w.post("/pixels", url.Values{"id": {"px_2"}, "consent_mode": {"cmp"}, "domains": {"no host"}, "country": {"Britain"}})
	if bad.status != 422 {
		t.Errorf("%d", bad.status)
	}
	contains(t, bad.body, "must be two capital letters")

	contains(t, w.get("/pixels/px_1/routes/new").body, "The Trade Desk", "Amazon DSP")
	contains(t, w.get("/pixels/px_1/routes/new?partner=ttd").body, `name="p.tracker_id"`, "Fill in one of these")
	bad = w.post("/pixels/px_1/routes", url.Values{"n": {"-1"}, "partner": {"ttd"}, "event": {"purchase"}, "revision": {"1"}, "p.adv": {"not an id"}, "p.tracker_id": {"t1"}})
	if bad.status != 422 {
		t.Errorf("%d", bad.status)
	}
	contains(t, bad.body, "must be 1 to 64 letters, digits, _ or -", `value="not an id"`)
	bad = w.post("/pixels/px_1/routes", url.Values{"n": {"-1"}, "partner": {"ttd"}, "event": {"purchase"}, "revision": {"1"}, "p.adv": {"a1"}})
	contains(t, bad.body, "needs exactly one of these: Event tracker of an advertiser (Advertiser id and Event tracker id)")
	bad = w.post("/pixels/px_1/routes", url.Values{"n": {"-1"}, "partner": {"ttd"}, "event": {"2fast"}, "revision": {"1"}, "p.adv": {"a1"}, "p.tracker_id": {"t1"}})
	contains(t, bad.body, "must be an event&#39;s name, or * for all")
	got = w.follow("/pixels/px_1/routes", url.Values{"n": {"-1"}, "partner": {"ttd"}, "event": {"purchase"}, "mode": {"on"}, "revision": {"1"}, "p.adv": {"a1"}, "p.tracker_id": {"t1"}})
	contains(t, got.body, "Advertiser id: a1", "Event tracker id: t1")
	stale := w.post("/pixels/px_1/routes/0/switch", url.Values{"mode": {"off"}, "revision": {"1"}})
	if stale.status != 409 {
		t.Errorf("an old page may switch: %d", stale.status)
	}
	w.follow("/pixels/px_1/routes/0/switch", url.Values{"mode": {"off"}, "revision": {"2"}})
	w.follow("/pixels/px_1/routes", url.Values{"n": {"0"}, "partner": {"ttd"}, "event": {"*"}, "mode": {"on"}, "revision": {"3"}, "p.adv": {"a2"}, "p.tracker_id": {"t1"}})
	p, _ = b.o.Settings.Pixel("px_1")
	if len(p.Routes) != 1 || p.Routes[0].Event != "*" || string(p.Routes[0].Params) != `{"adv":"a2","tracker_id":"t1"}` {
		t.Errorf("%+v", p.Routes)
	}
	w.follow("/pixels/px_1/routes/0/delete", url.Values{"revision": {"4"}})

	got = w.follow("/pixels/px_1", url.Values{"revision": {"5"}, "name": {"Store"}, "consent_mode": {"cmp"}, "us_limited_use": {"true"}, "dry": {"true"}})
	contains(t, got.body, "Saved.", "Store")
	p, _ = b.o.Settings.Pixel("px_1")
	if p.Enabled || !p.Dry || !p.Consent.LimitedUse || len(p.Domains) != 0 {
		t.Errorf("%+v", p)
	}
	stale = w.post("/pixels/px_1", url.Values{"revision": {"5"}, "name": {"Other"}, "consent_mode": {"cmp"}})
	if stale.status != 422 {
		t.Errorf("%d", stale.status)
	}
	contains(t, stale.body, "changed by somebody else")
	if no := w.post("/pixels/px_1/delete", url.Values{"confirm": {"px"}}); no.status != 422 {
		t.Errorf("deleted without the id: %d", no.status)
	}
	contains(t, w.follow("/pixels/px_1/delete", url.Values{"confirm": {"px_1"}}).body, "The pixel is deleted")
}

func TestSwitchingAPartner(t *testing.T) {
	b := open(t)
	w := b.as(Administrator)
	contains(t, w.get("/partners").body, "The Trade Desk", "Amazon DSP")
	for mode, said := range map[string]string{"off": "is off. Events are not sent to it", "hold": "is on hold", "on": "is on. What waits"} {
		got := w.follow("/partners/ttd/mode", url.Values{"mode": {mode}, "back": {"/partners"}})
		contains(t, got.body, said)
		if m := b.o.Settings.Partner("ttd").Mode; string(m) != mode {
			t.Errorf("it is %s", m)
		}
	}
	viewer := b.as(Viewer).get("/partners")
	if strings.Contains(viewer.body, `name="mode"`) {
		t.Error("a viewer sees the switch")
	}
}

func TestAPartnersSettingsAndCredentials(t *testing.T) {
	b := open(t)
	w := b.as(Administrator)
	bad := w.post("/partners/ttd/settings", url.Values{"revision": {"0"}, "p.offline_age_days": {"many"}, "p.ldu_region": {"Virginia"}})
	if bad.status != 422 {
		t.Errorf("%d", bad.status)
	}
	contains(t, bad.body, "must be a whole number", `value="Virginia"`)
	w.follow("/partners/ttd/settings", url.Values{"revision": {"0"}, "p.offline_age_days": {"14"}, "p.require_client_ip": {"true"}, "p.item_number_from": {"0"}})
	if got := string(b.o.Settings.Partner("ttd").Settings); got != `{"item_number_from":0,"offline_age_days":14,"require_client_ip":true}` {
		t.Error(got)
	}
	w.follow("/partners/ttd/settings", url.Values{"revision": {"1"}, "p.offline_age_days": {"15"}})
	if got := string(b.o.Settings.Partner("ttd").Settings); got != `{"offline_age_days":15}` {
		t.Error(got)
	}
	got := w.follow("/partners/amazon/credentials", url.Values{"c.client_id": {"the-client"}, "c.client_secret": {"the-s3cret"}})
	contains(t, got.body, "Credentials saved")
	if strings.Contains(got.body, "the-s3cret") || strings.Contains(got.body, "the-client") {
		t.Error("credentials can be read")
	}
	w.follow("/partners/amazon/credentials", url.Values{"c.refresh_token": {"the-refresh"}, "forget.client_secret": {"true"}})
	set, err := b.o.Settings.Credentials(b.o.Settings.Partner("amazon"), "")
	must(t, err)
	if len(set) != 2 || set["client_id"] != "the-client" || set["refresh_token"] != "the-refresh" {
		t.Error(set)
	}
}

func TestATestEventShowsRequestAndAnswer(t *testing.T) {
	adapters := []partner.Adapter{ttd.New()}
	box := httptest.NewServer(sandbox.New(adapters))
	defer box.Close()
	b := open(t, func(o *Options) {
		o.Partners = map[string]config.Partner{"ttd": {Endpoint: sandbox.Endpoints(box.URL, adapters)["ttd"].Endpoint}}
	})
	ask[any](b, post, base+"/pixels", `{"id":"px_1","country":"GB","routes":[{"partner":"ttd","event":"purchase","enabled":true,"params":{"adv":"a1","tracker_id":"t1"}}]}`, 201)
	got := b.as(Administrator).post("/partners/ttd/test", url.Values{"route": {"px_1 purchase"}})
	if got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	contains(t, got.body, "POST http://127.0.0.1:", "HTTP 200", "&#34;tracker_id&#34;: &#34;t1&#34;", "accepted")
	result := ask[testResult](b, post, base+"/partners/ttd/test", map[string]any{"pixel_id": "px_1"}, 200)
	if result.Outcome != event.Accepted || result.Request == nil || result.Answer.Status != 200 {
		t.Errorf("%+v", result)
	}
	raw := ask[struct{ Request map[string]any }](b, post, base+"/partners/ttd/test", map[string]any{"pixel_id": "px_1"}, 200)
	if _, ok := raw.Request["status"]; ok {
		t.Errorf("a request has a status: %v", raw.Request)
	}
}

func TestDeadLettersInTheConsole(t *testing.T) {
	b := open(t)
	seedQueues(t, b, time.Now())
	w := b.as(Administrator)
	contains(t, w.get("/dead/ttd").body, "Replay all 14…", "InvalidPrivacySetting: The request has an invalid privacy setting.")
	contains(t, w.get("/dead/validation").body, "not replayable", "cannot be replayed")
	contains(t, w.follow("/dead/validation/replay", url.Values{"scope": {"all"}}).body, "Not replayable: 6 messages")
	contains(t, w.follow("/dead/ttd/replay", nil).body, "Nothing was selected")
	letters, _, err := b.queue.Dead(t.Context(), "dlq:ttd", "", 2)
	must(t, err)
	contains(t, w.follow("/dead/ttd/replay", url.Values{"id": {letters[0].ID, letters[1].ID}, "confirm": {"yes"}}).body, "2 messages")
	sure := w.post("/dead/ttd/drop", url.Values{"scope": {"all"}})
	contains(t, sure.body, "Delete 12 dead letters for good?", `name="confirm" value="yes"`)
	if left, _, _ := b.queue.Dead(t.Context(), "dlq:ttd", "", 100); len(left) != 12 {
		t.Fatalf("%d left before it was confirmed", len(left))
	}
	contains(t, w.follow("/dead/ttd/drop", url.Values{"scope": {"all"}, "confirm": {"yes"}}).body, "Deleted for good: 12 messages", "Empty, as it should be")
}

func TestPeopleAndTokensInTheConsole(t *testing.T) {
	b := open(t)
	w := b.as(Administrator)
	got := w.post("/people", url.Values{"login": {"grace@example.com"}, "role": {"viewer"}})
	_, link, _ := strings.Cut(got.body, "/setup?token=")
	link = link[:26]
	if again := w.get("/people"); strings.Contains(again.body, link) {
		t.Error("the link is shown twice")
	}
	grace := b.browser()
	grace.follow("/setup", url.Values{"token": {link}, "password": {goodPassword}, "again": {goodPassword}})
	if got := grace.get("/pixels/new"); got.status != 403 {
		t.Errorf("a viewer opens the form: %d", got.status)
	}
	contains(t, w.post("/people", url.Values{"login": {"Grace@example.com"}, "role": {"viewer"}}).body, "there is a user of that name already")
	contains(t, w.follow("/people/"+userID("grace@example.com")+"/role", url.Values{"role": {"marketer"}}).body, "grace@example.com is marketer now")
	made := w.post("/people/tokens", url.Values{"name": {"Nightly"}, "role": {"viewer"}, "days": {"30"}})
	contains(t, made.body, tokenPrefix)
	list, err := b.people.listTokens(t.Context())
	must(t, err)
	if days := time.Until(list[0].ExpiresAt).Hours() / 24; days < 29 || days > 31 {
		t.Errorf("expires in %v days", days)
	}
	contains(t, w.follow("/people/tokens/"+list[0].ID+"/revoke", nil).body, "no longer works")
	contains(t, w.follow("/people/"+userID("grace@example.com")+"/delete", nil).body, "The user is gone")
	contains(t, w.get("/audit").body, "user.create", "token.revoke", "user.delete", "user.password")
}

func TestWhatNeedsAttentionIsSaidInSentences(t *testing.T) {
	b := open(t)
	w := b.as(Viewer)
	if body := w.get("/").body; strings.Contains(body, "Needs attention") {
		t.Error("an empty product needs attention")
	}
	seed(t, b, time.Now())
	body := w.get("/").body
	contains(t, body, "Amazon DSP cannot be sent anything: Client id, Client secret and Refresh token are not set.",
		"The Trade Desk will not take 14 deliveries; they are in the dead letters.", "Refused at the door: 6 events that were not as events must be.")
	must(t, b.changePartner(t.Context(), principal{}, "ttd", partnerChange{Mode: new(settings.Off)}))
	contains(t, w.get("/").body, "The Trade Desk is off, though routes name it")
}

func TestTheThemeIsRemembered(t *testing.T) {
	b := open(t)
	w := b.as(Viewer)
	contains(t, w.get("/").body, `data-theme="auto"`)
	contains(t, w.follow("/theme", url.Values{"theme": {"dark"}, "back": {"/events"}}).body, `data-theme="dark"`, "<h1>Events</h1>")
}

func TestStaticFilesAreKeptByTheirVersion(t *testing.T) {
	b := open(t)
	w := b.browser()
	body := w.get("/login").body
	_, address, _ := strings.Cut(body, `href="/static/app.css`)
	address = "/static/app.css" + address[:strings.Index(address, `"`)]
	if got := w.get(address); got.status != 200 || !strings.Contains(got.header.Get("Cache-Control"), "immutable") || got.header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("%d %v", got.status, got.header)
	}
	if got := w.get("/static/app.css"); got.header.Get("Cache-Control") != "no-cache" {
		t.Errorf("without a version: %v", got.header)
	}
	for _, path := range []string{"/static/nothing.js", "/static/", "/static/..%2fapp.css"} {
		if got := w.get(path); got.status != 404 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

// TestInABrowser walks the ways that need scripts: the live stream with its
// pause, a story that settles while one looks, the keyboard, the theme.
func TestInABrowser(t *testing.T) {
	b := open(t)
	seed(t, b, time.Now())
	link, err := b.LoginLink(t.Context())
	must(t, err)
	ctx := chromium(t)
	wait := func(js string) {
		t.Helper()
		for {
			err := chromedp.Do(ctx, chromedp.Poll[chromedp.Void](js))
			if err == nil {
				return
			}
			// The page that was looked at made way for the next; look at that.
			if !strings.Contains(err.Error(), "Cannot find context") || ctx.Err() != nil {
				t.Fatalf("%s: %v", js, err)
			}
		}
	}
	drive(t, ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(b.server.URL+link[len(b.URL()):]))
	wait(`document.querySelector(".u-wrap canvas")`)
	eval[bool](t, ctx, `document.querySelector("[data-themes] [value=dark]").click(), true`)
	if got := eval[string](t, ctx, `document.documentElement.dataset.theme + getComputedStyle(document.body).colorScheme`); got != "darkdark" {
		t.Error(got)
	}
	press := func(keys, at string) {
		t.Helper()
		_, err := chromedp.Run(ctx, chromedp.WaitEvent(cdppage.LoadEventFired, nil, chromedp.KeyEvent(keys)))
		must(t, err)
		if got := eval[string](t, ctx, `location.pathname`); !strings.HasPrefix(got, at) {
			t.Errorf("%s leads to %s", keys, got)
		}
	}
	press("ge", "/events")
	press("j\r", "/events/")
	healthy(t, ctx, "keyboard")

	drive(t, ctx, chromedp.Navigate(b.server.URL+"/live"))
	wait(`document.getElementById("live-state").dataset.state == "on"`)
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-live-1", time.Now().UTC())))
	wait(`document.querySelector("#live-rows a").getAttribute("href") == "/events/e-live-1?pixel_id=px_shop"`)
	eval[bool](t, ctx, `document.getElementById("live-pause").click(), true`)
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-live-2", time.Now().UTC())))
	wait(`document.getElementById("live-state").textContent == "Paused, 1 waiting"`)
	if got := eval[string](t, ctx, `document.querySelector("#live-rows a").getAttribute("href")`); !strings.Contains(got, "e-live-1") {
		t.Errorf("paused, but shows %s", got)
	}
	eval[bool](t, ctx, `document.getElementById("live-pause").click(), true`)
	wait(`document.querySelector("#live-rows a").getAttribute("href").includes("e-live-2")`)
	healthy(t, ctx, "/live")

	drive(t, ctx, chromedp.Navigate(b.server.URL+"/events/e-live-2?pixel_id=px_shop"))
	wait(`document.body.textContent.includes("On its way to The Trade Desk.")`)
	for _, p := range []string{"ttd", "amazon"} {
		must(t, b.store.WriteSyncs(t.Context(), event.Sync{EventID: "e-live-2", PixelID: "px_shop", Partner: p, At: time.Now().UTC(), Outcome: event.NotSent, Code: "partner_off", Message: "not sent: partner is off"}))
	}
	wait(`document.querySelectorAll("#deliveries .verdict").length == 2 && [...document.querySelectorAll("#deliveries .verdict")].every((p) => p.textContent.includes("not sent: partner is off"))`)
	wait(`!document.getElementById("deliveries").hasAttribute("hx-get")`)
	healthy(t, ctx, "the story")
}

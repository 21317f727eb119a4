package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"

	"github.com/miq/pixel/modules/archive/filearchive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// The ways of those who look after accounts, the archive and the proofs of consent.

// Whoever has an account sets up an authenticator app and signs in by it, or by a
// recovery code; nobody else gets to see how.
func TestEachRoleSetsUpASecondFactorAndSignsInByIt(t *testing.T) {
	var ahead atomic.Int64 // seconds that the console's clock is ahead
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	b := open(t, func(o *Options) { o.Now = now })
	hash, err := b.hasher.hash(t.Context(), somePassword)
	must(t, err)
	if got := b.browser().post("/account/factor", url.Values{"current": {somePassword}}); got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/login") {
		t.Errorf("nobody in particular sets up a factor: %d", got.status)
	}
	ctx := chromium(t)
	drive(t, ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(b.server.URL+"/login"))
	for _, role := range []Role{Viewer, Marketer, Administrator} {
		login := string(role) + "-factor@example.com"
		_, err := b.people.add(t.Context(), user{Login: login, Role: role, Password: hash})
		must(t, err)
		enter := func() {
			t.Helper()
			fill(t, ctx, "#login", login)
			fill(t, ctx, "#password", somePassword)
			press(t, ctx, `form[action="/login"] button`)
		}
		leave := func() {
			t.Helper()
			press(t, ctx, `.side form[action="/logout"] button`)
			until(t, ctx, `location.pathname == "/login" && document.getElementById("login")`)
		}
		enter()
		until(t, ctx, fmt.Sprintf(`document.querySelector(".side .me-name").textContent == %q`, login))
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/account"))
		fill(t, ctx, "#factor-current", somePassword)
		press(t, ctx, `form[action="/account/factor"] button`)
		until(t, ctx, `document.querySelector("#factor svg.qr path").getAttribute("d").length > 500`)
		secret := eval[string](t, ctx, `document.querySelector("#factor code").textContent`)
		code := func() string {
			c, err := totp.GenerateCode(secret, now())
			must(t, err)
			return c
		}
		fill(t, ctx, "#prove", "000000")
		press(t, ctx, `form[action="/account/factor/prove"] button`)
		until(t, ctx, `document.querySelector("#factor .field-error, #factor .form-error, .form-error, .field-error, [role=alert]") && !document.querySelector(".reveal pre")`)
		if eval[bool](t, ctx, `!document.getElementById("prove")`) {
			// What was offered is not shown again: it begins anew.
			drive(t, ctx, chromedp.Navigate(b.server.URL+"/account"))
			fill(t, ctx, "#factor-current", somePassword)
			press(t, ctx, `form[action="/account/factor"] button`)
			until(t, ctx, `document.querySelector("#factor code")`)
			secret = eval[string](t, ctx, `document.querySelector("#factor code").textContent`)
		}
		fill(t, ctx, "#prove", code())
		press(t, ctx, `form[action="/account/factor/prove"] button`)
		until(t, ctx, `document.querySelector(".reveal pre").textContent.trim().split("\n").length == 10`)
		recovery := eval[string](t, ctx, `document.querySelector(".reveal pre").textContent.trim().split("\n")[0]`)
		healthy(t, ctx, "/account of a "+string(role))
		leave()

		ahead.Add(2 * period)
		enter()
		until(t, ctx, `document.getElementById("code") && document.querySelector("h1").textContent == "Your code"`)
		fill(t, ctx, "#code", "000000")
		press(t, ctx, `form[action="/login/code"] button`)
		until(t, ctx, `document.querySelector(".form-error").textContent.includes("not right")`)
		fill(t, ctx, "#code", code())
		press(t, ctx, `form[action="/login/code"] button`)
		until(t, ctx, fmt.Sprintf(`document.querySelector(".side .me-name").textContent == %q`, login))
		leave()

		enter()
		until(t, ctx, `document.getElementById("code")`)
		fill(t, ctx, "#code", recovery)
		press(t, ctx, `form[action="/login/code"] button`)
		until(t, ctx, fmt.Sprintf(`document.querySelector(".side .me-name").textContent == %q`, login))
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/account"))
		until(t, ctx, `document.body.textContent.includes("9 recovery codes left")`)
		healthy(t, ctx, "/account by a recovery code")
		leave()
	}
}

// An admin makes a token of some scopes for a script, which uses it until it ends; the
// others are not let near.
func TestAnAdministratorMakesATokenThatAScriptUsesUntilItEnds(t *testing.T) {
	var ahead atomic.Int64
	b := open(t, func(o *Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	})
	b.shop()
	ctx := chromium(t)
	b.enter(ctx, Administrator)
	make := func(name, days string) string {
		t.Helper()
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/people"))
		fill(t, ctx, "#token-name", name)
		fill(t, ctx, "#token-role", "marketer")
		fill(t, ctx, "#days", days)
		press(t, ctx, `form[action="/people/tokens"] input[name=scope][value="pixels:read"]`)
		press(t, ctx, `form[action="/people/tokens"] > .btn`)
		until(t, ctx, `document.getElementById("secret").textContent.length > 20`)
		healthy(t, ctx, "/people")
		return eval[string](t, ctx, `document.getElementById("secret").textContent.trim()`)
	}
	script := make("Nightly export", "30")
	if got := b.call(script, get, base+"/pixels", nil); got.status != http.StatusOK || !strings.Contains(got.body, "px_shop") {
		t.Errorf("the script reads: %d", got.status)
	}
	for what, got := range map[string]answer{"writes": b.call(script, patch, base+"/pixels/px_shop", map[string]any{"name": "x"}), "reads elsewhere": b.call(script, get, base+"/events", nil), "opens a page": b.call(script, get, "/", nil)} {
		if got.status != http.StatusForbidden {
			t.Errorf("the script %s: %d", what, got.status)
		}
	}
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/people"))
	until(t, ctx, `document.body.textContent.includes("Nightly export") && document.body.textContent.includes("pixels:read")`)
	if eval[bool](t, ctx, fmt.Sprintf(`document.documentElement.outerHTML.includes(%q)`, script)) {
		t.Error("the token is shown again")
	}
	// One is taken back.
	other := make("Taken back", "0")
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/people"))
	until(t, ctx, `[...document.querySelectorAll("tr")].some((r) => r.textContent.includes("Taken back"))`)
	eval[bool](t, ctx, `[...document.querySelectorAll("tr")].find((r) => r.textContent.includes("Taken back")).querySelector('form[action$="/revoke"] button').click(), true`)
	until(t, ctx, `document.querySelector("h1").textContent == "People and tokens" && ![...document.querySelectorAll("tr")].some((r) => r.textContent.includes("Taken back"))`)
	if got := b.call(other, get, base+"/pixels", nil); got.status != http.StatusUnauthorized {
		t.Errorf("a token that was taken back: %d", got.status)
	}
	ahead.Store(31 * 24 * 3600)
	if got := b.call(script, get, base+"/pixels", nil); got.status != http.StatusUnauthorized {
		t.Errorf("after its end: %d", got.status)
	}
	ahead.Store(0)
	for _, role := range []Role{Viewer, Marketer} {
		w := b.as(role)
		if got := w.get("/people"); got.status != http.StatusForbidden || strings.Contains(got.body, `href="/people"`) {
			t.Errorf("a %s at /people: %d", role, got.status)
		}
		if got := w.post("/people/tokens", url.Values{"name": {"mine"}, "role": {"viewer"}, "days": {"30"}}); got.status != http.StatusForbidden {
			t.Errorf("a %s makes a token: %d", role, got.status)
		}
	}
}

// An admin replays the archive into the store and watches it end; a marketer rehearses a
// change, and a viewer reads what came of both.
func TestABackfillAndARehearsalAreStartedAndWatched(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	a, _, err := filearchive.New(t.TempDir(), lake.Options{})
	must(t, err)
	t.Cleanup(func() { a.Close() })
	_, err = b.addPixel(t.Context(), principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}, settings.Pixel{
		ID: "px_vouch", Name: "Vouched for", Advertiser: "Fell & Fleet", Enabled: true, ConsentMode: settings.Implied, Country: "GB",
		Routes: []settings.Route{{Partner: "ttd", Event: "purchase", Enabled: true, Params: []byte(`{"adv":"fellfleet","tracker_id":"trk9x2"}`)}},
	})
	must(t, err)
	var lost []event.Event
	for i := range 40 {
		e := someEvent(fmt.Sprint("lost-", i), time.Now().Add(-time.Duration(i)*time.Minute).UTC())
		e.Consent, e.Verdict = event.Consent{}, event.Verdict{State: event.Full, Regime: "default", Rule: "D1", Reason: "the site vouches for it"}
		e.PixelID, e.Subject.VisitorID, e.Order.ID = "px_vouch", fmt.Sprint("lost-visitor-", i), fmt.Sprint("L-", i)
		lost = append(lost, e)
	}
	must(t, a.Write(t.Context(), lost...))
	r, err := backfill.NewRunner(backfill.Deps{
		Docs: b.o.State, Keys: b.o.State, Archive: a, Upkeep: a, Writer: b.store, Push: b.o.Push, Settings: b.o.Settings, Decider: b.o.Decider, Adapters: b.o.Adapters, Log: b.o.Log, Now: time.Now,
	})
	must(t, err)
	jobs := func() []backfill.Job {
		list, err := b.backfills.List(t.Context())
		must(t, err)
		return list
	}
	ctx := chromium(t)
	b.enter(ctx, Administrator)
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/backfills"))
	press(t, ctx, `form[action="/backfills"] .btn.primary`)
	until(t, ctx, `document.querySelector('form[action="/backfills"] .field-error') && document.querySelector('form[action="/backfills"]').closest("details").open`) // nowhere to
	fill(t, ctx, "#replay-pixel", "px_vouch")
	fill(t, ctx, "#replay-events", "purchase")
	press(t, ctx, `form[action="/backfills"] input[name=storage]`)
	press(t, ctx, `form[action="/backfills"] .btn.primary`)
	until(t, ctx, `location.pathname.startsWith("/backfills/") && document.querySelector("#job .badge").textContent.includes("waiting")`)
	if eval[bool](t, ctx, `!document.querySelector('form[action$="/cancel"]')`) {
		t.Error("it cannot be cancelled")
	}
	must(t, r.Start(t.Context()))
	t.Cleanup(func() { must(t, r.Stop(t.Context())) })
	// The page follows by itself.
	until(t, ctx, `document.querySelector("#job .badge").textContent.includes("done") && document.querySelector("#job .facts").textContent.includes("40")`)
	healthy(t, ctx, "the backfill")
	if _, err := b.store.Event(t.Context(), "px_vouch", "lost-7"); err != nil {
		t.Errorf("what was lost is not back: %v; %+v", err, jobs()[0].Progress)
	}
	of := jobs()[0].ID

	// Whoever may change pixels rehearses a change, an admin too.
	for i, role := range []Role{Administrator, Marketer} {
		if i > 0 {
			b.instead(ctx, role)
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/backfills?form=rehearse&pixel_id=px_vouch"))
		until(t, ctx, fmt.Sprintf(`document.querySelector('form[action="/rehearsals"]') && !!document.querySelector('form[action="/backfills"]') == %v`, role.Allows(Administrator)))
		fill(t, ctx, "#rehearse-pixel", "px_vouch")
		fill(t, ctx, "#change", `{"routes": [{"partner": "ttd", "event": "purchase", "enabled": true, "params": {"adv": "fellfleet", "tracker_id": "another1"}}]}`)
		press(t, ctx, `form[action="/rehearsals"] .btn.primary`)
		until(t, ctx, `location.pathname.startsWith("/backfills/") && document.querySelector("h1").textContent == "Rehearsal"`)
		until(t, ctx, `document.querySelector("#job .badge").textContent.includes("done") && document.body.textContent.includes("What would differ")`)
		healthy(t, ctx, "the rehearsal")
	}
	// The others read what came of it, and are not offered to stop or resume it.
	for i, role := range []Role{Marketer, Viewer} {
		if i > 0 {
			b.instead(ctx, role)
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/backfills"))
		until(t, ctx, fmt.Sprintf(`document.querySelectorAll("#jobs tbody tr").length == 3 && !document.querySelector('form[action="/backfills"]') && !!document.querySelector('form[action="/rehearsals"]') == %v`, role.Allows(Marketer)))
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/backfills/"+of))
		until(t, ctx, `document.querySelector("#job .badge").textContent.includes("done") && !document.querySelector('form[action$="/cancel"], form[action$="/resume"]')`)
		healthy(t, ctx, "the backfill of a "+string(role))
	}
	for role, paths := range map[Role][]string{Viewer: {"/backfills", "/rehearsals", "/backfills/" + of + "/cancel"}, Marketer: {"/backfills", "/backfills/" + of + "/cancel", "/backfills/" + of + "/resume"}} {
		w := b.as(role)
		for _, path := range paths {
			if got := w.post(path, url.Values{"pixel_id": {"px_shop"}, "storage": {"on"}}); got.status != http.StatusForbidden {
				t.Errorf("a %s posts to %s: %d", role, path, got.status)
			}
		}
	}
}

// A privacy officer finds the proof of somebody's consent and takes it along; nobody else
// is shown it.
func TestAnAdministratorReadsSomebodysReceipts(t *testing.T) {
	b := open(t, allPartners)
	seedPixels(t, b)
	seedProof(t, b, time.Now())
	ctx := chromium(t)
	b.enter(ctx, Administrator)
	drive(t, ctx, chromedp.Navigate(b.server.URL+"/privacy/receipts"))
	fill(t, ctx, "#visitor_id", "nobody")
	press(t, ctx, `form[action="/privacy/receipts"] .btn.primary`)
	until(t, ctx, `document.body.textContent.includes("No receipts of this visitor")`)
	fill(t, ctx, "#visitor_id", "visitor-1")
	press(t, ctx, `form[action="/privacy/receipts"] .btn.primary`)
	until(t, ctx, `document.querySelectorAll("main tbody tr").length == 3 && document.querySelector(".badge.ok").textContent == "intact"`)
	if at := eval[string](t, ctx, `location.href`); strings.Contains(at, "visitor-1") {
		t.Errorf("the visitor is in the address: %s", at)
	}
	press(t, ctx, `main details.more summary`)
	until(t, ctx, `document.querySelector("main details.more[open]").textContent.includes("SHA-256")`)
	if got := eval[string](t, ctx, `fetch(document.querySelector("a[download]").href).then((r) => r.text())`); !strings.Contains(got, `"intact": true`) {
		t.Errorf("the file: %.200s", got)
	}
	healthy(t, ctx, "the receipts")
	for _, role := range []Role{Viewer, Marketer} {
		b.instead(ctx, role)
		if eval[bool](t, ctx, `!!document.querySelector('nav a[href="/privacy/receipts"]')`) {
			t.Errorf("a %s is shown the way", role)
		}
		w := b.as(role)
		for what, got := range map[string]answer{"page": w.get(b.at("/privacy/receipts?find={visitor:visitor-1}")), "search": w.post("/privacy/receipts", url.Values{"visitor_id": {"visitor-1"}}), "file": w.get(b.at("/privacy/receipts/export?find={visitor:visitor-1}"))} {
			if got.status != http.StatusForbidden || strings.Contains(got.body, "visitor-1") {
				t.Errorf("a %s has the %s: %d", role, what, got.status)
			}
		}
	}
}

// seedPixels is the least of seed that seedProof needs.
func seedPixels(t *testing.T, b *bench) {
	t.Helper()
	for _, id := range []string{"px_shop", "px_old"} {
		_, err := b.addPixel(t.Context(), principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}, settings.Pixel{ID: id, Name: id, Advertiser: "Fell & Fleet", Enabled: true, ConsentMode: settings.CMP, Country: "GB"})
		must(t, err)
	}
}

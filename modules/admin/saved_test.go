package admin

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

func TestAViewIsSavedAndComeBackTo(t *testing.T) {
	asEachRole(t, Viewer, func(t *testing.T, role Role, _ bool) {
		b, ctx := arrive(t, role)
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/reports?range=30d&metric=visitors&group_by=device"))
		fill(t, ctx, "#view-name", "Visitors by device")
		press(t, ctx, `form[action="/reports/views"] button`)
		until(t, ctx, `document.querySelector(".saved .chip a") && location.search.includes("group_by=device")`)
		// From another report back to it, with all that it asked for.
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/reports/funnel"))
		press(t, ctx, ".saved .chip a")
		until(t, ctx, `location.pathname == "/reports" && location.search.includes("metric=visitors") && document.querySelector('#filters [name=range][value="30d"]').checked`)
		healthy(t, ctx, "a saved view")
		press(t, ctx, `.saved .chip button`)
		until(t, ctx, `document.querySelector(".saved") && !document.querySelector(".saved .chip")`)
	})
}

func TestAViewIsOnesOwnAndLeadsToNoOtherSite(t *testing.T) {
	b := open(t)
	w := b.as(Viewer)
	for _, path := range []string{"https://evil.example/reports", "//evil.example/reports", "/reports\\evil", "/people", "/reportsx"} {
		if got := w.post("/reports/views", url.Values{"name": {"x"}, "path": {path}}); got.status == 303 && !strings.HasPrefix(got.header.Get("Location"), "/") {
			t.Errorf("%s leads to %s", path, got.header.Get("Location"))
		}
	}
	if body := w.get("/reports").body; strings.Contains(body, "evil") || strings.Contains(body, `class="chip"><a`) {
		t.Error("such a view was saved")
	}
	w.follow("/reports/views", url.Values{"name": {"<b>mine</b>"}, "path": {"/reports?range=1h"}})
	contains(t, w.get("/reports").body, "&lt;b&gt;mine&lt;/b&gt;", `href="/reports?range=1h"`)
	if body := b.as(Marketer).get("/reports").body; strings.Contains(body, "mine") {
		t.Error("another's view is shown")
	}
}

func TestWhatASiteWouldGain(t *testing.T) {
	keys := []partner.Key{{Name: "email", Title: "E-mail", Weight: partner.Sure}, {Name: "phone", Title: "Phone", Weight: partner.Sure}, {Name: "ip", Weight: partner.Guess}}
	got := whatIfs(analytics.Readiness{
		Events: 100, Grades: map[event.Grade]int{event.HighMatch: 10, event.MediumMatch: 30, event.LowMatch: 40, event.NoMatch: 20},
		Missing: map[string]int{"email": 50, "phone": 90, "ip": 70}, Weak: map[string]int{"email": 25, "phone": 60, "ip": 20},
	}, keys)
	// Where an e-mail address is there, a phone number gains nothing.
	if len(got) != 2 || got[0].Title != "Phone" || got[0].Lacks != 90 || got[0].Gain != 60 || got[0].After != 1 || got[1].Gain != 25 || got[1].After != 0.65 {
		t.Errorf("%+v", got)
	}
	if none := whatIfs(analytics.Readiness{Events: 5, Grades: map[event.Grade]int{event.HighMatch: 5}, Missing: map[string]int{"phone": 5}}, keys); len(none) != 0 {
		t.Errorf("where all match, nothing is to be gained: %+v", none)
	}
}

func TestTheTourTicksItself(t *testing.T) {
	b := open(t)
	w := b.as(Viewer)
	contains(t, w.get("/tour").body, "0 of 7 seen", "Open the shop, and answer its banner")
	ask[any](b, post, base+"/pixels", `{"id":"px_shop"}`, 201)
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-1", time.Now().UTC())))
	contains(t, w.get("/tour").body, "6 of 7 seen", `href="/events/e-1?pixel_id=px_shop"`, `href="/pixels/px_shop/check"`)
	must(t, b.store.WriteSyncs(t.Context(), event.Sync{EventID: "e-1", PixelID: "px_shop", Partner: "ttd", Attempt: 1, At: time.Now().UTC(), Outcome: event.Accepted}))
	contains(t, w.get("/tour").body, "7 of 7 seen")
}

func TestCausesOfDeadLettersAreExplained(t *testing.T) {
	for reason, part := range map[string]string{
		"delivered 3 times without an end":        "A poison item: each time",
		"it cannot be processed: step identity":   "A poison item: a step of ours",
		"origin_not_allowed: came from a site":    "among the pixel's domains",
		"http_401: Unauthorized":                  "Mend the credentials",
		"schema: /items must be there":            "Edit it here",
		"InvalidPrivacySetting: The request has.": "",
	} {
		if got := explain(reason); (part == "") != (got == "") || !strings.Contains(got, part) {
			t.Errorf("%s: %q", reason, got)
		}
	}
}

package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// The ways through what is read, watched and decided, beside those in journeys_test.go.

func TestTheOverviewAndTheReportsAreRead(t *testing.T) {
	asEachRole(t, Viewer, func(t *testing.T, role Role, _ bool) {
		b := open(t, allPartners)
		seed(t, b, time.Now())
		seedProof(t, b, time.Now())
		ctx := chromium(t)
		b.enter(ctx, role)
		decides := `!document.querySelector('form[action="/privacy/fields/decide"]') && document.body.textContent.includes("An admin decides")`
		if role.Allows(Administrator) {
			decides = `!!document.querySelector('form[action="/privacy/fields/decide"] button')`
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/"))
		until(t, ctx, `document.querySelector("#series .u-wrap canvas") && document.querySelector(".needs li")`)
		press(t, ctx, `input[name=range][value="7d"]`)
		until(t, ctx, `location.search.includes("range=7d") && document.querySelector("#series table tbody tr")`)
		// What the chart draws is there as numbers and as a file.
		until(t, ctx, `Number(document.querySelector("#series td[data-v]").dataset.v) >= 0 && document.querySelector('#series a[href*="format=csv"]')`)
		if got := eval[string](t, ctx, `fetch(document.querySelector('#series a[href*="format=csv"]').href).then((r) => r.text())`); !strings.HasPrefix(got, "time,") {
			t.Errorf("the file: %.100s", got)
		}
		healthy(t, ctx, "the overview")
		for _, p := range []struct{ path, shows string }{
			{"/reports?group_by=device", `document.querySelector("[data-chart] .u-wrap canvas") && document.querySelectorAll(".key svg").length > 1`},
			{"/reports/funnel", `document.body.textContent.includes("add_to_cart")`},
			{"/attribution", `document.querySelectorAll(".model-bar progress").length > 3`},
			{"/match-readiness", `document.body.textContent.includes("What if?") && document.body.textContent.includes("More matched")`},
			{"/reports/loss", `document.querySelector("main table")`},
			{"/reports/consent", `document.querySelector("main table")`},
			{"/reports/reconciliation", `document.querySelector("main table")`},
			{"/reports/duplicates", `document.querySelector("main table, main .empty")`},
			{"/privacy/fields", `document.querySelector("table.matrix") && ` + decides},
		} {
			drive(t, ctx, chromedp.Navigate(b.server.URL+p.path))
			until(t, ctx, p.shows)
			healthy(t, ctx, p.path)
		}
	})
}

// A colleague is invited, sets a password by the link, signs out and in, and is let go.
func TestSomebodyIsInvitedAndSignsIn(t *testing.T) {
	asEachRole(t, Administrator, func(t *testing.T, role Role, may bool) {
		b := open(t)
		ctx := chromium(t)
		b.enter(ctx, role)
		if !may {
			b.ends(ctx, role, Administrator, "/people", "main form")
			return
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/people"))
		fill(t, ctx, "#login", "grace@example.com")
		fill(t, ctx, "#role", "marketer")
		press(t, ctx, `form[action="/people"] button`)
		until(t, ctx, `document.getElementById("link")`)
		_, token, _ := strings.Cut(eval[string](t, ctx, `document.getElementById("link").textContent`), "?")
		healthy(t, ctx, "/people")
		press(t, ctx, `.side form[action="/logout"] button`)
		until(t, ctx, `location.pathname == "/login"`)
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/setup?"+token))
		fill(t, ctx, "#password", goodPassword)
		fill(t, ctx, "#again", goodPassword)
		press(t, ctx, `form[action="/setup"] button`)
		until(t, ctx, `document.querySelector(".side .me-role").textContent == "marketer"`)
		if eval[bool](t, ctx, `!!document.querySelector('nav a[href="/people"]')`) {
			t.Error("a marketer is shown the way to the people")
		}
		press(t, ctx, `.side form[action="/logout"] button`)
		until(t, ctx, `document.getElementById("login")`)
		fill(t, ctx, "#login", "grace@example.com")
		fill(t, ctx, "#password", "not it, by far")
		press(t, ctx, `form[action="/login"] button`)
		until(t, ctx, `document.querySelector(".form-error")`)
		fill(t, ctx, "#password", goodPassword)
		press(t, ctx, `form[action="/login"] button`)
		until(t, ctx, `document.querySelector(".side .me-name").textContent == "grace@example.com"`)
		healthy(t, ctx, "signed in")
	})
}

// A change is undone by an admin; another, of consent rules, is proposed and cannot be approved
// by whoever proposed it.
func TestAChangeIsUndoneAndAnotherProposed(t *testing.T) {
	asEachRole(t, Marketer, func(t *testing.T, role Role, may bool) {
		b := guarded(t)
		ctx := chromium(t)
		b.enter(ctx, role)
		if !may {
			b.ends(ctx, role, Marketer, "/pixels/px_1", `form[action="/pixels/px_1"]`)
			return
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels/px_1"))
		fill(t, ctx, "#name", "Renamed")
		press(t, ctx, `form[action="/pixels/px_1"] .btn.primary`)
		until(t, ctx, `document.body.textContent.includes("Saved.")`)
		if role.Allows(Administrator) {
			drive(t, ctx, chromedp.Navigate(b.server.URL+"/audit"))
			press(t, ctx, `details.confirm form[action$="/undo"] button`)
			until(t, ctx, `document.body.textContent.includes("Undone: what was before")`)
			if p, _ := b.o.Settings.Pixel("px_1"); p.Name != "first" {
				t.Errorf("after undo it is %q", p.Name)
			}
		} else {
			b.ends(ctx, role, Administrator, "/audit", `form[action$="/undo"]`)
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels/px_1"))
		press(t, ctx, `input[name=consent_mode][value=implied]`)
		press(t, ctx, `form[action="/pixels/px_1"] .btn.primary`)
		until(t, ctx, `document.body.textContent.includes("waits for another admin")`)
		if !role.Allows(Administrator) {
			b.ends(ctx, role, Administrator, "/approvals", `form[action$="/approve"]`)
			return
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/approvals"))
		until(t, ctx, `document.body.textContent.includes("It is yours") && !document.querySelector('form[action$="/approve"]')`)
		healthy(t, ctx, "/approvals")
	})
}

// A privacy officer erases somebody, watches it end, and has the certificate; and reads a
// visitor's receipts.
func TestSomebodyIsErased(t *testing.T) {
	asEachRole(t, Administrator, func(t *testing.T, role Role, may bool) {
		b := open(t)
		b.shop()
		e := someEvent("e-gone", time.Now().UTC())
		must(t, b.store.WriteEvents(t.Context(), e))
		ctx := chromium(t)
		b.enter(ctx, role)
		if !may {
			b.ends(ctx, role, Administrator, "/privacy/erasures", "main form")
			return
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/privacy/erasures"))
		fill(t, ctx, "#kind", "visitor_id")
		fill(t, ctx, "#value", e.Subject.VisitorID)
		press(t, ctx, `form[action="/privacy/erasures"] .btn.primary`)
		until(t, ctx, `document.body.textContent.includes("This would delete") && document.querySelector("button[name=confirm]")`)
		if strings.Contains(eval[string](t, ctx, `location.href`), e.Subject.VisitorID) {
			t.Error("the person is in the address")
		}
		press(t, ctx, `button[name=confirm]`)
		until(t, ctx, `location.pathname.startsWith("/privacy/erasures/")`)
		b.erase()
		// The page follows by itself.
		until(t, ctx, `document.body.textContent.includes("Signed by this installation") && document.querySelector('a[href$="/certificate"]')`)
		healthy(t, ctx, "the erasure")
		if _, err := b.store.Event(t.Context(), "px_shop", "e-gone"); err == nil {
			t.Error("the event is there still")
		}
	})
}

// An operator watches a queue grow, without loading the page again.
func TestTheQueuesAreWatched(t *testing.T) {
	asEachRole(t, Viewer, func(t *testing.T, role Role, _ bool) {
		b := open(t)
		b.shop()
		ctx := chromium(t)
		b.enter(ctx, role)
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/queues"))
		until(t, ctx, `document.querySelector("#queues table")`)
		must(t, b.queue.Push(t.Context(), queue.Item{Queue: queue.Ingest(event.High), Body: []byte("{}")}, queue.Item{Queue: queue.Ingest(event.High), Body: []byte("{}")}))
		until(t, ctx, `[...document.querySelectorAll("#queues tr")].some((r) => r.cells[0].textContent == "ingest:high" && r.cells[2].textContent == "2")`)
		healthy(t, ctx, "/queues")
	})
}

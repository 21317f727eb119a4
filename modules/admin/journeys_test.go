package admin

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// The ways that people take through the console, each in a real browser and as every role: to
// its end, or to where it ends for that role.

func TestWhatBecameOfAnOrderIsFoundOut(t *testing.T) {
	asEachRole(t, Viewer, func(t *testing.T, role Role, _ bool) {
		b, ctx := arrive(t, role)
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/events"))
		fill(t, ctx, "#q", "0193f2bb-story")
		eval[bool](t, ctx, `document.querySelector("form[role=search]").requestSubmit(), true`)
		until(t, ctx, `location.search.includes("find=") && !location.search.includes("story")`)
		press(t, ctx, `a[data-row][href^="/events/0193f2bb-story-purchase"]`)
		until(t, ctx, `document.body.textContent.includes("Accepted by Amazon DSP; not sent to The Trade Desk.")`)
		until(t, ctx, `[...document.querySelectorAll(".timeline .verdict")].some((p) => p.textContent == "Why was this not sent? not sent: partner is off")`)
		until(t, ctx, `document.querySelector('#deliveries a[href="/partners/ttd"]').textContent && document.querySelector("#deliveries").textContent.includes("Switch it on")`)
		// What was sent of the visitor is for marketers.
		if offered := eval[bool](t, ctx, `!!document.querySelector('a[href*="request="]')`); offered != role.Allows(Marketer) {
			t.Errorf("is offered what was sent of the visitor: %v", offered)
		}
		if got := b.as(role).get("/events/0193f2bb-story-purchase?pixel_id=px_shop&request=amazon"); (got.status == 200) != role.Allows(Marketer) || (got.status == 403) == role.Allows(Marketer) {
			t.Errorf("what was sent of the visitor: %d", got.status)
		}
		healthy(t, ctx, "the story")

		// Live, with what partners said, and by consent.
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/live?consent=full"))
		until(t, ctx, `document.getElementById("live-state").dataset.state == "on"`)
		partly := someEvent("e-partial", time.Now().UTC())
		partly.Verdict.State = event.Partial
		must(t, b.store.WriteEvents(t.Context(), partly, someEvent("e-full", time.Now().UTC())))
		must(t, b.store.WriteSyncs(t.Context(), event.Sync{EventID: "e-full", PixelID: "px_shop", Partner: "ttd", Attempt: 1, At: time.Now().UTC(), Outcome: event.Accepted}))
		until(t, ctx, `document.querySelector('#live-rows [data-synced="px_shop e-full"]').textContent.includes("✓ ttd")`)
		if eval[bool](t, ctx, `!!document.querySelector('#live-rows [href*="e-partial"]')`) {
			t.Error("an event with partial consent is among those with full")
		}
		healthy(t, ctx, "/live")
	})
}

func TestARouteIsMappedAndItsPayloadSeen(t *testing.T) {
	asEachRole(t, Marketer, func(t *testing.T, role Role, may bool) {
		b, ctx := arrive(t, role)
		if !may {
			b.ends(ctx, role, Marketer, "/pixels/px_shop", `a[href*="/routes/"], form[action*="/routes"]`)
			b.ends(ctx, role, Marketer, "/pixels/px_shop/routes/new?partner=ttd", "#route-form")
			b.ends(ctx, role, Marketer, "/pixels/px_shop/routes/0", "#route-form")
			b.ends(ctx, role, Marketer, "/events/0193f2bb-story-purchase?pixel_id=px_shop", `a[href*="request="]`)
			return
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels/px_shop/routes/new?partner=ttd"))
		// What is wrong is said as soon as the field is left, and goes once it is right.
		fill(t, ctx, "#f-adv", "not an id")
		until(t, ctx, `document.getElementById("f-adv").getAttribute("aria-invalid") == "true" && document.getElementById("e-f-adv").textContent.length > 5`)
		fill(t, ctx, "#f-adv", "fellfleet")
		until(t, ctx, `!document.getElementById("f-adv").closest(".field").classList.contains("has-error")`)
		fill(t, ctx, "#when", "value >")
		until(t, ctx, `document.getElementById("when").closest(".field").classList.contains("has-error")`)
		fill(t, ctx, "#when", "value > 50")
		until(t, ctx, `!document.getElementById("when").closest(".field").classList.contains("has-error")`)
		fill(t, ctx, "#f-tracker_id", "trk9x2")
		fill(t, ctx, "#map", "value = value * 0.5")
		if p, _ := b.o.Settings.Pixel("px_shop"); len(p.Routes) != 3 {
			t.Fatalf("what was only checked was saved: %d routes", len(p.Routes))
		}
		press(t, ctx, `#preview button[name="try"]`)
		until(t, ctx, `document.getElementById("preview-body").textContent.includes('"tracker_id": "trk9x2"')`)
		if body := eval[string](t, ctx, `document.getElementById("preview-body").textContent`); !eval[bool](t, ctx, `document.getElementById("preview-body").textContent.includes("124.975")`) {
			t.Errorf("the mapped value is not in the payload: %s", body)
		}
		press(t, ctx, `#route-form .btn.primary`)
		until(t, ctx, `document.body.textContent.includes("The route is saved.")`)
		if p, _ := b.o.Settings.Pixel("px_shop"); len(p.Routes) != 4 || p.Routes[3].When != "value > 50" {
			t.Errorf("%+v", p.Routes)
		}
		// The request of a stored event, as a command line.
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/events/0193f2bb-story-purchase?pixel_id=px_shop"))
		press(t, ctx, `a[href*="request=amazon"]`)
		until(t, ctx, `document.getElementById("curl").textContent.startsWith("curl -X POST 'https://")`)
		healthy(t, ctx, "the request")
		// A rehearsal of what stands in the form, without saving it.
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/pixels/px_shop/routes/0"))
		fill(t, ctx, "#event", "add_to_cart")
		press(t, ctx, `#preview button[name="rehearse"]`)
		until(t, ctx, `location.pathname.startsWith("/backfills/") && document.body.textContent.includes("and not saved")`)
		if p, _ := b.o.Settings.Pixel("px_shop"); p.Routes[0].Event != "purchase" {
			t.Error("a rehearsal saved the route")
		}
	})
}

func TestDeadLettersAreMendedAndReplayed(t *testing.T) {
	asEachRole(t, Administrator, func(t *testing.T, role Role, may bool) {
		b, ctx := arrive(t, role)
		if !may {
			b.ends(ctx, role, Administrator, "/dead/ttd", `form[action^="/dead/"], input[name="id"], #replay form`)
			until(t, ctx, `document.querySelectorAll("article.letter").length == 14`) // they are read all the same
			return
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/dead/ttd"))
		press(t, ctx, `form[action="/dead/ttd/replay"] button`)
		until(t, ctx, `document.getElementById("replay-head").textContent.includes("Replay 14 dead letters?")`)
		fill(t, ctx, "#params", `{"tracker_id": "another"}`)
		fill(t, ctx, "#rate", "4")
		press(t, ctx, `#replay button:not([name])`) // Check again: a dry run
		until(t, ctx, `document.getElementById("replay-head").textContent.includes("Replay 14") && document.getElementById("params").value.includes("another")`)
		if left, _, _ := b.queue.Dead(t.Context(), "dlq:ttd", "", 100); len(left) != 14 {
			t.Fatalf("a dry run moved letters: %d are left", len(left))
		}
		press(t, ctx, `#replay button[name="confirm"]`)
		until(t, ctx, `document.querySelector("#replay progress").value > 0`)
		until(t, ctx, `document.body.textContent.includes("Empty, as it should be")`)
		until(t, ctx, `document.body.textContent.includes("They were edited.")`)
		healthy(t, ctx, "the replay")
	})
}

func TestAPartnerIsHeldAndSeenInForce(t *testing.T) {
	asEachRole(t, Administrator, func(t *testing.T, role Role, may bool) {
		b, ctx := arrive(t, role)
		if !may {
			b.ends(ctx, role, Administrator, "/partners", "form.mode")
			b.ends(ctx, role, Administrator, "/partners/ttd", "form.mode, #dry button, #test button, #settings .btn, #credentials form")
			b.ends(ctx, role, Administrator, "/audit", "main form")
			return
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/partners/ttd"))
		press(t, ctx, `form.mode button[value="hold"]`)
		until(t, ctx, `document.body.textContent.includes("is on hold. Events wait")`)
		if got := b.o.Settings.Partner("ttd").Mode; got != settings.Hold {
			t.Errorf("it is %s", got)
		}
		press(t, ctx, `#dry button`)
		until(t, ctx, `document.body.textContent.includes("is in a dry run")`)
		press(t, ctx, `#test button[name="dry"]`)
		until(t, ctx, `document.getElementById("test-request").textContent.includes("tracker_id")`)
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/audit"))
		until(t, ctx, `document.body.textContent.includes("partner.update")`)
		healthy(t, ctx, "/audit")
	})
}

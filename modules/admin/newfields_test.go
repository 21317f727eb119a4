package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// parked are deliveries that wait for fields, as the dispatcher leaves them.
func parked(t *testing.T, b *bench, pixel, partner string, n int, waits ...string) {
	t.Helper()
	for i := range n {
		e := someEvent(strings.Join(append([]string{"waits", partner, string(rune('a' + i))}, waits...), "-"), time.Now().UTC())
		e.PixelID = pixel
		body, err := json.Marshal(event.Delivery{Event: e, Partner: partner, Permission: event.Allowed, QueuedAt: time.Now().Add(-time.Hour).UTC(), Waits: waits})
		must(t, err)
		must(t, b.queue.Push(t.Context(), queue.Item{Queue: queue.Held(partner), Body: body}))
	}
}

const newPath, mailPath = "events[].matchKeys[NEW_ID].values[]", "events[].matchKeys[EMAIL].values[]"

// held is a shop whose new fields wait, and some do.
func held(t *testing.T, b *bench) {
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_shop", "name": "The shop"}, 201)
	sentFields(t, b, "px_shop")
	ask[any](b, post, base+"/fields/hold", map[string]any{"pixel_id": "px_shop", "hold": true}, 204)
	p, _ := b.o.Settings.Pixel("px_shop")
	if !p.Fields.Hold || !slices.Contains(p.Fields.Approved["amazon"], mailPath) || len(p.Fields.Approved["ttd"]) < 10 {
		t.Fatalf("what was sent so far is not approved: %+v", p.Fields)
	}
	parked(t, b, "px_shop", "amazon", 3, newPath)
	parked(t, b, "px_shop", "amazon", 2, newPath, "events[].newcomer")
}

func waitingNow(b *bench) map[string]int {
	out := map[string]int{}
	for _, f := range ask[page[waitingField]](b, get, base+"/fields/waiting", nil, 200).Items {
		out[f.Partner+" "+f.Path] = f.Deliveries
	}
	return out
}

func TestAFieldThatWasNeverSentIsDecidedOn(t *testing.T) {
	b := open(t)
	held(t, b)
	if got := waitingNow(b); got["amazon "+newPath] != 5 || got["amazon events[].newcomer"] != 2 || len(got) != 2 {
		t.Fatalf("waiting: %v", got)
	}
	v := b.as(Viewer)
	contains(t, v.get("/privacy/fields").body, "Amazon DSP was never told 2 fields", "events[].newcomer", "An admin decides.")
	contains(t, v.get("/").body, "Amazon DSP was never told", "and 1 other field before: 5 deliveries wait for approval.", "/privacy/fields")
	form := url.Values{"pixel_id": {"px_shop"}, "partner": {"amazon"}, "decision": {"approve"}, "path": {"events[].newcomer"}}
	m := b.as(Marketer)
	for _, at := range []string{"/privacy/fields/decide", "/privacy/fields/hold"} {
		if got := m.post(at, form); got.status != http.StatusForbidden {
			t.Errorf("a marketer at %s: %d", at, got.status)
		}
	}
	// Nor by a way around: the pixel's own form and patch leave the fields alone.
	ask[any](b, patch, base+"/pixels/px_shop", map[string]any{"name": "Still the shop"}, 200)
	if got := b.call(adminToken, patch, base+"/pixels/px_shop", `{"fields":{"hold":false}}`); got.status != 422 && got.status != 400 {
		t.Errorf("patched: %d %s", got.status, got.body)
	}
	if got := m.post("/pixels/px_shop/delete", url.Values{"confirm": {"px_shop"}}); got.status != http.StatusForbidden {
		t.Errorf("a marketer deletes it, to make it anew: %d", got.status)
	}
	w := b.as(Administrator)
	if got := w.post("/privacy/fields/decide", form); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if e := b.newestEntry(); e.Action != "fields.approve" || len(e.Changes) != 1 || e.Changes[0] != (change{"amazon events[].newcomer", "undecided", "approved"}) || !e.Undoable {
		t.Errorf("recorded: %+v", e)
	}
	if got := waitingNow(b); len(got) != 1 {
		t.Errorf("still shown: %v", got)
	}
	form.Set("decision", "refuse")
	form.Set("path", newPath)
	if got := w.post("/privacy/fields/decide", form); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	body := w.get("/privacy/fields").body
	contains(t, body, "Refused", newPath, "Let them go")
	if strings.Contains(body, "was never told") || len(waitingNow(b)) != 0 {
		t.Error("something waits still")
	}
	p, _ := b.o.Settings.Pixel("px_shop")
	if refused, undecided := p.Fields.Sift("amazon", []string{mailPath, newPath, "events[].newcomer", "events[].other"}); len(refused) != 1 || len(undecided) != 1 {
		t.Errorf("%v %v", refused, undecided)
	}
	// Taken back, it is undecided again and waits again.
	if got := w.post("/audit/"+b.newestEntry().ID+"/undo", nil); got.status != http.StatusSeeOther {
		t.Errorf("undo: %d %s", got.status, got.body)
	}
	if got := waitingNow(b); got["amazon "+newPath] != 5 {
		t.Errorf("after undo: %v", got)
	}
	for body, status := range map[string]int{
		`{"pixel_id":"px_shop","partner":"nobody","decision":"approve","paths":["a"]}`: 422,
		`{"pixel_id":"px_none","partner":"ttd","decision":"approve","paths":["a"]}`:    404,
		`{"pixel_id":"px_shop","partner":"ttd","decision":"forget","paths":["none"]}`:  204,
	} {
		if got := b.call(adminToken, post, base+"/fields/decide", body); got.status != status {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

func TestWhatAPartnerIsToldTakesASecondPersonWhereRulesDo(t *testing.T) {
	b := open(t, func(o *Options) { o.Config.SecondPerson = true })
	held(t, b)
	ada, grace := b.as(Administrator), b.other("grace@example.com")
	form := url.Values{"pixel_id": {"px_shop"}, "partner": {"amazon"}, "decision": {"approve-all"}, "shown": {"events[].newcomer", newPath}}
	contains(t, ada.get("/privacy/fields").body, "Approve all 2")
	if got := ada.post("/privacy/fields/decide", form); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := waitingNow(b); len(got) != 2 {
		t.Errorf("approved by one: %v", got)
	}
	contains(t, ada.get("/privacy/fields").body, "waits for a second person")
	waiting := ask[page[proposal]](b, get, base+"/approvals", nil, 200).Items
	if len(waiting) != 1 || len(waiting[0].Changes) != 2 {
		t.Fatalf("%+v", waiting)
	}
	at := "/approvals/" + waiting[0].ID + "/approve"
	if got := ada.post(at, nil); got.status != http.StatusForbidden {
		t.Errorf("one's own: %d", got.status)
	}
	if got := grace.post(at, nil); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := waitingNow(b); len(got) != 0 {
		t.Errorf("approved by two: %v", got)
	}
	// To refuse takes nobody else, to let everything go does.
	ask[any](b, post, base+"/fields/decide", map[string]any{"pixel_id": "px_shop", "partner": "ttd", "decision": "refuse", "paths": []string{"data[].x"}}, 204)
	ask[any](b, post, base+"/fields/hold", map[string]any{"pixel_id": "px_shop", "hold": false}, 202)
	// So do a deletion, and a change of rules that the pixel itself does not ask it for.
	ask[any](b, remove, base+"/pixels/px_shop", nil, 202)
	ask[any](b, patch, base+"/pixels/px_shop", map[string]any{"consent_mode": "implied"}, 202)
	waiting = ask[page[proposal]](b, get, base+"/approvals", nil, 200).Items
	if p, ok := b.o.Settings.Pixel("px_shop"); !ok || !p.Fields.Hold || p.ConsentMode != settings.CMP || len(waiting) != 3 {
		t.Fatalf("%v %+v, %d wait", ok, p.Fields.Hold, len(waiting))
	}
	for _, p := range waiting {
		if p.Changes[0].After == "deleted" {
			if got := grace.post("/approvals/"+p.ID+"/approve", nil); got.status != http.StatusSeeOther {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
	}
	if _, ok := b.o.Settings.Pixel("px_shop"); ok {
		t.Error("approved, and there still")
	}
}

func TestANewPixelBeginsAsTheInstallationSays(t *testing.T) {
	b := open(t, func(o *Options) { o.Config.HoldNewFields = true })
	p := ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"id": "px_1"}, 201)
	if !p.Fields.Hold {
		t.Errorf("%+v", p.Fields)
	}
}

func TestRolesAndRevokedTokensAreBroughtBack(t *testing.T) {
	b := open(t)
	w := b.as(Administrator)
	u := ask[userView](b, post, base+"/users", map[string]any{"login": "grace", "role": "viewer", "advertisers": []string{"Fell"}}, 201)
	ask[any](b, patch, base+"/users/"+u.ID, map[string]any{"role": "marketer", "advertisers": []string{}}, 200)
	first := b.newestEntry()
	ask[any](b, patch, base+"/users/"+u.ID, map[string]any{"role": "admin"}, 200)
	second := b.newestEntry()
	if got := w.post("/audit/"+first.ID+"/undo", nil); got.status != http.StatusConflict {
		t.Errorf("the older first: %d", got.status)
	}
	if got := w.post("/audit/"+second.ID+"/undo", nil); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	now, _, _, err := b.people.users.get(t.Context(), u.ID)
	if err != nil || now.Role != Marketer || len(now.Advertisers) != 0 {
		t.Errorf("%+v %v", now, err)
	}
	v := ask[tokenView](b, post, base+"/tokens", map[string]any{"name": "ci", "role": "viewer"}, 201)
	ask[any](b, remove, base+"/tokens/"+v.ID, nil, 204)
	revoked := b.newestEntry()
	if got := b.call(v.Token, get, base+"/pixels", nil); got.status != 401 {
		t.Errorf("revoked: %d", got.status)
	}
	for i, want := range []int{http.StatusSeeOther, http.StatusNotFound} {
		if got := w.post("/audit/"+revoked.ID+"/undo", nil); got.status != want {
			t.Errorf("undo %d: %d %s", i, got.status, got.body)
		}
	}
	if got := b.call(v.Token, get, base+"/pixels", nil); got.status != 200 {
		t.Errorf("brought back: %d", got.status)
	}
	if strings.Contains(w.get("/audit").body, v.Token) {
		t.Error("the token is in the log")
	}
}

func TestAFieldIsApprovedInTheBrowser(t *testing.T) {
	asEachRole(t, Administrator, func(t *testing.T, role Role, may bool) {
		b := open(t)
		held(t, b)
		ctx := chromium(t)
		b.enter(ctx, role)
		if !may {
			until(t, ctx, `document.querySelector('.needs a[href="/privacy/fields"]')`)
			b.ends(ctx, role, Administrator, "/privacy/fields", `.waits input, .waits button, form[action^="/privacy/fields/"]`)
			return
		}
		drive(t, ctx, chromedp.Navigate(b.server.URL+"/"))
		press(t, ctx, `.needs a[href="/privacy/fields"]`)
		until(t, ctx, `document.querySelectorAll(".waits input[name=path]").length == 2`)
		press(t, ctx, `.waits input[value="events[].newcomer"]`)
		press(t, ctx, `.waits button[value="approve"]`)
		until(t, ctx, `document.body.textContent.includes("1 field approved for Amazon DSP.") && document.querySelectorAll(".waits input[name=path]").length == 1`)
		press(t, ctx, `.waits input[name="path"]`)
		press(t, ctx, `.waits button[value="refuse"]`)
		until(t, ctx, `document.querySelector("#refused code") && !document.querySelector(".waits")`)
		healthy(t, ctx, "/privacy/fields")
		p, _ := b.o.Settings.Pixel("px_shop")
		if !slices.Contains(p.Fields.Approved["amazon"], "events[].newcomer") || len(p.Fields.Refused["amazon"]) != 1 {
			t.Errorf("%+v", p.Fields)
		}
	})
}

package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/settings"
)

// newestEntry is the audit log's last line.
func (b *bench) newestEntry() entryView {
	return ask[page[entryView]](b, get, base+"/audit?limit=1", nil, 200).Items[0]
}

func TestAChangeIsTakenBack(t *testing.T) {
	b := open(t)
	ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"id": "px_1", "name": "first"}, 201)
	if e := b.newestEntry(); e.Undoable {
		t.Errorf("what was made can be undone: %+v", e)
	}
	ask[settings.Pixel](b, patch, base+"/pixels/px_1", map[string]any{"name": "second"}, 200)
	first := b.newestEntry()
	ask[settings.Pixel](b, patch, base+"/pixels/px_1", map[string]any{"domains": []string{"a.example.com"}}, 200)
	second := b.newestEntry()
	if got := b.call(adminToken, post, base+"/audit/"+first.ID+"/undo", nil); got.status != http.StatusConflict || !strings.Contains(got.body, "changed again since") {
		t.Errorf("of two, the older: %d %s", got.status, got.body)
	}
	if got := b.call(adminToken, post, base+"/audit/"+second.ID+"/undo", nil); got.status != http.StatusNoContent {
		t.Fatalf("the newer: %d %s", got.status, got.body)
	}
	if p := ask[settings.Pixel](b, get, base+"/pixels/px_1", nil, 200); len(p.Domains) != 0 || p.Name != "second" {
		t.Errorf("after: %+v", p)
	}
	if e := b.newestEntry(); e.Action != "pixel.undo" || len(e.Changes) != 1 || e.Changes[0].Before != "a.example.com" || !e.Undoable {
		t.Errorf("recorded: %+v", e)
	}
	if got := b.call(adminToken, post, base+"/audit/"+second.ID+"/undo", nil); got.status != http.StatusNotFound {
		t.Errorf("twice: %d", got.status)
	}
	ask[any](b, remove, base+"/pixels/px_1", nil, 204)
	if got := b.call(adminToken, post, base+"/audit/"+b.newestEntry().ID+"/undo", nil); got.status != http.StatusNoContent {
		t.Errorf("a deletion: %d %s", got.status, got.body)
	}
	if p := ask[settings.Pixel](b, get, base+"/pixels/px_1", nil, 200); p.Name != "second" {
		t.Errorf("brought back: %+v", p)
	}
}

func TestAPartnersSwitchIsTakenBackAndItsSecretsAreNot(t *testing.T) {
	b := open(t)
	ask[any](b, patch, base+"/partners/amazon", map[string]any{"credentials": map[string]string{"client_secret": "a-secret-that-is-long"}}, 200)
	if e := b.newestEntry(); e.Undoable {
		t.Errorf("a secret can be brought back: %+v", e)
	}
	ask[any](b, patch, base+"/partners/amazon", map[string]any{"mode": "off", "dry": true}, 200)
	e := b.newestEntry()
	if got := b.call(adminToken, post, base+"/audit/"+e.ID+"/undo", nil); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	p := b.o.Settings.Partner("amazon")
	held, err := b.o.Settings.Credentials(p, "")
	must(t, err)
	if p.Mode != settings.On || p.Dry || held["client_secret"] != "a-secret-that-is-long" {
		t.Errorf("after: %s %v %v", p.Mode, p.Dry, held)
	}
}

// guarded is a pixel whose consent rules a second person approves.
func guarded(t *testing.T) *bench {
	b := open(t)
	ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"id": "px_1", "name": "first", "consent_mode": "cmp", "consent_approval": true}, 201)
	return b
}

func TestConsentRulesWaitForASecondPerson(t *testing.T) {
	b := guarded(t)
	ada, grace := b.as(Administrator), b.other("grace@example.com")
	form := url.Values{"name": {"renamed"}, "consent_mode": {"implied"}, "enabled": {"true"}, "consent_approval": {"true"}, "revision": {"1"}}
	p, err := b.pixel(t.Context(), "px_1")
	must(t, err)
	form.Set("revision", strconv.FormatInt(p.Revision, 10))
	if got := ada.post("/pixels/px_1", form); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	p, err = b.pixel(t.Context(), "px_1")
	must(t, err)
	if p.Name != "renamed" || p.ConsentMode != settings.CMP {
		t.Errorf("before anybody approved: %q %s", p.Name, p.ConsentMode)
	}
	waiting := ask[page[proposal]](b, get, base+"/approvals", nil, 200).Items
	if len(waiting) != 1 || waiting[0].Changes[0] != (change{"consent_mode", "cmp", "implied"}) {
		t.Fatalf("waiting: %+v", waiting)
	}
	at := "/approvals/" + waiting[0].ID + "/approve"
	contains(t, ada.get("/approvals").body, "It is yours", "implied")
	if got := ada.post(at, nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "own proposal") {
		t.Errorf("one's own: %d", got.status)
	}
	if got := b.call(adminToken, post, base+at, nil); got.status != http.StatusForbidden || !strings.Contains(got.body, "person_needed") {
		t.Errorf("by a token: %d %s", got.status, got.body)
	}
	if got := b.as(Marketer).post(at, nil); got.status != http.StatusForbidden {
		t.Errorf("by a marketer: %d", got.status)
	}
	if got := grace.post(at, nil); got.status != http.StatusSeeOther {
		t.Fatalf("by another admin: %d %s", got.status, got.body)
	}
	if p, err = b.pixel(t.Context(), "px_1"); p.ConsentMode != settings.Implied || !p.ConsentApproval {
		t.Errorf("approved: %s %v", p.ConsentMode, err)
	}
	if e := b.newestEntry(); e.Action != "consent.approve" || e.Actor.Name != "grace@example.com" || !strings.Contains(e.Note, "admin@example.com") {
		t.Errorf("recorded: %+v", e)
	}
}

func TestTheApprovalIsNotGotAround(t *testing.T) {
	b := guarded(t)
	grace := b.other("grace@example.com")
	for _, body := range []string{`{"consent_approval":false}`, `{"consent":{"trust_gdpr_0":true}}`} {
		if got := b.call(adminToken, patch, base+"/pixels/px_1", body); got.status != http.StatusAccepted {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	if list := ask[page[proposal]](b, get, base+"/approvals", nil, 200).Items; len(list) != 1 || list[0].Changes[0].Field != "consent.trust_gdpr_0" {
		t.Errorf("a later proposal replaces the one before: %+v", list)
	}
	// Deleted, to be made anew: that waits too.
	for range 2 {
		ask[any](b, remove, base+"/pixels/px_1", nil, http.StatusAccepted)
	}
	both := ask[page[proposal]](b, get, base+"/approvals", nil, 200).Items
	if _, err := b.pixel(t.Context(), "px_1"); err != nil || len(both) != 2 || both[1].Changes[0].After != "deleted" {
		t.Fatalf("%v %+v", err, both)
	}
	ask[any](b, post, base+"/approvals/"+both[1].ID+"/reject", nil, 200)
	// What a token of somebody's proposes, they do not approve.
	v, err := b.issue(t.Context(), principal{Kind: "user", ID: userID("grace@example.com"), Name: "grace@example.com", Role: Administrator}, token{Name: "grace's", Role: Administrator})
	must(t, err)
	p := b.call(v.Token, patch, base+"/pixels/px_1", map[string]any{"consent_mode": "implied"})
	list := ask[page[proposal]](b, get, base+"/approvals", nil, 200).Items
	if p.status != http.StatusAccepted || len(list) != 1 {
		t.Fatalf("%d %+v", p.status, list)
	}
	if got := grace.post("/approvals/"+list[0].ID+"/approve", nil); got.status != http.StatusForbidden {
		t.Errorf("the token's maker: %d", got.status)
	}
	ask[any](b, post, base+"/approvals/"+list[0].ID+"/reject", nil, 200)
	if p, err := b.pixel(t.Context(), "px_1"); err != nil || p.ConsentMode != settings.CMP || !p.ConsentApproval {
		t.Errorf("after all: %+v %v", p, err)
	}
}

// other is another administrator, signed in.
func (b *bench) other(login string) *browser {
	b.t.Helper()
	u, err := b.people.add(b.t.Context(), user{Login: login, Role: Administrator})
	must(b.t, err)
	secret, err := b.links.make(b.t.Context(), signIn, u.ID)
	must(b.t, err)
	w := b.browser()
	w.get("/welcome?token=" + secret)
	return w
}

package admin

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
)

const someDigest = "9c1185a5c5e9fc54612808977ee8f548b2258d3196e24f0d3a4b5d9a1f0c7e42"

func TestIdentities(t *testing.T) {
	b := open(t)
	ask[map[string]any](b, "POST", "/api/v1/pixels", map[string]any{"id": "px_shop", "name": "Shop"}, http.StatusCreated)
	see := func(id string, s event.Subject) {
		t.Helper()
		e := someEvent(id, time.Now())
		e.Subject = s
		must(t, b.o.People.Resolve(t.Context(), &identity.Seen{Event: &e}))
		must(t, b.store.WriteEvents(t.Context(), e))
	}
	see("phone", event.Subject{AnonymousID: "browser-1", UserID: "<b>42</b>", Email: someDigest})
	see("laptop", event.Subject{AnonymousID: "browser-2", UserID: "<b>42</b>"})
	for _, user := range []string{"u1", "u2", "u3", "u4"} {
		see("till-"+user, event.Subject{AnonymousID: "till", UserID: user})
	}

	type profile struct {
		ID          string          `json:"id"`
		Identifiers []any           `json:"identifiers"`
		Links       []identity.Link `json:"links"`
		Unlinked    []identity.Link `json:"unlinked"`
		Visitors    []string        `json:"visitors"`
	}
	type profiles struct {
		Items []profile `json:"items"`
	}
	var ids []string
	for _, name := range []string{"browser-1", "browser-2", someDigest, strings.ToUpper(someDigest), url.PathEscape("<b>42</b>")} {
		p := ask[profile](b, "GET", "/api/v1/identities/"+name, nil, http.StatusOK)
		if len(p.Identifiers) != 4 || len(p.Links) != 4 || len(p.Visitors) != 2 || p.Links[0].Event == "" {
			t.Fatalf("%s: %+v", name, p)
		}
		ids = append(ids, p.ID)
	}
	if p := ask[profile](b, "GET", "/api/v1/identities/"+ids[0]+"?pixel_id=px_shop", nil, http.StatusOK); p.ID != ids[4] {
		t.Errorf("by its own id it is %s, by others %v", p.ID, ids)
	}
	for path, want := range map[string]int{
		"/api/v1/identities/nobody": http.StatusNotFound, "/api/v1/identities/browser-1?pixel_id=px_other": http.StatusNotFound,
		"/api/v1/identities/p_00": http.StatusNotFound, "/api/v1/identities/browser-1?x=1": http.StatusBadRequest,
	} {
		if got := b.call(adminToken, "GET", path, nil); got.status != want {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	story := b.call(adminToken, "GET", "/api/v1/events/phone", nil)
	contains(t, story.body, ids[0], "one person with 1 other visitor")

	// Undone, it stays so; taken back, it is as before.
	link := map[string]any{"pixel_id": "px_shop", "other": "browser-2"}
	if got := ask[profiles](b, "POST", "/api/v1/identities/"+ids[0]+"/unlink", link, http.StatusOK); len(got.Items) != 2 {
		t.Errorf("undone: %+v", got)
	}
	see("laptop again", event.Subject{AnonymousID: "browser-2", UserID: "<b>42</b>"})
	if p := ask[profile](b, "GET", "/api/v1/identities/browser-2", nil, http.StatusOK); len(p.Identifiers) != 1 || len(p.Unlinked) != 1 || p.Unlinked[0].Why != identity.Undone {
		t.Errorf("undone: %+v", p)
	}
	if got := ask[profiles](b, "POST", "/api/v1/identities/"+ids[0]+"/relink", link, http.StatusOK); len(got.Items) != 1 || len(got.Items[0].Identifiers) != 4 {
		t.Errorf("taken back: %+v", got)
	}
	for path, body := range map[string]map[string]any{
		"browser-1/unlink": {"pixel_id": "px_shop"}, "browser-1/isolate": {"other": "x"}, "browser-1/release": {"what": 1},
	} {
		if got := b.call(adminToken, "POST", "/api/v1/identities/"+path, body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := b.call(adminToken, "POST", "/api/v1/identities/browser-1/unlink", map[string]any{"pixel_id": "px_shop", "other": "u1"}); got.status != http.StatusConflict {
		t.Errorf("two who never met: %d %s", got.status, got.body)
	}

	// The till is quarantined, and let go.
	till := b.call(adminToken, "GET", "/api/v1/quarantine?pixel_id=px_shop", nil)
	contains(t, till.body, `"value":"till"`, `"reason":"too_many"`)
	w := b.as(Administrator)
	contains(t, w.get("/identities").body, "till", "seen with too many others")
	to := w.post("/identities", url.Values{"name": {"<b>42</b>"}}).header.Get("Location")
	if strings.Contains(to, "<b>") || !strings.Contains(to, "find=") {
		t.Errorf("what was looked for is in the address: %s", to)
	}
	page := w.get(to)
	contains(t, page.body, "&lt;b&gt;42&lt;/b&gt;", "browser-2", "What holds it together", "/events/phone")
	if got := w.post("/identities", url.Values{"name": {"nobody"}}); got.status != http.StatusNotFound || !strings.Contains(got.body, "Nothing is known") {
		t.Errorf("nobody: %d", got.status)
	}
	w.post("/identities/decide", url.Values{"what": {"release"}, "pixel_id": {"px_shop"}, "id": {"till"}})
	if p := ask[profile](b, "GET", "/api/v1/identities/till", nil, http.StatusOK); len(p.Identifiers) != 5 {
		t.Errorf("let go, the till is %+v", p)
	}
	audit := b.call(adminToken, "GET", "/api/v1/audit", nil)
	contains(t, audit.body, "identity.unlink", "identity.relink", "identity.release")
	for _, secret := range []string{"till", "browser-2", someDigest} {
		if strings.Contains(audit.body, secret) {
			t.Errorf("the audit log holds %s", secret)
		}
	}
	for _, role := range []Role{Viewer, Marketer} {
		if got := b.as(role).post("/identities/decide", url.Values{"what": {"isolate"}, "pixel_id": {"px_shop"}, "id": {"till"}}); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", role, got.status)
		}
	}
}

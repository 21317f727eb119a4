package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The least role of every route. A new route must be put here, which is the
// moment to ask who may.
const matrix = `
public   GET    /static/*
public   GET    /favicon.ico
public   GET    /login
public   POST   /login
public   POST   /login/code
public   GET    /login/sso
public   GET    /login/sso/back
public   POST   /logout
public   GET    /setup
public   POST   /setup
public   GET    /welcome
public   POST   /theme
viewer   GET    /
viewer   GET    /tour
viewer   GET    /live
viewer   GET    /events
viewer   POST   /events
viewer   GET    /events/:id
viewer   GET    /pixels
marketer GET    /pixels/new
marketer POST   /pixels
viewer   GET    /pixels/:id
viewer   GET    /pixels/:id/check
marketer POST   /pixels/:id
marketer POST   /pixels/:id/delete
marketer GET    /pixels/:id/routes/new
marketer GET    /pixels/:id/routes/:n
marketer POST   /pixels/:id/routes
marketer POST   /pixels/:id/routes/:n/switch
marketer POST   /pixels/:id/routes/:n/delete
viewer   GET    /partners
viewer   GET    /partners/:name
admin    POST   /partners/:name/mode
admin    POST   /partners/:name/dry
admin    GET    /partners/:name/connect
admin    GET    /connected
viewer   GET    /at-risk
viewer   GET    /match-readiness
admin    POST   /partners/:name/settings
admin    POST   /partners/:name/credentials
admin    POST   /partners/:name/test
viewer   GET    /queues
viewer   GET    /processes
viewer   GET    /ledger
viewer   GET    /attribution
marketer POST   /attribution/run
viewer   GET    /dead/:queue
admin    POST   /dead/:queue/replay
admin    POST   /dead/:queue/drop
viewer   GET    /account
viewer   POST   /account/password
viewer   POST   /account/factor
viewer   POST   /account/factor/prove
viewer   POST   /account/factor/off
viewer   POST   /account/sessions/:id/end
admin    POST   /people/:id/factor/off
admin    GET    /people
admin    POST   /people
admin    POST   /people/:id/role
admin    POST   /people/:id/link
admin    POST   /people/:id/delete
admin    POST   /people/tokens
admin    POST   /people/tokens/:id/revoke
admin    GET    /audit
admin    POST   /audit/:id/undo
admin    GET    /approvals
admin    POST   /approvals/:id/approve
admin    POST   /approvals/:id/reject
admin    POST   /api/v1/audit/:id/undo
admin    GET    /api/v1/approvals
admin    POST   /api/v1/approvals/:id/approve
admin    POST   /api/v1/approvals/:id/reject
viewer   GET    /identities
viewer   POST   /identities
admin    POST   /identities/decide
viewer   GET    /privacy/fields
admin    POST   /privacy/fields/decide
admin    POST   /privacy/fields/hold
viewer   GET    /api/v1/fields
viewer   GET    /api/v1/fields/waiting
admin    POST   /api/v1/fields/decide
admin    POST   /api/v1/fields/hold
admin    GET    /privacy/receipts
admin    POST   /privacy/receipts
admin    GET    /privacy/receipts/export
admin    GET    /privacy/erasures
admin    POST   /privacy/erasures
admin    GET    /privacy/erasures/:id
public   GET    /api/openapi.yaml
viewer   GET    /api/v1/pixels
marketer POST   /api/v1/pixels
viewer   GET    /api/v1/pixels/:id
marketer PATCH  /api/v1/pixels/:id
marketer DELETE /api/v1/pixels/:id
viewer   GET    /api/v1/pixels/:id/snippet
viewer   GET    /api/v1/pixels/:id/installation
viewer   GET    /api/v1/pixels/:id/tag-manager.tpl
marketer PUT    /api/v1/pixels/:id/routes
viewer   GET    /api/v1/pixels/:id/schemas
marketer PUT    /api/v1/pixels/:id/schemas/:event
marketer DELETE /api/v1/pixels/:id/schemas/:event
viewer   GET    /api/v1/partners
viewer   GET    /api/v1/partners/:name
admin    PATCH  /api/v1/partners/:name
admin    POST   /api/v1/partners/:name/test
viewer   GET    /api/v1/events
viewer   GET    /api/v1/events/live
viewer   GET    /api/v1/events/:id
viewer   GET    /api/v1/syncs
viewer   GET    /api/v1/identities/:id
admin    POST   /api/v1/identities/:id/unlink
admin    POST   /api/v1/identities/:id/relink
admin    POST   /api/v1/identities/:id/isolate
admin    POST   /api/v1/identities/:id/release
viewer   GET    /api/v1/quarantine
admin    GET    /api/v1/consent/receipts
admin    GET    /api/v1/erasures
admin    POST   /api/v1/erasures
admin    GET    /api/v1/erasures/:id
admin    GET    /api/v1/erasures/:id/certificate
viewer   GET    /api/v1/processes
viewer   GET    /api/v1/queues
viewer   GET    /api/v1/queues/:queue/messages
admin    POST   /api/v1/queues/:queue/skip
admin    POST   /api/v1/queues/:queue/drain
viewer   GET    /api/v1/dlq/:queue
admin    POST   /api/v1/dlq/:queue/replay
admin    DELETE /api/v1/dlq/:queue
viewer   GET    /backfills
admin    POST   /backfills
marketer POST   /rehearsals
viewer   GET    /backfills/:id
admin    POST   /backfills/:id/cancel
admin    POST   /backfills/:id/resume
viewer   GET    /api/v1/backfills
admin    POST   /api/v1/backfills
viewer   GET    /api/v1/backfills/:id
admin    POST   /api/v1/backfills/:id/cancel
admin    POST   /api/v1/backfills/:id/resume
marketer POST   /api/v1/rehearsals
viewer   GET    /api/v1/reports/at-risk
viewer   GET    /api/v1/reports/timeseries
viewer   GET    /api/v1/reports/top
viewer   GET    /api/v1/reports/attribution
viewer   GET    /api/v1/reports/attribution/paths
marketer POST   /api/v1/reports/attribution/run
viewer   GET    /api/v1/reports/consent
viewer   GET    /api/v1/reports/match-readiness
viewer   GET    /api/v1/reports/reconciliation
viewer   GET    /api/v1/reports/funnel
viewer   GET    /api/v1/reports/latency
viewer   GET    /api/v1/reports/loss
viewer   GET    /api/v1/reports/duplicates
viewer   GET    /api/v1/reports/ledger
viewer   GET    /api/v1/reports/reconciliation
viewer   GET    /api/v1/reports/funnel
viewer   GET    /api/v1/reports/latency
viewer   GET    /api/v1/reports/duplicates
viewer   GET    /reports
viewer   GET    /reports/funnel
viewer   GET    /reports/consent
viewer   GET    /reports/reconciliation
viewer   GET    /reports/duplicates
viewer   GET    /reports/latency
viewer   GET    /reports/loss
viewer   POST   /reports/views
viewer   POST   /reports/views/delete
admin    GET    /api/v1/audit
admin    GET    /api/v1/users
admin    POST   /api/v1/users
admin    PATCH  /api/v1/users/:id
admin    DELETE /api/v1/users/:id
admin    GET    /api/v1/tokens
admin    POST   /api/v1/tokens
admin    DELETE /api/v1/tokens/:id
`

func classified(t *testing.T) map[string]Role {
	out := map[string]Role{}
	for line := range strings.Lines(strings.TrimSpace(matrix)) {
		f := strings.Fields(line)
		role := Role(f[0])
		if role == "public" {
			role = public
		}
		out[f[1]+" "+f[2]] = role
	}
	return out
}

// TestWhoMay asks every route as everybody, by session and by token.
func TestWhoMay(t *testing.T) {
	b := open(t)
	want := classified(t)
	served := map[string]bool{}
	for _, r := range b.Admin.echo.Router().Routes() {
		if r.Path == "/healthz" || r.Path == "/readyz" {
			continue
		}
		served[r.Method+" "+r.Path] = true
		if _, ok := want[r.Method+" "+r.Path]; !ok {
			t.Errorf("%s %s is not in the matrix: say who may", r.Method, r.Path)
		}
	}
	for key := range want {
		if !served[key] {
			t.Errorf("%s is in the matrix but not served", key)
		}
	}
	tokens := map[Role]string{}
	sessions := map[Role]*browser{"": b.browser()}
	for _, role := range []Role{Viewer, Marketer, Administrator} {
		sessions[role] = b.as(role)
		v, err := b.issue(t.Context(), principal{Kind: "user", Name: "test"}, token{Name: string(role), Role: role})
		must(t, err)
		tokens[role] = v.Token
	}
	filled := strings.NewReplacer(":id", "nothing", ":name", "nobody", ":queue", "nowhere", ":n", "0", "*", "app.css")
	for key, need := range want {
		method, path, _ := strings.Cut(key, " ")
		if need == public || path == "/api/v1/events/live" {
			continue
		}
		for _, role := range []Role{"", Viewer, Marketer, Administrator} {
			t.Run(fmt.Sprintf("%s as %s", key, role), func(t *testing.T) {
				r, err := http.NewRequest(method, b.server.URL+filled.Replace(path), nil)
				must(t, err)
				r.Header.Set("Sec-Fetch-Site", "same-origin")
				r.Header.Set("Content-Type", "application/json")
				check := func(by string, got answer) {
					t.Helper()
					// Who may, gets past the guard: to a page, or to what is wrong with an empty request.
					passed := got.status != 401 && got.status != 403 && got.header.Get("Location") != "/login" && !strings.HasPrefix(got.header.Get("Location"), "/login?")
					if passed != role.Allows(need) {
						t.Errorf("by %s: %d %s", by, got.status, got.header.Get("Location"))
					}
				}
				check("session", sessions[role].do(r))
				if role != "" {
					r = r.Clone(t.Context())
					r.Header.Set("Authorization", "Bearer "+tokens[role])
					check("token", b.browser().do(r))
				}
			})
		}
	}
}

func TestTheBootstrapTokenIsAnAdministrator(t *testing.T) {
	b := open(t)
	if got := b.call(adminToken, get, base+"/users", nil); got.status != 200 {
		t.Errorf("with the token: %d", got.status)
	}
	for name, token := range map[string]string{"a wrong one": adminToken + "x", "a prefix": adminToken[:5], "one that looks made": "pxt_abc_def"} {
		if got := b.call(token, get, base+"/pixels", nil); got.status != 401 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
}

func TestAnEmptyBootstrapTokenOpensNothing(t *testing.T) {
	b := open(t, func(o *Options) { o.Config.Token = "" })
	r, err := http.NewRequest(get, b.server.URL+base+"/pixels", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer ")
	if got := b.browser().do(r); got.status != 401 {
		t.Errorf("%d", got.status)
	}
}

func TestAnotherSiteCannotPost(t *testing.T) {
	b := open(t)
	w := b.as(Administrator)
	for name, header := range map[string][2]string{
		"by fetch metadata": {"Sec-Fetch-Site", "cross-site"},
		"by origin":         {"Origin", "https://evil.example"},
	} {
		r, err := http.NewRequest(post, b.server.URL+"/pixels", strings.NewReader(url.Values{"id": {"px_evil"}, "consent_mode": {"cmp"}}.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(header[0], header[1])
		if got := w.do(r); got.status != 403 {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if _, ok := b.o.Settings.Pixel("px_evil"); ok {
		t.Error("the pixel was made")
	}
}

func TestSessionsEndWithTheRoleThatTheyWereMadeUnder(t *testing.T) {
	b := open(t)
	w := b.as(Marketer)
	b.as(Administrator)
	if got := w.get("/pixels"); got.status != 200 {
		t.Fatalf("before: %d", got.status)
	}
	_, err := b.changeUser(t.Context(), principal{}, userID("marketer@example.com"), userChange{Role: new(Viewer)})
	must(t, err)
	if got := w.get("/pixels"); got.status != 303 {
		t.Errorf("after: %d", got.status)
	}
}

func TestARevokedTokenStopsWorking(t *testing.T) {
	b := open(t)
	v := ask[tokenView](b, post, base+"/tokens", map[string]any{"name": "ci", "role": "viewer"}, 201)
	if got := b.call(v.Token, get, base+"/pixels", nil); got.status != 200 {
		t.Fatalf("fresh: %d", got.status)
	}
	if list := ask[page[tokenView]](b, get, base+"/tokens", nil, 200); len(list.Items) != 1 || list.Items[0].Token != "" {
		t.Errorf("the list shows %+v", list)
	}
	ask[any](b, remove, base+"/tokens/"+v.ID, nil, 204)
	if got := b.call(v.Token, get, base+"/pixels", nil); got.status != 401 {
		t.Errorf("revoked: %d", got.status)
	}
}

func TestAnExpiredTokenStopsWorking(t *testing.T) {
	now := time.Now()
	b := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	v := ask[tokenView](b, post, base+"/tokens", map[string]any{"name": "ci", "role": "viewer", "expires_at": now.Add(time.Hour).Format(time.RFC3339)}, 201)
	if got := b.call(v.Token, get, base+"/pixels", nil); got.status != 200 {
		t.Fatalf("fresh: %d", got.status)
	}
	now = now.Add(2 * time.Hour)
	if got := b.call(v.Token, get, base+"/pixels", nil); got.status != 401 {
		t.Errorf("expired: %d", got.status)
	}
}

package admin

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

func TestPixelsByTheAPI(t *testing.T) {
	b := open(t)
	p := ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"id": "px_1", "name": "Shop", "domains": []string{"HTTPS://Shop.Example.com/x"}}, 201)
	if !p.Enabled || p.ConsentMode != settings.CMP || p.Revision != 1 || len(p.Domains) != 1 || p.Domains[0] != "shop.example.com" || p.Routes == nil {
		t.Errorf("made %+v", p)
	}
	if made := ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"name": "Another"}, 201); !strings.HasPrefix(made.ID, "px_") {
		t.Errorf("the id is %q", made.ID)
	}
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_1"}, 409)
	if list := ask[page[settings.Pixel]](b, get, base+"/pixels", nil, 200); len(list.Items) != 2 || list.Next != "" {
		t.Errorf("list %+v", list)
	}

	got := ask[settings.Pixel](b, patch, base+"/pixels/px_1", map[string]any{"name": "Shop 2", "consent": map[string]any{"us_limited_use": true}}, 200)
	if got.Name != "Shop 2" || !got.Consent.LimitedUse || len(got.Domains) != 1 || got.Revision != 2 {
		t.Errorf("patched %+v", got)
	}
	ask[any](b, patch, base+"/pixels/px_1", map[string]any{"name": "Shop 3", "revision": 1}, 409)
	got = ask[settings.Pixel](b, patch, base+"/pixels/px_1", map[string]any{"domains": nil, "revision": 2}, 200)
	if len(got.Domains) != 0 || got.Name != "Shop 2" {
		t.Errorf("null left %+v", got)
	}

	ask[any](b, remove, base+"/pixels/px_1", nil, 204)
	ask[any](b, get, base+"/pixels/px_1", nil, 404)
	ask[any](b, remove, base+"/pixels/px_1", nil, 404)
}

func TestWhatIsWrongIsSaidByField(t *testing.T) {
	b := open(t)
	ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"id": "px_1"}, 201)
	route := func(partner, name, params string) any {
		return []any{map[string]any{"partner": partner, "event": name, "enabled": true, "params": jsontext.Value(params)}}
	}
	for _, c := range []struct {
		name, method, path string
		body               any
		status             int
		pointer            string
	}{
		{"unknown member", post, "/pixels", `{"id":"px_2","colour":"red"}`, 400, "/colour"},
		{"unknown member of a patch", patch, "/pixels/px_1", `{"colour":"red"}`, 400, "/colour"},
		{"wrong type", patch, "/pixels/px_1", `{"name":7}`, 400, "/name"},
		{"not JSON", post, "/pixels", `{`, 400, ""},
		{"a bad id", post, "/pixels", `{"id":"no spaces"}`, 422, "/id"},
		{"another id", patch, "/pixels/px_1", `{"id":"px_9"}`, 422, "/id"},
		{"a bad domain", patch, "/pixels/px_1", `{"domains":["ok.example","not a host"]}`, 422, "/domains/1"},
		{"a bad consent mode", patch, "/pixels/px_1", `{"consent_mode":"maybe"}`, 422, "/consent_mode"},
		{"an unknown partner", put, "/pixels/px_1/routes", route("acme", "purchase", `{}`), 422, "/routes/0/partner"},
		{"a bad event", put, "/pixels/px_1/routes", route("ttd", "2fast", `{"adv":"a","tracker_id":"b"}`), 422, "/routes/0/event"},
		{"missing params", put, "/pixels/px_1/routes", route("amazon", "purchase", `{}`), 422, "/routes/0/params/account_id"},
		{"unknown params", put, "/pixels/px_1/routes", route("amazon", "purchase", `{"account_id":"1","x":1}`), 422, "/routes/0/params/x"},
		{"params of the wrong form", put, "/pixels/px_1/routes", route("ttd", "purchase", `{"adv":"a b","tracker_id":"b"}`), 422, "/routes/0/params/adv"},
		{"params that exclude one another", put, "/pixels/px_1/routes", route("ttd", "purchase", `{"adv":"a","merchant_id":"m","tracker_id":"b"}`), 422, "/routes/0/params"},
		{"a bad mode", patch, "/partners/ttd", `{"mode":"perhaps"}`, 422, "/mode"},
		{"a contradiction", patch, "/partners/ttd", `{"mode":"hold","enabled":true}`, 422, "/enabled"},
		{"a bad setting", patch, "/partners/ttd", `{"settings":{"offline_age_days":0}}`, 422, "/settings/offline_age_days"},
		{"an unknown credential", patch, "/partners/ttd", `{"credentials":{"password":"x"}}`, 422, "/credentials/password"},
		{"no such partner", patch, "/partners/acme", `{"mode":"on"}`, 404, ""},
		{"a bad role", post, "/users", `{"login":"x","role":"king"}`, 422, "/role"},
		{"no name", post, "/tokens", `{"name":"","role":"viewer"}`, 422, "/name"},
		{"nothing selected", post, "/dlq/ttd/replay", `{}`, 422, "/ids"},
		{"too much selected", remove, "/dlq/ttd", `{"all":true,"ids":["1"]}`, 422, "/ids"},
		{"no such queue", get, "/dlq/acme", nil, 404, ""},
		{"a bad time", get, "/events?since=yesterday", nil, 400, "since"},
		{"a bad limit", get, "/events?limit=0", nil, 400, "limit"},
		{"a bad metric", get, "/reports/timeseries?metric=love", nil, 400, "metric"},
		{"too many steps", get, "/reports/timeseries?since=30d&step=1m", nil, 400, "step"},
		{"a bad dimension", get, "/reports/top?dimension=ip", nil, 400, "dimension"},
		{"a bad outcome", get, "/syncs?outcome=maybe", nil, 400, "outcome"},
		{"no such event", get, "/events/nothing", nil, 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := b.call(adminToken, c.method, base+c.path, c.body)
			if got.status != c.status || got.header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("%d %s %s", got.status, got.header.Get("Content-Type"), got.body)
			}
			if c.pointer != "" && !strings.Contains(got.body, `"pointer":"`+c.pointer+`"`) {
				t.Errorf("nothing points at %s: %s", c.pointer, got.body)
			}
		})
	}
	if got := b.call(adminToken, post, base+"/pixels", nil); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("without a content type: %d", got.status)
	}
}

func TestRoutesAreReplacedWhole(t *testing.T) {
	b := open(t)
	ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"id": "px_1"}, 201)
	got := ask[[]settings.Route](b, put, base+"/pixels/px_1/routes", `[{"partner":"ttd","event":"purchase","enabled":true,"params":{"adv":"a1","tracker_id":"t1"}}]`, 200)
	if len(got) != 1 || got[0].Partner != "ttd" {
		t.Errorf("%+v", got)
	}
	p, _ := b.o.Settings.Pixel("px_1")
	if len(p.Routes) != 1 || string(p.Routes[0].Params) != `{"adv":"a1","tracker_id":"t1"}` {
		t.Errorf("stored %+v", p.Routes)
	}
	if got := ask[[]settings.Route](b, put, base+"/pixels/px_1/routes", `[]`, 200); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestTheSnippetIsTheTags(t *testing.T) {
	b := open(t)
	ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"id": "px_1"}, 201)
	got := ask[tag](b, get, base+"/pixels/px_1/snippet", nil, 200)
	contains(t, got.HTML, `"https://px.example.com/sdk.js"`, `miq("init","px_1");miq("page");`, "<noscript>")
	// The tag itself stands in the page, so a strict policy needs its digest.
	contains(t, got.CSP, "script-src https://px.example.com 'sha256-", "; connect-src https://px.example.com; img-src https://px.example.com")
}

func TestTheSnippetsOriginIsGuessedFromWhereOneAsks(t *testing.T) {
	b := open(t, func(o *Options) { o.Collector.PublicURL, o.Collector.Addr = "", ":8080" })
	ask[settings.Pixel](b, post, base+"/pixels", map[string]any{"id": "px_1"}, 201)
	if got := ask[tag](b, get, base+"/pixels/px_1/snippet", nil, 200); got.Origin != "http://127.0.0.1:8080" {
		t.Error(got.Origin)
	}
}

func TestPartnersByTheAPI(t *testing.T) {
	b := open(t)
	list := ask[page[partnerView]](b, get, base+"/partners", nil, 200)
	names := ""
	for _, p := range list.Items {
		names += p.Name + " "
	}
	if names != "ttd amazon " {
		t.Error(names)
	}
	got := ask[partnerView](b, patch, base+"/partners/ttd", map[string]any{"enabled": false, "settings": map[string]any{"identifiers": "one", "ldu_region": "US-VA"}, "credentials": map[string]any{"data_api_token": "s3cr3t-s3cr3t"}}, 200)
	if got.Mode != settings.Off || got.Enabled || !got.Credentials[0].Set || got.SettingsSchema == nil || got.ParamsSchema == nil {
		t.Errorf("%+v", got)
	}
	got = ask[partnerView](b, patch, base+"/partners/ttd", map[string]any{"mode": "hold", "settings": map[string]any{"identifiers": nil}}, 200)
	if got.Mode != settings.Hold || string(got.Settings) != `{"ldu_region":"US-VA"}` || !got.Credentials[0].Set {
		t.Errorf("merged %s %+v", got.Settings, got)
	}
	c, err := b.o.Settings.Credentials(b.o.Settings.Partner("ttd"), "")
	must(t, err)
	if c["data_api_token"] != "s3cr3t-s3cr3t" {
		t.Errorf("credentials %v", c)
	}
	for _, path := range []string{"/partners", "/partners/ttd", "/audit"} {
		if body := b.call(adminToken, get, base+path, nil).body; strings.Contains(body, "s3cr3t") || strings.Contains(body, "sealed") {
			t.Errorf("%s shows the secret: %s", path, body)
		}
	}
	got = ask[partnerView](b, patch, base+"/partners/ttd", `{"credentials":{"data_api_token":null},"settings":null}`, 200)
	if got.Credentials[0].Set || len(got.Settings) != 0 {
		t.Errorf("forgotten: %s %+v", got.Settings, got.Credentials)
	}
}

func TestEventsSyncsAndReports(t *testing.T) {
	b := open(t)
	now := time.Now()
	seed(t, b, now)
	events := ask[page[event.Event]](b, get, base+"/events?name=purchase&limit=5&pixel_id=px_shop", nil, 200)
	if len(events.Items) != 5 || events.Next == "" {
		t.Fatalf("%d events, next %q", len(events.Items), events.Next)
	}
	more := ask[page[event.Event]](b, get, base+"/events?name=purchase&limit=5&pixel_id=px_shop&cursor="+events.Next, nil, 200)
	if len(more.Items) != 5 || more.Items[0].ID == events.Items[0].ID {
		t.Errorf("the next page begins with %s", more.Items[0].ID)
	}
	syncs := ask[page[event.Sync]](b, get, base+"/syncs?partner=ttd&outcome=rejected", nil, 200)
	for _, s := range syncs.Items {
		if s.Partner != "ttd" || s.Outcome != event.Rejected {
			t.Errorf("%+v", s)
		}
	}
	if len(syncs.Items) == 0 {
		t.Error("no line")
	}
	series := ask[page[analytics.Series]](b, get, base+"/reports/timeseries?group_by=name&since=24h", nil, 200)
	if len(series.Items) < 5 {
		t.Errorf("%d groups", len(series.Items))
	}
	shares := ask[page[share]](b, get, base+"/reports/consent?since=7d", nil, 200).Items
	if len(shares) < 2 || shares[0].State != "full" || shares[0].Share+shares[1].Share < 0.999 {
		t.Errorf("%+v", shares)
	}
	got := b.call(adminToken, get, base+"/reports/top?dimension=name&since=7d&format=csv", nil)
	rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	must(t, err)
	if got.header.Get("Content-Type") != "text/csv; charset=utf-8" || rows[0][0] != "name" || rows[1][0] != "page_view" {
		t.Errorf("%v", rows)
	}
}

func TestFormulasAreDefusedInCSV(t *testing.T) {
	for cell, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1+1": "'-1+1", "@SUM(A1)": "'@SUM(A1)", "\tx": "'\tx", "\rx": "'\rx", "-12.5": "-12.5", "12": "12", "plain": "plain", "": "",
	} {
		if got := defused(cell); got != want {
			t.Errorf("%q becomes %q", cell, got)
		}
	}
}

func TestMatchReadinessIsReported(t *testing.T) {
	b := open(t)
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_1"}, 201)
	now := time.Now().UTC().Add(-time.Minute)
	must(t, b.store.WriteEvents(t.Context(), event.Event{ID: "e-1", PixelID: "px_1", Name: "purchase", Receipt: "r", Time: now, ReceivedAt: now, Verdict: event.Verdict{State: event.Full}}))
	must(t, b.store.WriteSyncs(t.Context(), event.Sync{EventID: "e-1", PixelID: "px_1", Partner: "amazon", Attempt: 1, At: now, Outcome: event.Accepted}))
	must(t, b.store.WriteMatches(t.Context(),
		event.Match{EventID: "e-1", PixelID: "px_1", Partner: "amazon", Name: "purchase", ReceivedAt: now, Grade: event.MediumMatch, Keys: []string{"email"}, Missing: []string{"phone"}},
		event.Match{EventID: "e-2", PixelID: "px_1", Partner: "amazon", Name: "purchase", ReceivedAt: now, Grade: event.NoMatch, Keys: []string{}, Missing: []string{"email", "phone"}}))
	got := ask[page[analytics.Readiness]](b, get, base+"/reports/match-readiness?pixel_id=px_1", nil, 200).Items
	if len(got) != 1 || got[0].Events != 2 || got[0].Grades[event.MediumMatch] != 1 || got[0].Keys["email"] != 1 || got[0].Missing["phone"] != 2 {
		t.Errorf("%+v", got)
	}
	if none := ask[page[analytics.Readiness]](b, get, base+"/reports/match-readiness?partner=ttd", nil, 200).Items; len(none) != 0 {
		t.Errorf("another partner's: %+v", none)
	}
	s := ask[story](b, get, base+"/events/e-1?pixel_id=px_1", nil, 200)
	if len(s.Deliveries) != 1 || s.Deliveries[0].Match == nil || s.Deliveries[0].Match.Grade != event.MediumMatch || s.Deliveries[0].Match.Missing[0] != "phone" {
		t.Errorf("%+v", s.Deliveries)
	}
	contains(t, b.as(Viewer).get("/events/e-1?pixel_id=px_1").body, "Match readiness", "E-mail (SHA-256)", "Telephone number (SHA-256)")
}

func TestATestEventSaysWhatIsMissing(t *testing.T) {
	b := open(t)
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_1"}, 201)
	p := ask[httpserver.Problem](b, post, base+"/partners/ttd/test", map[string]any{"pixel_id": "px_1"}, 422)
	if len(p.Errors) == 0 || p.Errors[0].Pointer != "/params" {
		t.Errorf("%+v", p)
	}
	got := ask[testResult](b, post, base+"/partners/amazon/test", map[string]any{"params": map[string]any{"account_id": "1"}}, 200)
	if got.Request != nil || got.Code != "credentials_missing" {
		t.Errorf("%+v", got)
	}
}

package admin

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/queue"
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

func TestEveryChangeIsRecorded(t *testing.T) {
	b := open(t)
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_1", "name": "Shop"}, 201)
	ask[any](b, patch, base+"/pixels/px_1", map[string]any{"name": "Store"}, 200)
	ask[any](b, put, base+"/pixels/px_1/routes", `[{"partner":"ttd","event":"purchase","enabled":true,"params":{"adv":"a1","tracker_id":"t1"}}]`, 200)
	ask[any](b, patch, base+"/partners/ttd", map[string]any{"mode": "off", "credentials": map[string]any{"data_api_token": "s3cr3t"}}, 200)
	ask[any](b, remove, base+"/pixels/px_1", nil, 204)
	u := ask[userView](b, post, base+"/users", map[string]any{"login": "ada", "role": "viewer"}, 201)
	ask[any](b, patch, base+"/users/"+u.ID, map[string]any{"role": "marketer"}, 200)
	ask[any](b, remove, base+"/users/"+u.ID, nil, 204)
	v := ask[tokenView](b, post, base+"/tokens", map[string]any{"name": "ci", "role": "viewer"}, 201)
	ask[any](b, remove, base+"/tokens/"+v.ID, nil, 204)
	log := ask[page[entry]](b, get, base+"/audit?limit=1000", nil, 200).Items
	var actions []string
	for i := len(log) - 1; i >= 0; i-- {
		actions = append(actions, log[i].Action)
		if log[i].Actor.Name != "admin.token" || log[i].At.IsZero() || log[i].Target == "" {
			t.Errorf("%+v", log[i])
		}
	}
	want := "pixel.create pixel.update pixel.routes partner.update pixel.delete user.create user.role user.delete token.create token.revoke"
	if got := strings.Join(actions, " "); got != want {
		t.Errorf("recorded %s", got)
	}
	update := log[len(log)-2]
	if len(update.Changes) != 1 || update.Changes[0] != (change{"name", "Shop", "Store"}) {
		t.Errorf("the difference is %+v", update.Changes)
	}
	partner := log[len(log)-4]
	if len(partner.Changes) != 2 || partner.Changes[0] != (change{"mode", "on", "off"}) || partner.Changes[1] != (change{"credentials.data_api_token", "", "set"}) {
		t.Errorf("the partner's difference is %+v", partner.Changes)
	}
	first := ask[page[entry]](b, get, base+"/audit?limit=4", nil, 200)
	rest := ask[page[entry]](b, get, base+"/audit?limit=1000&cursor="+first.Next, nil, 200)
	if len(first.Items) != 4 || len(rest.Items) != len(log)-4 || rest.Items[0].ID != log[4].ID {
		t.Errorf("pages of %d and %d", len(first.Items), len(rest.Items))
	}
}

func TestAChangeThatChangesNothingIsNotRecorded(t *testing.T) {
	b := open(t)
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_1", "name": "Shop"}, 201)
	got := ask[settings.Pixel](b, patch, base+"/pixels/px_1", map[string]any{"name": "Shop"}, 200)
	if got.Revision != 1 {
		t.Errorf("revision %d", got.Revision)
	}
	if log := ask[page[entry]](b, get, base+"/audit", nil, 200).Items; len(log) != 1 {
		t.Errorf("%d lines", len(log))
	}
}

func TestTheAuditLogGoesOnWhereTheStateForgets(t *testing.T) {
	b := open(t)
	b.audit.keep = 20
	for range 2*pruneEvery + 1 {
		must(t, b.audit.note(t.Context(), principal{}, "x", "y", ""))
	}
	must(t, b.audit.note(t.Context(), principal{}, "newest", "y", ""))
	list, err := b.audit.list(t.Context())
	must(t, err)
	// It is pruned now and then, so a few more than it keeps may be there.
	if len(list) != 21 || list[0].Action != "newest" {
		t.Errorf("%d left, the newest %s", len(list), list[0].Action)
	}
	var got []entry
	for cursor := ""; ; {
		p := ask[page[entry]](b, get, base+"/audit?limit=15&cursor="+cursor, nil, 200)
		got = append(got, p.Items...)
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if len(got) != 2*pruneEvery+2 || got[0].Action != "newest" || !slices.IsSortedFunc(got, func(x, y entry) int { return strings.Compare(y.ID, x.ID) }) {
		t.Errorf("%d lines are shown, the newest %s", len(got), got[0].Action)
	}
}

// away is an audit history that does not answer.
type away struct{ analytics.AuditHistory }

func (away) WriteAudit(context.Context, ...analytics.AuditEntry) error {
	return errors.New("the store is away")
}

func (away) Audit(context.Context, string, int) ([]analytics.AuditEntry, error) {
	return nil, errors.New("the store is away")
}

func TestNothingOfTheAuditLogIsForgottenWhileTheHistoryIsAway(t *testing.T) {
	b := open(t, func(o *Options) { o.History = away{} })
	b.audit.keep = 20
	for range 2*pruneEvery + 1 {
		must(t, b.audit.note(t.Context(), principal{}, "x", "y", ""))
	}
	if err := b.audit.prune(t.Context()); err == nil {
		t.Error("it was pruned")
	}
	list, err := b.audit.list(t.Context())
	must(t, err)
	if len(list) != 2*pruneEvery+1 {
		t.Errorf("%d lines are left", len(list))
	}
	// What there is is shown, and not as if it were all.
	p := ask[page[entry]](b, get, base+"/audit?limit=1000", nil, 200)
	if len(p.Items) != len(list) || p.Next != list[len(list)-1].ID {
		t.Errorf("%d lines, next %q", len(p.Items), p.Next)
	}
	ask[any](b, get, base+"/audit?limit=1000&cursor="+p.Next, nil, 500)
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

func TestTheStorySaysWhyAnEventWasNotSent(t *testing.T) {
	b := open(t)
	seed(t, b, time.Now())
	s := ask[story](b, get, base+"/events/0193f2bb-story-purchase?pixel_id=px_shop", nil, 200)
	if len(s.Deliveries) != 2 || !s.Settled {
		t.Fatalf("%+v", s.Deliveries)
	}
	amazon, ttd := s.Deliveries[0], s.Deliveries[1]
	if ttd.Outcome != event.NotSent || ttd.Sentence != "not sent: partner is off" {
		t.Errorf("ttd: %s, %q", ttd.Outcome, ttd.Sentence)
	}
	if amazon.Outcome != event.Accepted || len(amazon.Attempts) != 2 || amazon.Attempts[0].Outcome != event.Retry {
		t.Errorf("amazon: %+v", amazon)
	}
	kinds := ""
	for _, x := range s.Steps {
		kinds += x.Kind + " "
	}
	if kinds != "received consent enriched identity stored " {
		t.Error(kinds)
	}
	page := b.as(Viewer).get("/events/0193f2bb-story-purchase?pixel_id=px_shop").body
	contains(t, page, "not sent: partner is off", "Rule G5: the visitor agreed to all purposes we need.")
	if strings.Contains(page, `hx-trigger="every 2s"`) {
		t.Error("a settled story goes on refreshing itself")
	}
	young := b.as(Marketer).get("/events/0193f2cc-story-waiting?pixel_id=px_shop").body
	contains(t, young, `hx-trigger="every 2s"`, "On its way to The Trade Desk.", "Waiting: Amazon DSP does not answer just now.")
}

// A partner that is on hold keeps an event for hours: it is held back for it all the time,
// and not sent nowhere.
func TestTheStorySaysForWhomAnEventIsHeldBack(t *testing.T) {
	b := open(t)
	now := time.Now().UTC()
	seed(t, b, now)
	must(t, b.changePartner(t.Context(), principal{}, "ttd", partnerChange{Mode: new(settings.Hold)}))
	old := someEvent("e-held", now.Add(-3*time.Hour))
	must(t, b.store.WriteEvents(t.Context(), old))
	must(t, b.store.WriteMatches(t.Context(), event.Match{EventID: old.ID, PixelID: old.PixelID, Partner: "ttd", Name: old.Name, ReceivedAt: old.ReceivedAt}))
	w := b.as(Viewer)
	body := w.get("/events/e-held?pixel_id=px_shop").body
	contains(t, body, "Held back for The Trade Desk.", "Waiting: The Trade Desk is on hold.", `href="/partners/ttd"`)
	if strings.Contains(body, "Not sent to anybody") {
		t.Error("an event that is held back is said to be sent to nobody")
	}
	must(t, b.changePartner(t.Context(), principal{}, "ttd", partnerChange{Mode: new(settings.On)}))
	contains(t, w.get("/events/e-held?pixel_id=px_shop").body, "Handed over for The Trade Desk, and not tried yet", `href="/queues"`)
	// Where the log is kept no longer than that, it cannot tell.
	p, _ := b.o.Settings.Pixel("px_shop")
	p.Retention.SyncsDays = 1
	_, err := b.o.Settings.SavePixel(t.Context(), p)
	must(t, err)
	older := someEvent("e-forgotten", now.Add(-30*time.Hour))
	must(t, b.store.WriteEvents(t.Context(), older))
	must(t, b.store.WriteMatches(t.Context(), event.Match{EventID: older.ID, PixelID: older.PixelID, Partner: "ttd", Name: older.Name, ReceivedAt: older.ReceivedAt}))
	if body := w.get("/events/e-forgotten?pixel_id=px_shop").body; strings.Contains(body, "Handed over") {
		t.Error("it says that it was not tried, of what is kept no longer")
	}
}

func TestAnEventThatWentToNobodySaysWhy(t *testing.T) {
	now := time.Now()
	b := open(t)
	ask[any](b, post, base+"/pixels", map[string]any{"id": "px_shop", "name": "Shop"}, 201)
	partial, bot, plain, stranger := someEvent("e-partial", now), someEvent("e-bot", now), someEvent("e-plain", now), someEvent("e-stranger", now)
	partial.Verdict.State = event.Partial
	bot.Enrichment.Bot = "Googlebot"
	stranger.PixelID = "px_gone"
	must(t, b.store.WriteEvents(t.Context(), partial, bot, plain, stranger))
	w := b.as(Viewer)
	for id, want := range map[string]string{
		"e-partial":  "consent allows our own analytics only",
		"e-bot":      "taken for a machine (Googlebot)",
		"e-plain":    "no route of Shop takes purchase",
		"e-stranger": "its pixel has been deleted",
	} {
		contains(t, w.get("/events/"+id).body, want)
	}
}

func TestADeadLetterShowsANetworkAndKeepsTheAddress(t *testing.T) {
	for ip, want := range map[string]string{"203.0.113.77": "203.0.113.0", "2001:db8:1:2::3": "2001:db8:1::", "": ""} {
		t.Run("address "+ip, func(t *testing.T) {
			b := open(t)
			ctx := t.Context()
			e := someEvent("dead-1", time.Now().UTC())
			e.Context.IP = ip
			body, err := json.Marshal(event.Delivery{Event: e, Partner: "ttd"})
			must(t, err)
			must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Partner("ttd"), Body: body}))
			got, err := b.queue.Pull(ctx, queue.Partner("ttd"), 1)
			must(t, err)
			must(t, b.queue.Bury(ctx, queue.Partner("ttd"), "because", got[0].ID))
			letters := ask[page[deadView]](b, get, base+"/dlq/ttd", nil, 200)
			var shown event.Delivery
			must(t, json.Unmarshal(letters.Items[0].Body, &shown))
			if shown.Event.Context.IP != want {
				t.Errorf("shown %q, want %q", shown.Event.Context.IP, want)
			}
			if html := b.as(Administrator).get("/dead/ttd").body; ip != "" && strings.Contains(html, ip) {
				t.Error("the page shows the whole address")
			}
			ask[moved](b, post, base+"/dlq/ttd/replay", map[string]any{"all": true}, 200)
			again, err := b.queue.Pull(ctx, queue.Partner("ttd"), 1)
			must(t, err)
			var kept event.Delivery
			must(t, json.Unmarshal(again[0].Body, &kept))
			if kept.Event.Context.IP != ip {
				t.Errorf("replayed with %q", kept.Event.Context.IP)
			}
		})
	}
}

func TestReplayingAndDroppingDeadLetters(t *testing.T) {
	b := open(t)
	seedQueues(t, b, time.Now())
	letters := ask[page[deadView]](b, get, base+"/dlq/ttd?limit=3", nil, 200)
	if len(letters.Items) != 3 || letters.Next == "" || !letters.Items[0].Replayable || letters.Items[0].Body.Kind() != '{' {
		t.Fatalf("%+v", letters)
	}
	one := ask[moved](b, post, base+"/dlq/ttd/replay", map[string]any{"ids": []string{letters.Items[0].ID, "no-such"}}, 200)
	if one.Moved != 1 || one.Selected != 1 {
		t.Errorf("one: %+v", one)
	}
	cause := ask[moved](b, post, base+"/dlq/ttd/replay", map[string]any{"reason": "http_402: the tracker does not know this event's name"}, 200)
	if cause.Moved != 3 {
		t.Errorf("one cause: %+v", cause)
	}
	gone := ask[moved](b, remove, base+"/dlq/ttd", map[string]any{"all": true}, 200)
	if gone.Moved != 10 {
		t.Errorf("dropped: %+v", gone)
	}
	ask[any](b, post, base+"/dlq/ttd/replay", map[string]any{"all": true}, 200)
	stuck := ask[moved](b, post, base+"/dlq/validation/replay", map[string]any{"all": true}, 200)
	if stuck.Moved != 0 || stuck.Stuck != 6 || !strings.Contains(stuck.Message, "6 messages that the collector refused") {
		t.Errorf("refused input: %+v", stuck)
	}
	for _, q := range ask[page[queueView]](b, get, base+"/queues", nil, 200).Items {
		if want, ok := map[string]int{"s2s:ttd": 4, "dlq:ttd": 0, "dlq:validation": 6, "ingest:high": 1, "ingest:low": 0}[q.Queue]; ok && q.Depth != want {
			t.Errorf("%s holds %d", q.Queue, q.Depth)
		}
	}
}

func TestLiveEventsFollowWhatIsStored(t *testing.T) {
	b := open(t)
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-before", time.Now())))
	r, err := http.NewRequest(get, b.server.URL+base+"/events/live?pixel_id=px_shop", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // the first line says that we are watched for
	other := someEvent("e-other", time.Now())
	other.PixelID = "px_other"
	must(t, b.store.WriteEvents(t.Context(), other, someEvent("e-now", time.Now())))
	cursor := ""
	for lines.Scan() {
		if c, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			cursor = c
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			contains(t, data, `"id":"e-now"`, `"value":249.95`, `"path":"shop.example.com/checkout/thanks"`)
			break
		}
	}
	resp.Body.Close()
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-later", time.Now())))
	r.Header.Set("Last-Event-ID", cursor)
	resp, err = http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	lines = bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			contains(t, data, `"id":"e-later"`)
			return
		}
	}
	t.Error("the stream that went on brought nothing")
}

func TestAStopEndsStreams(t *testing.T) {
	b := open(t)
	must(t, b.Start(t.Context()))
	r, err := http.NewRequest(get, "http://"+b.Addr()+base+"/events/live", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	began := time.Now()
	must(t, b.Stop(t.Context()))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
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

package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// twoAdvertisers fills every store with the same of two advertisers, Acme and Rival,
// in whose every name, id and text their own name stands.
func twoAdvertisers(t *testing.T, b *bench) {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	ada := principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}
	id := "an-id"
	accounts := map[string]map[string]*string{"acme": {"client_id": &id}, "rival": {"client_id": &id}}
	must(t, b.changePartner(ctx, ada, "amazon", partnerChange{Accounts: accounts}))
	for _, who := range []string{"acme", "rival"} {
		pixel := "px_" + who
		word := map[string]string{"acme": "acme", "rival": "hush"}[who] // of all that is no id
		_, err := b.addPixel(ctx, ada, settings.Pixel{
			ID: pixel, Name: word + " shop", Advertiser: who, Domains: []string{word + ".example.com"}, Enabled: true, ConsentMode: settings.CMP, Country: "GB",
			Routes: []settings.Route{{Partner: "ttd", Event: "purchase", Enabled: true, Params: jsontext.Value(`{"adv":"` + word + `","tracker_id":"` + word + `"}`)},
				{Partner: "amazon", Event: "purchase", Enabled: true, Params: jsontext.Value(`{"account_id":"1234567890","region":"EU"}`), Account: who}},
		})
		must(t, err)
		var events []event.Event
		for i := range 3 {
			e := someEvent(fmt.Sprintf("%s-event-%d", who, i), now.Add(-time.Duration(i)*time.Minute))
			e.PixelID, e.Order.ID, e.Subject.VisitorID = pixel, who+"-order", who+"-visitor"
			e.Context.Page = event.Page{URL: "https://" + word + ".example.com/" + word, Title: word}
			e.Enrichment.Campaign.Name = word + "-campaign"
			e.Properties = jsontext.Value(`{"of":"` + word + `"}`)
			events = append(events, e)
		}
		must(t, b.store.WriteEvents(ctx, events...))
		must(t, b.store.WriteSyncs(ctx, event.Sync{EventID: who + "-event-0", PixelID: pixel, Partner: "ttd", Attempt: 1, At: now, Outcome: event.Rejected, Code: word + "-code", Message: word + " said no", Status: 400, Latency: time.Second, OrderID: who + "-order"}))
		must(t, b.store.WriteMatches(ctx, event.Match{EventID: who + "-event-0", PixelID: pixel, Partner: "ttd", Name: "purchase", ReceivedAt: now, Grade: event.MediumMatch, Keys: []string{word + "-key"}, Missing: []string{"phone"}}))
		c := &attribution.Conversion{EventID: who + "-event-0", Name: "purchase", At: now, ReceivedAt: now, Currency: "GBP", Value: 1e6, Version: 1}
		path := []attribution.Touch{{Touchpoint: event.Touchpoint{ID: who + "-touch", PixelID: pixel, VisitorID: who + "-visitor", At: now.Add(-time.Hour), Kind: event.CampaignVisit, Channel: word + "-channel", Campaign: word}}}
		for _, m := range attribution.Models {
			must(t, b.store.WriteCredits(ctx, attribution.Give(pixel, who+"-visitor", m, c, path, attribution.Weigh(m, path, c.At, &settings.Attribution{}))))
		}
		must(t, b.o.People.Resolve(ctx, &identity.Seen{Event: &event.Event{ID: who + "-event-0", PixelID: pixel, Source: "web", ReceivedAt: now, Verdict: event.Verdict{State: event.Full},
			Subject: event.Subject{AnonymousID: who + "-visitor", UserID: who + "-customer"}}}))
		sent := fields.New(b.o.State, b.o.Log)
		sent.Start()
		sent.Sent("ttd", fields.Request{Type: "application/json", Body: []byte(`{"` + word + `":1}`), Pixels: []string{pixel}, At: now})
		sent.Stop(ctx)
		for i := range 5 { // a browser that many use is quarantined
			must(t, b.o.People.Resolve(ctx, &identity.Seen{Event: &event.Event{ID: fmt.Sprint(who, i), PixelID: pixel, Source: "server", ReceivedAt: now, Verdict: event.Verdict{State: event.Full},
				Subject: event.Subject{AnonymousID: who + "-till", UserID: fmt.Sprint(who, "-customer-", i)}}}))
		}
		delivery, err := json.Marshal(event.Delivery{Event: events[0], Partner: "ttd", Params: jsontext.Value(`{"adv":"` + word + `","tracker_id":"t"}`), Permission: event.Allowed})
		must(t, err)
		must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Partner("ttd"), Body: delivery}))
		got, err := b.queue.Pull(ctx, queue.Partner("ttd"), 1)
		must(t, err)
		must(t, b.queue.Bury(ctx, queue.Partner("ttd"), word+" is not known to the partner", got[0].ID))
		must(t, b.queue.Push(ctx, queue.Item{Queue: queue.Partner("amazon"), Body: delivery},
			queue.Item{Queue: queue.Validation, Reason: word + " sent nonsense", Body: []byte(`{"pixel_id":"` + pixel + `","events":[{"name":"2fast","of":"` + word + `"}]}`)},
			queue.Item{Queue: queue.Ingest(event.High), Body: []byte(`{"id":"` + who + `","pixel_id":"` + pixel + `"}`), Account: queue.AccountOf(pixel, now), Stage: ledger.Received, N: 7}))
		_, err = b.startRehearsal(ctx, ada, rehearsalBody{PixelID: pixel, Since: now.Add(-time.Hour), Until: now, Change: jsontext.Value(`{"name":"` + word + `"}`)})
		must(t, err)
	}
	lanes(t, b, now)
}

// confinedTo is somebody who may see Acme's pixels alone: by session and by token.
func (b *bench) confinedTo(role Role, advertiser string) (*browser, string) {
	b.t.Helper()
	u, err := b.people.add(b.t.Context(), user{Login: string(role) + "@" + advertiser, Role: role, Advertisers: []string{advertiser}})
	must(b.t, err)
	secret, err := b.links.make(b.t.Context(), signIn, u.ID)
	must(b.t, err)
	w := b.browser()
	w.get("/welcome?token=" + secret)
	v, err := b.issue(b.t.Context(), principal{}, token{Name: "confined", Role: role, Advertisers: []string{advertiser}})
	must(b.t, err)
	return w, v.Token
}

// TestNothingOfAnotherAdvertiserIsSeen opens every address that can be read, as it is
// and asking for the other's pixel, event, order, visitor and job by name. Whatever
// comes must not hold the other's name; and most must hold the own one, or nothing
// would have been seen at all.
func TestNothingOfAnotherAdvertiserIsSeen(t *testing.T) {
	b := open(t)
	twoAdvertisers(t, b)
	jobs, err := b.backfills.List(t.Context())
	must(t, err)
	foreign, own := "", ""
	for _, j := range jobs {
		if j.Spec.PixelID == "px_rival" {
			foreign = j.ID
		} else {
			own = j.ID
		}
	}
	others := map[string]string{
		":id": "px_rival", ":name": "ttd", ":queue": "ttd", ":n": "0", ":event": "purchase",
	}
	ids := []string{"px_rival", "rival-event-0", "rival-visitor", "rival-customer", foreign}
	asks := []string{"", "?pixel_id=px_rival", "?order_id=rival-order", "?q=rival", "?visitor_id=rival-visitor", "?event_id=rival-event-0", "?partner=ttd", "?dimension=pixel_id", "?dimension=utm_campaign", "?group_by=pixel_id", "?pixel_id=px_rival&id=rival-customer", "?step=page_view&step=purchase", "?step=hour", "?format=csv", "?dimension=campaign", "?range=7d", "?metric=syncs&dimension=code", "?contains=rival"}
	for _, role := range []Role{Viewer, Marketer} {
		w, token := b.confinedTo(role, "acme")
		seen, tried := map[string]bool{}, 0
		for _, r := range b.routes() {
			if r.method != get || r.need == public || r.need != role || r.path == base+"/events/live" {
				continue
			}
			paths := []string{r.path}
			if strings.Contains(r.path, ":id") {
				paths = nil
				for _, id := range ids {
					paths = append(paths, strings.ReplaceAll(r.path, ":id", id))
				}
			}
			if strings.Contains(r.path, ":queue") {
				paths = nil
				for _, q := range []string{"ttd", "amazon", "validation", "s2s:ttd", "s2s:amazon", "ingest:high"} {
					paths = append(paths, strings.ReplaceAll(r.path, ":queue", q))
				}
			}
			for _, path := range paths {
				for place, what := range others {
					path = strings.ReplaceAll(path, place, what)
				}
				for _, ask := range asks {
					var got answer
					if strings.HasPrefix(path, "/api/") {
						got = b.call(token, get, path+ask, nil)
					} else {
						got = w.get(path + ask)
					}
					tried++
					if got.status >= 500 {
						t.Errorf("%s: GET %s%s: %d", role, path, ask, got.status)
					}
					if text := leak(path+ask, got.body); text != "" {
						t.Errorf("%s: GET %s%s: %d shows …%s…", role, path, ask, got.status, text)
					}
					if got.status == 200 && strings.Contains(got.body, "acme") {
						seen[r.path] = true
					}
				}
			}
		}
		for _, path := range []string{"/", "/live", "/events", "/pixels", "/at-risk", "/match-readiness", "/ledger", "/attribution", "/dead/:queue", "/backfills", "/identities", "/privacy/fields", base + "/fields",
			"/reports", "/reports/reconciliation", base + "/pixels", base + "/events", base + "/syncs", base + "/quarantine", base + "/dlq/:queue", base + "/queues/:queue/messages", base + "/backfills",
			base + "/reports/top", base + "/reports/attribution", base + "/reports/attribution/paths", base + "/reports/ledger", base + "/reports/reconciliation", base + "/reports/at-risk", base + "/reports/match-readiness", base + "/reports/duplicates"} {
			if role == Viewer && !seen[path] {
				t.Errorf("%s: nothing of one's own was seen at %s", role, path)
			}
		}
		if tried < 50 {
			t.Errorf("only %d addresses tried", tried)
		}
		// What is one's own is there in detail.
		for _, path := range []string{"/pixels/px_acme", "/events/acme-event-0", "/events/acme-event-0?pixel_id=px_acme", "/backfills/" + own, "/identities/acme-customer", "/pixels/px_acme/snippet", "/pixels/px_acme/schemas"} {
			if got := b.call(token, get, base+path, nil); got.status != 200 {
				t.Errorf("%s: %s: %d", role, path, got.status)
			}
		}
	}
}

// leak finds in an answer what is the other's. What was asked for by name may be
// repeated, in a form or a link; the word hush, and ids that nobody asked for, may not.
func leak(question, body string) string {
	words := []string{"hush", "rival-event-1", "rival-event-2", "rival-till"}
	if !strings.Contains(question, "rival") {
		words = append(words, "rival")
	}
	for _, w := range words {
		if at := strings.Index(strings.ToLower(body), w); at >= 0 {
			return body[max(at-120, 0):min(at+60, len(body))]
		}
	}
	return ""
}

// TestNothingOfAnotherAdvertiserIsChanged tries every address that a marketer may
// write to on the other's pixel.
func TestNothingOfAnotherAdvertiserIsChanged(t *testing.T) {
	b := open(t)
	twoAdvertisers(t, b)
	w, token := b.confinedTo(Marketer, "acme")
	before, err := b.pixel(t.Context(), "px_rival")
	must(t, err)
	tried := 0
	for _, r := range b.routes() {
		if r.method == get || r.need != Marketer {
			continue
		}
		path := strings.NewReplacer(":id", "px_rival", ":n", "0", ":event", "purchase").Replace(r.path)
		tried++
		var got answer
		if strings.HasPrefix(path, "/api/") {
			var body any = map[string]any{"pixel_id": "px_rival", "name": "taken over"}
			if strings.HasSuffix(path, "/run") {
				body = nil
			}
			got = b.call(token, r.method, path, body)
			if strings.HasSuffix(path, "/routes") {
				got = b.call(token, r.method, path, `[]`)
			}
		} else {
			got = w.post(path, url.Values{"name": {"taken over"}, "pixel_id": {"px_rival"}, "change": {`{"name":"x"}`}, "partner": {"ttd"}, "mode": {"off"}, "consent_mode": {"cmp"}})
		}
		if strings.Contains(path, "px_rival") && got.status != http.StatusNotFound {
			t.Errorf("%s %s: %d %.200s", r.method, path, got.status, got.body)
		}
	}
	if tried < 10 {
		t.Errorf("only %d tried", tried)
	}
	for what, call := range map[string]answer{
		"a pixel made for another": b.call(token, post, base+"/pixels", map[string]any{"name": "x", "advertiser": "rival"}),
		"a pixel of nobody":        b.call(token, post, base+"/pixels", map[string]any{"name": "x"}),
		"one's own given away":     b.call(token, patch, base+"/pixels/px_acme", map[string]any{"advertiser": "rival"}),
		"a rehearsal on another's": b.call(token, post, base+"/rehearsals", map[string]any{"pixel_id": "px_rival", "change": map[string]any{"name": "x"}, "since": time.Now().Add(-time.Hour).Format(time.RFC3339)}),
	} {
		if call.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %.200s", what, call.status, call.body)
		}
	}
	after, err := b.pixel(t.Context(), "px_rival")
	must(t, err)
	if after.Revision != before.Revision {
		t.Errorf("the other's pixel was changed: %+v", after)
	}
	if got := b.call(token, patch, base+"/pixels/px_acme", map[string]any{"name": "ours"}); got.status != 200 {
		t.Errorf("one's own cannot be changed: %d %s", got.status, got.body)
	}
	if got := b.call(token, post, base+"/pixels", map[string]any{"name": "second", "advertiser": "acme"}); got.status != 201 {
		t.Errorf("one's own cannot be made: %d %s", got.status, got.body)
	}
}

func TestTheStreamOfSomebodyConfinedHasOnlyTheirEvents(t *testing.T) {
	b := open(t)
	twoAdvertisers(t, b)
	ctx := asking(t.Context(), principal{Kind: "user", Role: Viewer, Advertisers: []string{"acme"}})
	newest, err := b.o.Events.Events(ctx, analytics.EventFilter{Limit: 1})
	must(t, err)
	f := analytics.EventFilter{After: newest.Newest, Limit: liveBatch}
	for _, who := range []string{"rival", "acme"} {
		e := someEvent(who+"-late", time.Now().UTC())
		e.PixelID = "px_" + who
		must(t, b.store.WriteEvents(ctx, e))
	}
	text, err := b.news(ctx, &f)
	must(t, err)
	if !strings.Contains(text, "acme-late") || strings.Contains(text, "rival") {
		t.Errorf("streamed %s", text)
	}
}

func TestAnAdminCannotBeConfined(t *testing.T) {
	b := open(t)
	for what, got := range map[string]answer{
		"a user":  b.call(adminToken, post, base+"/users", map[string]any{"login": "a", "role": "admin", "advertisers": []string{"acme"}}),
		"a token": b.call(adminToken, post, base+"/tokens", map[string]any{"name": "a", "role": "admin", "advertisers": []string{"acme"}}),
	} {
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "cannot confine an admin") {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
}

// TestATokenDoesWhatItsScopesSay asks every operation with a token of each scope.
func TestATokenDoesWhatItsScopesSay(t *testing.T) {
	b := open(t)
	all := b.scopes()
	if len(all) < 20 {
		t.Fatalf("scopes: %v", all)
	}
	for _, r := range b.api() {
		if s := scopeOf(r.method, r.path); s == "" && r.need != public {
			t.Errorf("%s %s belongs to no scope: add its first word to scopeAreas", r.method, r.path)
		}
	}
	filled := strings.NewReplacer(":id", "nothing", ":name", "nobody", ":queue", "nowhere", ":event", "purchase")
	for _, scope := range all {
		v, err := b.issue(t.Context(), principal{}, token{Name: scope, Role: Administrator, Scopes: []string{scope}})
		must(t, err)
		for _, r := range b.api() {
			if r.need == public || strings.HasSuffix(r.path, "/live") {
				continue
			}
			var body any
			if r.method != get && r.method != remove && !strings.HasSuffix(r.path, "/run") {
				body = `{"no":"thing"}`
			}
			got := b.call(v.Token, r.method, filled.Replace(r.path), body)
			refused := got.status == http.StatusForbidden && strings.Contains(got.body, `"code":"scope"`)
			if refused == (scopeOf(r.method, r.path) == scope) {
				t.Errorf("%s %s with %s: %d %.150s", r.method, r.path, scope, got.status, got.body)
			}
		}
		if got := b.call(v.Token, get, "/people", nil); got.status != http.StatusForbidden {
			t.Errorf("%s opens a page of the console: %d", scope, got.status)
		}
	}
}

func TestATokenWithScopesCannotMakeAWiderOne(t *testing.T) {
	b := open(t)
	v, err := b.issue(t.Context(), principal{}, token{Name: "narrow", Role: Administrator, Scopes: []string{"tokens:write", "events:read"}})
	must(t, err)
	for scopes, status := range map[string]int{`["events:read"]`: 201, `["erasures:write"]`: 422, `[]`: 422, `["no:such"]`: 422} {
		if got := b.call(v.Token, post, base+"/tokens", `{"name":"x","role":"admin","scopes":`+scopes+`}`); got.status != status {
			t.Errorf("%s: %d %s", scopes, got.status, got.body)
		}
	}
}

func TestWhenATokenWasLastUsedIsSaid(t *testing.T) {
	b := open(t)
	v := ask[tokenView](b, post, base+"/tokens", map[string]any{"name": "ci", "role": "viewer", "scopes": []string{"pixels:read"}}, 201)
	if !v.LastUsed.IsZero() {
		t.Errorf("used before it was: %s", v.LastUsed)
	}
	b.call(v.Token, get, base+"/pixels", nil)
	list := ask[page[tokenView]](b, get, base+"/tokens", nil, 200)
	if at := list.Items[0].LastUsed; time.Since(at) > time.Minute || list.Items[0].Scopes[0] != "pixels:read" {
		t.Errorf("%+v", list.Items[0])
	}
}

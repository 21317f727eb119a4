package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miq/pixel/modules/app"
	"github.com/miq/pixel/modules/sandbox"
)

// TestKilledBetweenThePartnersTakingAndTheAck kills the process with -9 while the
// partner has taken conversions and its answer is still on the way, and starts it again
// on the same folder. Where the partner drops repeats by a key, it has every conversion once
// by that key. Where it has none, what was on the way is a dead letter that says so,
// and none was sent twice.
func TestKilledBetweenThePartnersTakingAndTheAck(t *testing.T) {
	for _, c := range []struct {
		partner, path string
		credentials   map[string]string
		params        map[string]any
		keyless       bool
	}{
		{
			partner: "amazon", path: "/create/events",
			credentials: map[string]string{"client_id": "amzn1.application-oa2-client.example", "client_secret": "client-secret", "refresh_token": "Atzr|example"},
			params:      map[string]any{"account_id": "123456789", "region": "NA"},
		},
		{partner: "ttd", path: "/track/realtimeconversion", params: map[string]any{"adv": "adv1234", "tracker_id": "abc123x"}, keyless: true},
	} {
		t.Run(c.partner, func(t *testing.T) { killBetween(t, c.partner, c.path, c.credentials, c.params, c.keyless) })
	}
}

func killBetween(t *testing.T, partner, path string, credentials map[string]string, params map[string]any, keyless bool) {
	adapters := app.Adapters()
	box := sandbox.New(adapters)
	var stall atomic.Bool
	var stalled atomic.Int32
	stall.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stall.Load() && strings.Contains(r.URL.Path, path) {
			box.ServeHTTP(httptest.NewRecorder(), r) // taken
			stalled.Add(1)
			<-r.Context().Done() // and the answer never comes
			return
		}
		box.ServeHTTP(w, r)
	}))
	defer server.Close()
	at := sandbox.Endpoints(server.URL, adapters)[partner]
	args := []string{"--partners." + partner + ".endpoint=" + at.Endpoint}
	if at.TokenURL != "" {
		args = append(args, "--partners."+partner+".token_url="+at.TokenURL)
	}
	dir := t.TempDir()
	p := start(t, dir, append([]string{"serve"}, args...)...)
	if credentials != nil {
		p.api("PATCH", "/partners/"+partner, map[string]any{"credentials": credentials}, nil)
	}
	p.api("POST", "/pixels", map[string]any{"id": "px_kill", "name": "Kill", "enabled": true, "consent_mode": "implied", "country": "US",
		"routes": []map[string]any{{"partner": partner, "event": "purchase", "enabled": true, "params": params}}}, nil)
	const events = 200
	for i := range events {
		body := fmt.Sprintf(`{"pixel_id":"px_kill","identity":{"anonymous_id":"v-%d","email_sha256":"6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd","partner_ids":{"tdid":"11111111-2222-4333-8444-555555555555"}},"context":{"locale":"en-US","page":{"url":"https://shop.example.com/thanks"}},"events":[{"id":"kill-%03d","name":"purchase","properties":{"order_id":"k-%d","value":9.5,"currency":"USD"}}]}`, i, i, i)
		resp, err := http.Post(p.collector+"/collect", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Fatalf("%s: %s", resp.Status, answer)
		}
	}
	p.eventually("requests are taken and unanswered", func() error {
		if n := stalled.Load(); n == 0 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	p.kill()
	stall.Store(false)
	before := len(box.Received(partner))
	killed := time.Now()
	p = start(t, dir, append([]string{"serve"}, args...)...)
	p.eventually("the queues are empty", func() error { return drained(p, "dlq:ttd") })
	t.Logf("%d requests were taken and unanswered at the kill; drained %s after it", before, time.Since(killed).Round(time.Millisecond))
	took, repeats := map[string]int{}, 0
	for _, e := range box.Received(partner) {
		ids := e.EventIDs
		if keyless {
			ids = e.OrderIDs // it has no ids of events
		}
		for _, id := range ids {
			took[id]++
		}
		repeats += len(e.Duplicates)
	}
	// A partner with a key drops repeats by it, so that each counts once.
	if len(took) != events {
		t.Errorf("the partner has %d of %d conversions", len(took), events)
	}
	t.Logf("%d repeats, which the partner drops by its dedupe key", repeats)
	var syncs struct {
		Items []struct {
			EventID string `json:"event_id"`
		} `json:"items"`
	}
	p.api("GET", "/syncs?partner="+partner+"&outcome=accepted&limit=1000", nil, &syncs)
	var dead struct {
		Items []struct {
			Reason string `json:"reason"`
		} `json:"items"`
	}
	p.api("GET", "/dlq/"+partner+"?limit=1000", nil, &dead)
	if len(syncs.Items)+len(dead.Items) != events {
		t.Errorf("the sync log has %d accepted and the dead letters %d, of %d", len(syncs.Items), len(dead.Items), events)
	}
	if !keyless {
		if len(dead.Items) != 0 {
			t.Errorf("%d are dead", len(dead.Items))
		}
		return
	}
	if len(dead.Items) == 0 {
		t.Error("what was on the way at the kill is not among the dead letters")
	}
	for _, l := range dead.Items {
		if !strings.HasPrefix(l.Reason, "unknown_outcome: ") {
			t.Errorf("dead: %s", l.Reason)
		}
	}
	for id, n := range took {
		if n > 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
}

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
// partner has taken conversions and its answer is still on the way, starts it again
// on the same folder, and finds every conversion taken once by its dedupe key.
func TestKilledBetweenThePartnersTakingAndTheAck(t *testing.T) {
	adapters := app.Adapters()
	box := sandbox.New(adapters)
	var stall atomic.Bool
	var stalled atomic.Int32
	stall.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stall.Load() && strings.Contains(r.URL.Path, "/create/events") {
			box.ServeHTTP(httptest.NewRecorder(), r) // taken
			stalled.Add(1)
			<-r.Context().Done() // and the answer never comes
			return
		}
		box.ServeHTTP(w, r)
	}))
	defer server.Close()
	at := sandbox.Endpoints(server.URL, adapters)["amazon"]
	args := []string{"--partners.amazon.endpoint=" + at.Endpoint, "--partners.amazon.token_url=" + at.TokenURL}
	dir := t.TempDir()
	p := start(t, dir, append([]string{"serve"}, args...)...)
	p.api("PATCH", "/partners/amazon", map[string]any{"credentials": map[string]string{"client_id": "amzn1.application-oa2-client.example", "client_secret": "client-secret", "refresh_token": "Atzr|example"}}, nil)
	p.api("POST", "/pixels", map[string]any{"id": "px_kill", "name": "Kill", "enabled": true, "consent_mode": "implied", "country": "US",
		"routes": []map[string]any{{"partner": "amazon", "event": "purchase", "enabled": true, "params": map[string]any{"account_id": "123456789", "region": "NA"}}}}, nil)
	const events = 200
	for i := range events {
		body := fmt.Sprintf(`{"pixel_id":"px_kill","identity":{"anonymous_id":"v-%d","email_sha256":"6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd"},"context":{"locale":"en-US"},"events":[{"id":"kill-%03d","name":"purchase","properties":{"order_id":"k-%d","value":9.5,"currency":"USD"}}]}`, i, i, i)
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
	before := len(box.Received("amazon"))
	killed := time.Now()
	p = start(t, dir, append([]string{"serve"}, args...)...)
	p.eventually("the queues are empty", func() error { return drained(p) })
	t.Logf("%d requests were taken and unanswered at the kill; drained %s after it", before, time.Since(killed).Round(time.Millisecond))
	once, repeats := map[string]bool{}, 0
	for _, e := range box.Received("amazon") {
		for _, id := range e.EventIDs {
			once[id] = true
		}
		repeats += len(e.Duplicates)
	}
	// The partner drops repeats by the event id, so that each counts once.
	if len(once) != events {
		t.Errorf("the partner has %d of %d conversions", len(once), events)
	}
	t.Logf("%d repeats, which the partner drops by its dedupe key", repeats)
	var syncs struct {
		Items []struct {
			Outcome string `json:"outcome"`
		} `json:"items"`
	}
	p.api("GET", "/syncs?partner=amazon&outcome=accepted&limit=1000", nil, &syncs)
	if len(syncs.Items) != events {
		t.Errorf("the sync log has %d accepted of %d", len(syncs.Items), events)
	}
	var dead struct {
		Items []any `json:"items"`
	}
	if p.api("GET", "/dlq/amazon", nil, &dead); len(dead.Items) != 0 {
		t.Errorf("%d are dead", len(dead.Items))
	}
}

package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestEveryAcceptedEventIsStoredExactlyOnceAfterKill9 posts 10,000 events from
// many connections, kills the process in the middle, starts it again on the same
// folder, and compares the ids that were answered 202 with those stored, as sets.
func TestEveryAcceptedEventIsStoredExactlyOnceAfterKill9(t *testing.T) {
	const total, posters = 10_000, 32
	dir := t.TempDir()
	p := start(t, dir)
	p.api("POST", "/pixels", map[string]any{"id": "px_crash", "name": "Crash", "enabled": true, "consent_mode": "implied"}, nil)

	accepted := map[string]bool{}
	var mu sync.Mutex
	var next, answered atomic.Int64
	var wg sync.WaitGroup
	halfway := make(chan struct{})
	for range posters {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for {
				n := next.Add(1)
				if n > total {
					return
				}
				id := fmt.Sprintf("crash-%05d", n)
				body := fmt.Sprintf(`{"pixel_id":"px_crash","identity":{"anonymous_id":"v-%d"},"events":[{"id":%q,"name":"page_view"}]}`, n%97, id)
				resp, err := client.Post(p.collector+"/collect", "application/json", strings.NewReader(body))
				if err != nil {
					return // the crash
				}
				var answer struct {
					Accepted int `json:"accepted"`
				}
				err = json.NewDecoder(resp.Body).Decode(&answer)
				resp.Body.Close()
				if resp.StatusCode == http.StatusAccepted && err == nil && answer.Accepted == 1 {
					mu.Lock()
					accepted[id] = true
					mu.Unlock()
					if answered.Add(1) == total/2 {
						close(halfway)
					}
				}
			}
		})
	}
	select {
	case <-halfway:
	case <-time.After(2 * time.Minute):
		t.Fatalf("only %d of %d events were accepted in two minutes", answered.Load(), total)
	}
	p.kill()
	wg.Wait()
	t.Logf("%d events were answered 202 before the crash", len(accepted))
	if len(accepted) < total/2 || len(accepted) == total {
		t.Fatalf("the crash was not in the middle: %d of %d were accepted", len(accepted), total)
	}

	p = start(t, dir)
	p.eventually("the queues are empty", func() error { return drained(p) })

	stored := map[string]int{}
	for cursor := ""; ; {
		var page struct {
			Items []struct {
				ID string `json:"id"`
			} `json:"items"`
			Next string `json:"next"`
		}
		p.api("GET", "/events?pixel_id=px_crash&limit=1000&cursor="+cursor, nil, &page)
		for _, e := range page.Items {
			stored[e.ID]++
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	lost, twice := 0, 0
	for id := range accepted {
		if stored[id] == 0 {
			lost++
		}
	}
	for id, n := range stored {
		if n > 1 {
			twice++
			t.Logf("%s is stored %d times", id, n)
		}
	}
	// An event whose 202 was cut off by the crash may be stored too.
	if lost > 0 || twice > 0 {
		t.Errorf("%d events that were answered 202 are lost, %d are stored twice", lost, twice)
	}
	if extra := len(stored) - len(accepted); extra > posters {
		t.Errorf("%d events are stored that were never answered 202; at most %d could be in flight", extra, posters)
	}
	if err := p.terminate(); err != nil {
		t.Errorf("SIGTERM ended with %v, want exit 0", err)
	}
}

// drained is nil when no queue holds anything.
func drained(p *process, but ...string) error {
	var queues struct {
		Items []struct {
			Queue    string `json:"queue"`
			Ready    int    `json:"ready"`
			InFlight int    `json:"in_flight"`
			Delayed  int    `json:"delayed"`
		} `json:"items"`
	}
	if err := p.tryAPI("GET", "/queues", nil, &queues); err != nil {
		return err
	}
	for _, q := range queues.Items {
		if n := q.Ready + q.InFlight + q.Delayed; n > 0 && !slices.Contains(but, q.Queue) {
			return fmt.Errorf("%s holds %d", q.Queue, n)
		}
	}
	return nil
}

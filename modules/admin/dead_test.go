package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

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

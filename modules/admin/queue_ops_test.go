package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// wait pushes deliveries to a partner's queue.
func wait(t *testing.T, b *bench, n int) {
	t.Helper()
	for i := range n {
		e := someEvent("wait-"+string(rune('a'+i)), time.Now().UTC())
		e.Context.IP = "203.0.113.77"
		body, err := json.Marshal(event.Delivery{Event: e, Partner: "ttd"})
		must(t, err)
		must(t, b.queue.Push(t.Context(), queue.Item{Queue: "s2s:ttd", Body: body, Account: queue.AccountOf(e.PixelID, e.ReceivedAt)}))
	}
}

func TestPeekSkipAndDrain(t *testing.T) {
	b := open(t)
	wait(t, b, 6)
	first := ask[page[waitingView]](b, get, base+"/queues/s2s:ttd/messages?limit=2", nil, 200)
	if len(first.Items) != 2 || first.Next == "" || first.Items[0].EventID != "wait-a" || first.Items[0].State != queue.Ready {
		t.Fatalf("%+v", first)
	}
	if body := string(first.Items[0].Body); strings.Contains(body, "203.0.113.77") || !strings.Contains(body, "203.0.113.0") {
		t.Errorf("shown: %s", body)
	}
	if rest := ask[page[waitingView]](b, get, base+"/queues/s2s:ttd/messages?cursor="+first.Next, nil, 200); len(rest.Items) != 4 || rest.Next != "" {
		t.Errorf("the rest: %+v", rest)
	}
	skip := map[string]any{"ids": []string{first.Items[1].ID, first.Items[1].ID}, "reason": "bad order", "dry_run": true}
	if dry := ask[taken](b, post, base+"/queues/s2s:ttd/skip", skip, 200); dry.Moved != 0 {
		t.Errorf("a dry run: %+v", dry)
	}
	skip["dry_run"] = false
	if done := ask[taken](b, post, base+"/queues/s2s:ttd/skip", skip, 200); done.Moved != 1 {
		t.Errorf("skipped: %+v", done)
	}
	letters := ask[page[deadView]](b, get, base+"/dlq/ttd", nil, 200)
	if len(letters.Items) != 1 || !strings.HasPrefix(letters.Items[0].Reason, "skipped by ") || !strings.HasSuffix(letters.Items[0].Reason, ": bad order") {
		t.Errorf("letters: %+v", letters.Items)
	}
	if some := ask[taken](b, post, base+"/queues/s2s:ttd/drain", map[string]any{"reason": "flood", "max": 2}, 200); some.Moved != 2 || !some.More {
		t.Errorf("drained: %+v", some)
	}
	if rest := ask[taken](b, post, base+"/queues/s2s:ttd/drain", map[string]any{"reason": "flood", "delete": true}, 200); rest.Moved != 3 || rest.More || !strings.HasPrefix(rest.Message, "Deleted for good: 3") {
		t.Errorf("drained for good: %+v", rest)
	}
	log := ask[page[entry]](b, get, base+"/audit", nil, 200)
	var actions []string
	for _, e := range log.Items {
		actions = append(actions, e.Action+" "+e.Target)
	}
	if got := strings.Join(actions, ", "); got != "queue.drain s2s:ttd, queue.drain s2s:ttd, queue.skip s2s:ttd" {
		t.Errorf("the audit log: %s", got)
	}
	// An operator's work is in the books too.
	now := time.Now()
	books, found, err := b.o.Ledger.Read(t.Context(), now.Add(-time.Hour), now.Add(time.Hour))
	must(t, err)
	sum := ledger.Book{}
	for _, one := range books {
		sum.Add(one)
	}
	if p := sum.Partners; len(found) != 0 || len(p) != 1 || p[0].Routed != 6 || p[0].Dead != 3 || p[0].Dropped != 3 || p[0].Waiting != 0 {
		t.Errorf("books %+v, differences %+v", p, found)
	}
}

func TestWhatCannotBeTakenOutIsRefused(t *testing.T) {
	b := open(t)
	for _, c := range []struct {
		name, method, path string
		body               any
		status             int
	}{
		{"no such queue", get, "/queues/s2s:acme/messages", nil, 404},
		{"dead letters have their own calls", get, "/queues/dlq:ttd/messages", nil, 404},
		{"no ids", post, "/queues/s2s:ttd/skip", map[string]any{"reason": "x"}, 422},
		{"no reason", post, "/queues/s2s:ttd/skip", map[string]any{"ids": []string{"1"}, "reason": " "}, 422},
		{"no reason to drain", post, "/queues/s2s:ttd/drain", map[string]any{}, 422},
		{"too many", post, "/queues/s2s:ttd/drain", map[string]any{"reason": "x", "max": 10_001}, 422},
		{"draining dead letters", post, "/queues/dlq:ttd/drain", map[string]any{"reason": "x"}, 404},
	} {
		t.Run(c.name, func(t *testing.T) { ask[any](b, c.method, base+c.path, c.body, c.status) })
	}
}

func TestTheBooksAreShownAndADifferenceOfOneIsSaid(t *testing.T) {
	b := open(t)
	now := time.Now().UTC()
	e := someEvent("book-1", now)
	a := queue.AccountOf(e.PixelID, e.ReceivedAt)
	must(t, b.queue.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte("1"), Account: a, Stage: ledger.Received, N: 1},
		queue.Item{Queue: "ingest:high", Account: a, Stage: ledger.Suppressed, N: 2}, queue.Item{Queue: "ingest:high", Account: a, Stage: ledger.Refused, N: 2}))
	got, err := b.queue.Pull(t.Context(), "ingest:high", 1)
	must(t, err)
	must(t, b.queue.Settle(t.Context(), "ingest:high", queue.End{Account: a, Outcome: ledger.Stored, IDs: []string{got[0].ID}}))
	r := ask[ledgerReport](b, get, base+"/reports/ledger?since=2h", nil, 200)
	if r.Balanced || len(r.Differences) != 1 || r.Differences[0].N != -1 || r.Total.Received != 3 || r.Total.Stored != 1 {
		t.Fatalf("%+v", r)
	}
	const says = "1 event called stored, but not in the analytics store"
	w := b.as(Viewer)
	contains(t, w.get("/ledger").body, "The books do not balance", says, "1 off")
	must(t, b.o.Ledger.Start(t.Context()))
	for last, _ := b.o.Ledger.Last(); last.At.IsZero(); last, _ = b.o.Ledger.Last() {
		<-time.After(time.Millisecond)
	}
	must(t, b.o.Ledger.Stop(t.Context()))
	contains(t, w.get("/").body, "The books do not balance: "+says)
	must(t, b.store.WriteEvents(t.Context(), e))
	if r := ask[ledgerReport](b, get, base+"/reports/ledger?pixel_id="+e.PixelID, nil, 200); !r.Balanced || len(r.Items) != 1 {
		t.Errorf("%+v", r)
	}
	contains(t, w.get("/ledger").body, "Everything is accounted for.", "3 events received: 1 accepted, 2 suppressed by consent, 0 rejected")
	csv := b.call(adminToken, get, base+"/reports/ledger?format=csv", nil).body
	contains(t, csv, "hour,pixel_id,received,suppressed,rejected,accepted,stored", ","+e.PixelID+",3,2,0,1,1,0,0,0,0,0,0\n")
	ask[any](b, get, base+"/reports/ledger?since=60d", nil, 400)
}

package worker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/purge"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a worker with embedded stores.
type world struct {
	t     *testing.T
	queue *sqlitequeue.Queue
	keys  *sqlitestate.Store
	store *sqliteanalytics.Store
	shelf *shelf
	site  *site
	deps  Deps
	w     *Worker
}

const lease = 3 * time.Second

func setup(t *testing.T, change ...func(*Deps)) *world {
	t.Helper()
	dir := t.TempDir()
	open := func(name string) *sqlitedb.DB {
		db, err := sqlitedb.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	q, err := sqlitequeue.New(open("queue.db"), queue.Options{Lease: lease, MaxDeliveries: 2, Wait: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	keys, err := sqlitestate.New(open("state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	store, err := sqliteanalytics.New(open("analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	x := &world{
		t: t, queue: q, keys: keys, store: store, shelf: &shelf{records: map[string]event.Event{}},
		site: &site{partners: map[string]settings.Mode{}, pixels: map[string]settings.Pixel{"px": {
			ID: "px", ConsentMode: settings.Implied, Domains: []string{"shop.example.com"},
			Routes: []settings.Route{{Partner: "acme", Event: "purchase", Enabled: true, Params: []byte(`{"a":1}`)}, {Partner: "off", Event: "*", Enabled: true}},
		}}},
	}
	x.site.partners["off"] = settings.Off
	x.deps = Deps{
		Config: config.Worker{Concurrency: 2, Batch: 64, DedupeTTL: time.Hour},
		Limits: config.Queue{Lease: lease, MaxDeliveries: 2},
		Queue:  q, Keys: keys, Archive: x.shelf, Writer: store, Receipts: store, Credits: store, People: identity.New(keys, store, identity.Usual, nil),
		Book:    consent.NewBook(keys, consent.New(consent.Options{}), []byte("seal")),
		Sweeper: &purge.Sweeper{Queues: q, Keys: keys, Syncs: store, Now: time.Now}, Settings: x.site, Decider: consent.New(consent.Options{}),
		Adapters: []partner.Adapter{acme{"acme"}, acme{"off"}}, Log: slog.New(slog.DiscardHandler), Metrics: m,
		Tracer: noop.NewTracerProvider().Tracer(""),
	}
	for _, c := range change {
		c(&x.deps)
	}
	return x
}

// withdraw is what POST /consent does when a visitor withdraws.
func (x *world) withdraw(visitor string) {
	x.t.Helper()
	v := consent.Visitor{PixelID: "px", ID: visitor}
	receipts, err := x.deps.Book.Decide(x.t.Context(), consent.Change{Visitor: v, Verdict: consent.Revoked(), At: time.Now(), Source: "consent", ID: "request"})
	if err != nil {
		x.t.Fatal(err)
	}
	body, err := consent.Task{Receipts: receipts, Forget: v}.Encode()
	if err != nil {
		x.t.Fatal(err)
	}
	if err := x.queue.Push(x.t.Context(), queue.Item{Queue: queue.Consent, Body: body}); err != nil {
		x.t.Fatal(err)
	}
}

// make builds the worker, so that a test may change its steps before it starts.
func (x *world) make() *Worker {
	x.t.Helper()
	w, err := New(x.deps)
	if err != nil {
		x.t.Fatal(err)
	}
	x.w = w
	return w
}

func (x *world) start() {
	x.t.Helper()
	if x.w == nil {
		x.make()
	}
	w := x.w
	if err := w.Start(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.Stop(ctx)
	})
}

// purchase is an accepted event that consent allows, unless changed.
func purchase(id string, change ...func(*event.Event)) event.Event {
	now := time.Now().UTC().Truncate(time.Millisecond)
	e := event.Event{
		ID: id, Receipt: "r-" + id, PixelID: "px", Name: "purchase", Time: now, ReceivedAt: now, Source: "web", Priority: event.High,
		Verdict: event.Verdict{State: event.Full, Regime: "default", Rule: "R7/D1"},
		Subject: event.Subject{AnonymousID: "visitor-" + id},
		Context: event.Context{
			IP: "203.0.113.77", UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
			Page: event.Page{URL: "https://shop.example.com/thanks?gclid=EAI&utm_source=google&utm_medium=cpc", Referrer: "https://www.google.com/"},
		},
		Order: event.Order{ID: "o-" + id, Value: "99.5", Currency: "GBP"},
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func (x *world) push(events ...event.Event) {
	x.t.Helper()
	items := make([]queue.Item, len(events))
	for i, e := range events {
		body, err := json.Marshal(e)
		if err != nil {
			x.t.Fatal(err)
		}
		items[i] = queue.Item{Queue: queue.Ingest(e.Priority), Body: body, Account: queue.AccountOf(e.PixelID, e.ReceivedAt)}
	}
	if err := x.queue.Push(x.t.Context(), items...); err != nil {
		x.t.Fatal(err)
	}
}

func (x *world) until(what string, ok func() bool) {
	x.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			x.t.Fatalf("timed out: %s; queues %+v", what, x.stats())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (x *world) stats() map[string]queue.Stats {
	list, err := x.queue.Stats(context.Background())
	if err != nil {
		x.t.Fatal(err)
	}
	m := map[string]queue.Stats{}
	for _, s := range list {
		m[s.Queue] = s
	}
	return m
}

func (x *world) done() {
	x.t.Helper()
	x.until("the ingest queues are empty", func() bool {
		n := 0
		for _, p := range event.Priorities {
			s := x.stats()[queue.Ingest(p)]
			n += s.Ready + s.InFlight + s.Delayed
		}
		return n == 0
	})
}

func (x *world) stored() map[string]event.Event {
	x.t.Helper()
	page, err := x.store.Events(x.t.Context(), analytics.EventFilter{Limit: 1000})
	if err != nil {
		x.t.Fatal(err)
	}
	m := map[string]event.Event{}
	for _, e := range page.Events {
		if _, twice := m[e.ID]; twice {
			x.t.Errorf("%s is stored twice", e.ID)
		}
		m[e.ID] = e
	}
	return m
}

func (x *world) ids() []string { return slices.Sorted(maps.Keys(x.stored())) }

// deliveries takes everything out of a partner's queue, by event id.
func (x *world) deliveries(name string) map[string]event.Delivery {
	x.t.Helper()
	m := map[string]event.Delivery{}
	for {
		list, err := x.queue.Pull(x.t.Context(), queue.Partner(name), 1000)
		if err != nil {
			x.t.Fatal(err)
		}
		if len(list) == 0 {
			return m
		}
		for _, msg := range list {
			var d event.Delivery
			if err := json.Unmarshal(msg.Body, &d); err != nil {
				x.t.Fatal(err)
			}
			m[d.Event.ID] = d
			if err := x.queue.Ack(x.t.Context(), queue.Partner(name), msg.ID); err != nil {
				x.t.Fatal(err)
			}
		}
	}
}

func (x *world) syncs(partner string) map[string]event.Sync {
	x.t.Helper()
	page, err := x.store.Syncs(x.t.Context(), analytics.SyncFilter{Partner: partner, Limit: 1000})
	if err != nil {
		x.t.Fatal(err)
	}
	m := map[string]event.Sync{}
	for _, s := range page.Syncs {
		if _, twice := m[s.EventID]; twice {
			x.t.Errorf("%s has two lines for %s", s.EventID, partner)
		}
		m[s.EventID] = s
	}
	return m
}

func (x *world) dead() []queue.DeadLetter {
	x.t.Helper()
	list, _, err := x.queue.Dead(x.t.Context(), queue.Validation, "", 1000)
	if err != nil {
		x.t.Fatal(err)
	}
	return list
}

func (x *world) count(outcome string) int {
	var m dto.Metric
	if err := x.deps.Metrics.events.WithLabelValues(outcome).Write(&m); err != nil {
		x.t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

// counted checks how many events had an outcome. They are counted just after the
// queue is told, so the last may still be on its way.
func (x *world) counted(outcome string, want int) {
	x.t.Helper()
	x.until("events are counted as "+outcome, func() bool { return x.count(outcome) >= want })
	if n := x.count(outcome); n != want {
		x.t.Errorf("%d events are counted as %s, want %d", n, outcome, want)
	}
}

// wrap changes what a step does.
func (x *world) wrap(name string, do func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error) {
	x.t.Helper()
	if x.w == nil {
		x.make()
	}
	for i, s := range x.w.steps {
		if s.name == name {
			x.w.steps[i].do = func(ctx context.Context, b *batch) error { return do(ctx, b, s.do) }
			return
		}
	}
	x.t.Fatalf("there is no step %s", name)
}

func names(n int) (ids []string, events []event.Event) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("e%03d", i))
		events = append(events, purchase(ids[i]))
	}
	return ids, events
}

// book sums what the books say, which must balance.
func (x *world) book() (sum ledger.Book) {
	x.t.Helper()
	now := queue.Hour(time.Now())
	counts, err := x.queue.Counts(x.t.Context(), now-1, now+1)
	if err != nil {
		x.t.Fatal(err)
	}
	tallies, err := x.store.Tally(x.t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		x.t.Fatal(err)
	}
	stats, err := x.queue.Stats(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	for _, d := range (ledger.Reading{Before: counts, After: counts, Tallies: tallies, Depths: stats}).Check() {
		// These tests push to the worker's queues themselves, and no collector counts.
		if d.Check != ledger.Door {
			x.t.Errorf("the books do not balance: %s", d.Text)
		}
	}
	for _, b := range ledger.Books(counts) {
		sum.Add(b)
	}
	return sum
}

package dispatcher

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// acme takes {"ids":[…]} and answers for the batch as a whole.
type acme struct {
	spec   partner.Spec
	decode func(partner.Answer, []event.Delivery) partner.Receipt
}

func (a acme) Spec() partner.Spec                        { return a.spec }
func (acme) Group(d event.Delivery) string               { return string(d.Params) }
func (acme) Sandbox(func(partner.Received)) http.Handler { return nil }
func (a acme) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	var refused []partner.Result
	var ids []string
	for _, d := range b.Deliveries {
		switch d.Event.Name {
		case "refuse":
			refused = append(refused, *partner.Refuse(d, event.Rejected, "no_currency", "there is no currency"))
		case "keyless":
			refused = append(refused, *partner.Refuse(d, event.NotSent, "no_key", "not sent: nothing to match by"))
		default:
			ids = append(ids, d.Event.ID)
		}
	}
	if len(ids) == 0 {
		return nil, refused, nil
	}
	body, err := json.Marshal(ids)
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.Endpoint, strings.NewReader(string(body)))
	return req, refused, err
}

func (a acme) Decode(answer partner.Answer, sent []event.Delivery) partner.Receipt {
	if a.decode != nil {
		return a.decode(answer, sent)
	}
	if answer.Status == 400 && len(sent) > 1 {
		return partner.Receipt{Halve: true, Results: partner.All(sent, event.Retry, "http_400", "")}
	}
	r := partner.Sort(answer, sent)
	r.RequestID = answer.Header.Get("X-Request-Id")
	return r
}

// endpoint is the partner's server: it counts what it took.
type endpoint struct {
	mu       sync.Mutex
	answer   func(w http.ResponseWriter, r *http.Request, ids []string) bool // false: not taken
	taken    map[string]int
	requests [][]string
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ids []string
	if err := json.UnmarshalRead(r.Body, &ids); err != nil {
		w.WriteHeader(400)
		return
	}
	e.mu.Lock()
	e.requests = append(e.requests, ids)
	answer := e.answer
	e.mu.Unlock()
	if answer != nil && !answer(w, r, ids) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		e.taken[id]++
	}
}

func (e *endpoint) set(answer func(w http.ResponseWriter, r *http.Request, ids []string) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) got() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := map[string]int{}
	for k, v := range e.taken {
		m[k] = v
	}
	return m
}

func (e *endpoint) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.requests)
}

// site is the settings in memory.
type site struct {
	mu       sync.Mutex
	partners map[string]settings.Partner
	pixels   map[string]settings.Pixel
}

func (s *site) Pixel(id string) (settings.Pixel, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pixels[id]
	return p, ok
}

func (s *site) Partner(name string) settings.Partner {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.partners[name]; ok {
		return p
	}
	return settings.Partner{Name: name, Mode: settings.On}
}

func (s *site) Pixels() []settings.Pixel {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []settings.Pixel
	for _, p := range s.pixels {
		out = append(out, p)
	}
	return out
}

func (s *site) Credentials(settings.Partner, string) (map[string]string, error) { return nil, nil }

// route sets the only route of the pixel px.
func (s *site) route(r settings.Route) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pixels["px"]
	p.Routes = []settings.Route{r}
	s.pixels["px"] = p
}

func (s *site) mode(name string, m settings.Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partners[name]
	s.partners[name] = settings.Partner{Name: name, Mode: m, Revision: p.Revision + 1}
}

// synclog is the analytics store in memory.
type synclog struct {
	mu   sync.Mutex
	rows map[string]event.Sync
	err  error
	hook func()
}

func (l *synclog) WriteEvents(context.Context, ...event.Event) error { return nil }

func (l *synclog) WriteMatches(context.Context, ...event.Match) error { return nil }

func (l *synclog) WriteSyncs(_ context.Context, syncs ...event.Sync) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for _, s := range syncs {
		l.rows[fmt.Sprintf("%s/%s/%s/%d", s.PixelID, s.EventID, s.Partner, s.Attempt)] = s
	}
	if l.hook != nil {
		l.hook()
	}
	return nil
}

func (l *synclog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// of are an event's lines, by attempt.
func (l *synclog) of(id string) []event.Sync {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []event.Sync
	for _, s := range l.rows {
		if s.EventID == id {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b event.Sync) int {
		if a.Partner != b.Partner {
			return strings.Compare(a.Partner, b.Partner)
		}
		return a.Attempt - b.Attempt
	})
	return list
}

// story is an event's lines in brief: "1:retry/http_500 2:accepted".
func (l *synclog) story(id string) string {
	var parts []string
	for _, s := range l.of(id) {
		p := fmt.Sprintf("%d:%s", s.Attempt, s.Outcome)
		if s.Code != "" {
			p += "/" + s.Code
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, " ")
}

// world is a dispatcher with embedded stores and one partner, acme.
type world struct {
	t        *testing.T
	queue    *sqlitequeue.Queue
	keys     *sqlitestate.Store
	syncs    *synclog
	site     *site
	server   *endpoint
	url      string
	deps     Deps
	adapters []partner.Adapter
	x        *Dispatcher
}

func spec(name string) partner.Spec {
	return partner.Spec{Name: name, Title: "Acme", DedupeKey: "id", Limits: partner.Limits{Items: 8, Age: time.Hour, Timeout: 2 * time.Second, Linger: 5 * time.Millisecond}}
}

func setup(t *testing.T, change ...func(*Deps)) *world {
	t.Helper()
	dir := t.TempDir()
	opts := queue.Options{Lease: 2 * time.Second, MaxDeliveries: 4, Wait: 20 * time.Millisecond}
	open := func(name string) *sqlitedb.DB {
		db, err := sqlitedb.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	q, err := sqlitequeue.New(open("queue.db"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	keys, err := sqlitestate.New(open("state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	w := &world{
		t: t, queue: q, keys: keys,
		syncs:  &synclog{rows: map[string]event.Sync{}},
		site:   &site{partners: map[string]settings.Partner{}, pixels: map[string]settings.Pixel{"px": {ID: "px", ConsentMode: settings.Implied}}},
		server: &endpoint{taken: map[string]int{}},
	}
	srv := httptest.NewServer(w.server)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w.deps = Deps{
		Config: config.Dispatcher{
			Concurrency: 2,
			Breaker:     config.Breaker{Failures: 5, Window: 5, Delay: 200 * time.Millisecond},
			Retry:       config.Retry{Min: 20 * time.Millisecond, Max: 100 * time.Millisecond, Attempts: 10},
		},
		Limits:   config.Queue{Lease: opts.Lease, MaxDeliveries: opts.MaxDeliveries},
		Partners: map[string]config.Partner{"acme": {Endpoint: w.url}},
		Queue:    q, Inspect: q, Keys: keys, Writer: w.syncs, Settings: w.site,
		Decider: consent.New(consent.Options{}), Adapters: []partner.Adapter{acme{spec: spec("acme")}},
		Log: slog.New(slog.DiscardHandler), Metrics: metrics, Tracer: noop.NewTracerProvider().Tracer(""),
	}
	for _, c := range change {
		c(&w.deps)
	}
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.x = New(w.deps)
	if err := w.x.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	x := w.x
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		x.Stop(ctx)
	})
}

// delivery is an event that consent allows, unless changed.
func purchase(id string, change ...func(*event.Delivery)) event.Delivery {
	now := time.Now().UTC()
	d := event.Delivery{
		Partner: "acme", Permission: event.Allowed, QueuedAt: now,
		Event: event.Event{
			ID: id, PixelID: "px", Name: "purchase", Receipt: "r-" + id, Time: now, ReceivedAt: now,
			Verdict: event.Verdict{State: event.Full, Regime: "default", Rule: "R7/D1"},
			Subject: event.Subject{AnonymousID: "visitor-" + id},
			Order:   event.Order{ID: "o-" + id},
		},
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

func (w *world) push(list ...event.Delivery) {
	w.t.Helper()
	items := make([]queue.Item, len(list))
	for i, d := range list {
		body, err := json.Marshal(d)
		if err != nil {
			w.t.Fatal(err)
		}
		items[i] = queue.Item{Queue: queue.Partner(d.Partner), Body: body}
	}
	if err := w.queue.Push(w.t.Context(), items...); err != nil {
		w.t.Fatal(err)
	}
}

// until waits for something to become true.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			w.t.Fatalf("timed out: %s; the partner took %v, queues %+v", what, w.server.got(), w.stats())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (w *world) stats() map[string]queue.Stats {
	list, err := w.queue.Stats(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	m := map[string]queue.Stats{}
	for _, s := range list {
		m[s.Queue] = s
	}
	return m
}

// done waits until the partner's queue is empty.
func (w *world) done() {
	w.t.Helper()
	w.until("queue is empty", func() bool {
		s := w.stats()["s2s:acme"]
		return s.Ready+s.InFlight+s.Delayed == 0
	})
}

func (w *world) dead() []queue.DeadLetter {
	w.t.Helper()
	list, _, err := w.queue.Dead(w.t.Context(), queue.PartnerDead("acme"), "", 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) once(ids ...string) {
	w.t.Helper()
	got := w.server.got()
	for _, id := range ids {
		if got[id] != 1 {
			w.t.Errorf("the partner took %s %d times", id, got[id])
		}
	}
	if len(got) != len(ids) {
		w.t.Errorf("the partner took %v, want %v", got, ids)
	}
}

var _ state.Keys = (*sqlitestate.Store)(nil)

func (w *world) serve(h http.Handler) string {
	srv := httptest.NewServer(h)
	w.t.Cleanup(srv.Close)
	return srv.URL
}

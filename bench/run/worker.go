package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/dv360"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/worker"
)

// workerOf is what bench/worker is asked.
type workerOf struct {
	visitors, events, rounds int
	backlog                  int    // 0: the real stores are left out
	scale                    int    // profiles that few are compared with; 0: they are not
	store                    string // the only one to measure; empty: both
	profile                  string
}

// benchWorker takes events through the product's worker.
func benchWorker(ctx context.Context, of workerOf) error {
	// As the product sets it.
	debug.SetGCPercent(400)
	line := map[string]any{}
	if err := perCore(ctx, of, line); err != nil {
		return err
	}
	if of.scale > 0 {
		if err := scale(ctx, of, line); err != nil {
			return err
		}
	}
	if of.backlog > 0 {
		if err := throughput(ctx, of, line); err != nil {
			return err
		}
	}
	out, err := json.Marshal(line, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", out)
	return nil
}

// perCore is how many events a second of processor time is enough for, from the queued
// form to the partners' queues: the visitors are known to the state, which is in
// memory, and what is stored goes nowhere.
func perCore(ctx context.Context, of workerOf, line map[string]any) error {
	t := newTraffic(of.visitors, time.Now().Add(-span(of.visitors, 3*of.visitors+of.rounds*of.events)))
	keys := &memory{keys: map[string][]byte{}}
	feed := newFeed()
	w, metrics, err := startWorker(ctx, feed, keys, nothing{}, nothing{}, 1)
	if err != nil {
		return err
	}
	stop := func() error { return w.Stop(context.WithoutCancel(ctx)) }
	warm := make([]queue.Item, 0, 4*of.visitors)
	for v := range of.visitors {
		warm = append(warm, t.first(v))
	}
	for range 3 * of.visitors {
		warm = append(warm, t.next())
	}
	if err := feed.through(ctx, warm); err != nil {
		return errors.Join(err, stop())
	}
	var rates []float64
	before := metrics.steps()
	for round := range of.rounds {
		items := make([]queue.Item, of.events)
		for i := range items {
			items[i] = t.next()
		}
		runtime.GC()
		if of.profile != "" && round == of.rounds-1 {
			f, err := os.Create(of.profile)
			if err != nil {
				return errors.Join(err, stop())
			}
			defer f.Close()
			if err := pprof.StartCPUProfile(f); err != nil {
				return errors.Join(err, stop())
			}
			defer pprof.StopCPUProfile()
		}
		cpu := own()
		if err := feed.through(ctx, items); err != nil {
			return errors.Join(err, stop())
		}
		rates = append(rates, float64(len(items))/(own()-cpu).Seconds())
	}
	if err := stop(); err != nil {
		return err
	}
	fmt.Printf("\n%-14s %12s\n", "step", "us an event")
	total := 0.0
	for _, s := range metrics.since(before) {
		us := s.seconds * 1e6 / float64(of.events*of.rounds)
		total += us
		fmt.Printf("%-14s %12.2f\n", s.name, us)
		line["step_"+s.name+"_us"] = hundredths(us)
	}
	fmt.Printf("%-14s %12.2f\n", "all", total)
	line["events_per_core"] = round(median(rates))
	fmt.Printf("\n%.0f events/s a core: %.1f us of processor time an event, with the queue's messages, garbage and all\n", median(rates), 1e6/median(rates))
	return nil
}

// startWorker starts a worker with the stores it is given.
func startWorker(ctx context.Context, q queue.Queue, keys state.Keys, store archive.Archive, writer stores, concurrency int) (*worker.Worker, *stepMetrics, error) {
	registry := prometheus.NewRegistry()
	m, err := worker.NewMetrics(registry)
	if err != nil {
		return nil, nil, err
	}
	c := config.Default()
	c.Worker.Concurrency = concurrency
	w, err := worker.New(worker.Deps{
		Config: c.Worker, Limits: c.Queue, Queue: q, Keys: keys, Archive: store, Writer: writer, Receipts: writer, Credits: writer,
		People: identity.New(keys, writer, identity.Usual, nil), Book: consent.NewBook(keys, decider, []byte("seal")), Sweeper: nothing{},
		Settings: oneSite{shopSite()}, Decider: decider, Adapters: []partner.Adapter{ttd.New(), dv360.New()},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), Metrics: m, Tracer: noop.NewTracerProvider().Tracer(""),
	})
	if err != nil {
		return nil, nil, err
	}
	return w, &stepMetrics{registry}, w.Start(ctx)
}

// stores is all that is stored.
type stores interface {
	analytics.Writer
	analytics.ReceiptWriter
	analytics.CreditWriter
	analytics.IdentityWriter
}

// oneSite is the settings.
type oneSite struct{ pixel settings.Pixel }

func (s oneSite) Pixel(id string) (settings.Pixel, bool) { return s.pixel, id == s.pixel.ID }
func (oneSite) Partner(name string) settings.Partner {
	return settings.Partner{Name: name, Mode: settings.On}
}
func (oneSite) Refresh(context.Context) error { return nil }

// nothing is every store, and keeps nothing.
type nothing struct{}

func (nothing) Write(context.Context, ...event.Event) error                           { return nil }
func (nothing) Read(context.Context, archive.Filter) iter.Seq2[archive.Record, error] { return nil }
func (nothing) WriteEvents(context.Context, ...event.Event) error                     { return nil }
func (nothing) WriteMatches(context.Context, ...event.Match) error                    { return nil }
func (nothing) WriteIdentities(context.Context, ...analytics.Identity) error          { return nil }
func (nothing) WriteSyncs(context.Context, ...event.Sync) error                       { return nil }
func (nothing) WriteTouches(context.Context, ...event.Touchpoint) error               { return nil }
func (nothing) WriteCredits(context.Context, ...event.Credits) error                  { return nil }
func (nothing) WriteReceipts(context.Context, ...event.ConsentReceipt) error          { return nil }
func (nothing) Sweep(context.Context) (int, error)                                    { return 0, nil }

// memory is the state in memory.
type memory struct {
	mu   sync.Mutex
	keys map[string][]byte
}

func (m *memory) Get(_ context.Context, keys ...string) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = m.keys[k]
	}
	return out, nil
}

func (m *memory) Set(_ context.Context, entries ...state.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range entries {
		if _, there := m.keys[e.Key]; there || e.TTL != state.Kept {
			m.keys[e.Key] = e.Value
		}
	}
	return nil
}

func (m *memory) Claim(_ context.Context, entries ...state.Entry) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([][]byte, len(entries))
	for i, e := range entries {
		if held, ok := m.keys[e.Key]; ok {
			out[i] = held
			continue
		}
		m.keys[e.Key], out[i] = e.Value, e.Value
	}
	return out, nil
}

func (m *memory) Swap(ctx context.Context, old []byte, e state.Entry) (bool, error) {
	out, err := m.SwapAll(ctx, state.Change{Old: old, Entry: e})
	return err == nil && string(out[0]) == string(e.Value), err
}

func (m *memory) SwapAll(_ context.Context, changes ...state.Change) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([][]byte, len(changes))
	for i, c := range changes {
		held, ok := m.keys[c.Key]
		if ok == (c.Old != nil) && string(held) == string(c.Old) {
			held = c.Value
			m.keys[c.Key] = held
		}
		out[i] = held
	}
	return out, nil
}

func (m *memory) Delete(_ context.Context, keys ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.keys, k)
	}
	return nil
}

// feed is a queue that has what it is given, and forgets what is pushed to it.
type feed struct {
	mu    sync.Mutex
	wait  map[string][]queue.Message
	left  int
	bad   string
	given uint64
	more  chan struct{} // closed when there is more
	done  chan struct{} // closed when nothing is left
}

func newFeed() *feed {
	return &feed{wait: map[string][]queue.Message{}, more: make(chan struct{}), done: make(chan struct{})}
}

// through gives items to the worker and waits until it is done with them.
func (f *feed) through(ctx context.Context, items []queue.Item) error {
	f.mu.Lock()
	for _, it := range items {
		f.given++
		f.wait[it.Queue] = append(f.wait[it.Queue], queue.Message{ID: strconv.FormatUint(f.given, 36), Body: it.Body, Deliveries: 1, Account: it.Account})
	}
	f.left += len(items)
	f.done = make(chan struct{})
	done := f.done
	close(f.more)
	f.more = make(chan struct{})
	f.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad != "" {
		return errors.New(f.bad)
	}
	return nil
}

func (f *feed) Pull(ctx context.Context, name string, max int) ([]queue.Message, error) {
	f.mu.Lock()
	more := f.more
	if list := f.wait[name]; len(list) > 0 {
		n := min(max, len(list))
		f.wait[name] = list[n:]
		f.mu.Unlock()
		return slices.Clone(list[:n]), nil
	}
	f.mu.Unlock()
	select {
	case <-more:
	case <-ctx.Done():
	}
	return nil, nil
}

func (f *feed) end(n int, bad string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bad = cmp.Or(f.bad, bad)
	if f.left -= n; f.left == 0 {
		close(f.done)
	}
	return nil
}

func (f *feed) Settle(_ context.Context, _ string, ends ...queue.End) error {
	n := 0
	for _, e := range ends {
		n += len(e.IDs)
	}
	return f.end(n, "")
}

func (f *feed) Ack(_ context.Context, _ string, ids ...string) error { return f.end(len(ids), "") }
func (f *feed) Retry(_ context.Context, _ string, _ time.Time, ids ...string) error {
	return f.end(len(ids), "an event failed")
}
func (f *feed) Release(_ context.Context, _ string, ids ...string) error {
	return f.end(len(ids), "events were handed back")
}
func (f *feed) Bury(_ context.Context, _, reason string, ids ...string) error {
	return f.end(len(ids), "an event was buried: "+reason)
}
func (f *feed) Push(context.Context, ...queue.Item) error { return nil }

// stepMetrics reads what the worker says of its steps.
type stepMetrics struct{ registry *prometheus.Registry }

type stepTime struct {
	name    string
	seconds float64
}

func (m *stepMetrics) steps() map[string]float64 {
	out := map[string]float64{}
	families, err := m.registry.Gather()
	if err != nil {
		return out
	}
	for _, f := range families {
		if f.GetName() != "pixel_worker_step_seconds" {
			continue
		}
		for _, one := range f.GetMetric() {
			out[one.GetLabel()[0].GetValue()] = one.GetHistogram().GetSampleSum()
		}
	}
	return out
}

// since is what each step took since then, the longest first.
func (m *stepMetrics) since(before map[string]float64) []stepTime {
	var out []stepTime
	for name, s := range m.steps() {
		out = append(out, stepTime{name, s - before[name]})
	}
	slices.SortFunc(out, func(a, b stepTime) int { return cmp.Compare(b.seconds, a.seconds) })
	return out
}

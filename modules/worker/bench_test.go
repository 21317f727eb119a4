package worker

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"testing"
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
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// nothing is every store, and keeps nothing: what is left is our own cost.
type nothing struct{}

func (nothing) Push(context.Context, ...queue.Item) error                  { return nil }
func (nothing) Pull(context.Context, string, int) ([]queue.Message, error) { return nil, nil }
func (nothing) Ack(context.Context, string, ...string) error               { return nil }
func (nothing) Settle(context.Context, string, ...queue.End) error         { return nil }
func (nothing) Retry(context.Context, string, time.Time, ...string) error  { return nil }
func (nothing) Release(context.Context, string, ...string) error           { return nil }
func (nothing) Bury(context.Context, string, string, ...string) error      { return nil }
func (nothing) Get(_ context.Context, keys ...string) ([][]byte, error) {
	return make([][]byte, len(keys)), nil
}
func (nothing) Set(context.Context, ...state.Entry) error               { return nil }
func (nothing) Swap(context.Context, []byte, state.Entry) (bool, error) { return true, nil }
func (nothing) SwapAll(_ context.Context, changes ...state.Change) ([][]byte, error) {
	out := make([][]byte, len(changes))
	for i, c := range changes {
		out[i] = c.Value
	}
	return out, nil
}
func (nothing) Delete(context.Context, ...string) error                               { return nil }
func (nothing) Write(context.Context, ...event.Event) error                           { return nil }
func (nothing) Read(context.Context, archive.Filter) iter.Seq2[archive.Record, error] { return nil }
func (nothing) WriteEvents(context.Context, ...event.Event) error                     { return nil }
func (nothing) WriteMatches(context.Context, ...event.Match) error                    { return nil }
func (nothing) WriteIdentities(context.Context, ...analytics.Identity) error          { return nil }
func (nothing) WriteSyncs(context.Context, ...event.Sync) error                       { return nil }
func (nothing) WriteTouches(context.Context, ...event.Touchpoint) error               { return nil }
func (nothing) WriteCredits(context.Context, ...event.Credits) error                  { return nil }
func (nothing) WriteReceipts(context.Context, ...event.ConsentReceipt) error          { return nil }
func (nothing) Claim(_ context.Context, entries ...state.Entry) ([][]byte, error) {
	out := make([][]byte, len(entries))
	for i, e := range entries {
		out[i] = e.Value
	}
	return out, nil
}

// BenchmarkSteps is decode to encode of a batch of 256 with the stores left out,
// one route for each event.
func BenchmarkSteps(b *testing.B) {
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	w, err := New(Deps{
		Config: config.Worker{DedupeTTL: time.Hour}, Queue: nothing{}, Keys: nothing{}, Archive: nothing{}, Writer: nothing{},
		Receipts: nothing{}, Credits: nothing{}, People: identity.New(nothing{}, nothing{}, identity.Usual, nil), Book: consent.NewBook(nothing{}, consent.New(consent.Options{}), []byte("seal")),
		Settings: &site{partners: map[string]settings.Mode{}, pixels: map[string]settings.Pixel{"px": {
			ID: "px", ConsentMode: settings.Implied, Routes: []settings.Route{{Partner: "acme", Event: "purchase", Enabled: true}},
		}}},
		Decider: consent.New(consent.Options{}), Adapters: []partner.Adapter{acme{"acme"}},
		Log: slog.New(slog.DiscardHandler), Metrics: m, Tracer: noop.NewTracerProvider().Tracer(""),
	})
	if err != nil {
		b.Fatal(err)
	}
	w.running = b.Context()
	messages := make([]queue.Message, 256)
	for i := range messages {
		body, err := json.Marshal(purchase(fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		messages[i] = queue.Message{ID: fmt.Sprint(i), Body: body}
	}
	took := map[string]time.Duration{}
	for i, s := range w.steps {
		w.steps[i].do = func(ctx context.Context, batch *batch) error {
			start := time.Now()
			defer func() { took[s.name] += time.Since(start) }()
			return s.do(ctx, batch)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if f := w.process("ingest:high", messages, time.Now().Add(w.limit())); f != nil {
			b.Fatal(f)
		}
	}
	events := float64(b.N * len(messages))
	b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
	for name, d := range took {
		b.ReportMetric(float64(d.Nanoseconds())/events, name+"_ns/event")
	}
}

package worker

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/logbook"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/enrich"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/geo"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/purge"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Module runs the worker.
var Module = fx.Module("worker", fx.Provide(credits), fx.Invoke(run))

// credits are what backfills give anew.
func credits(keys state.Store, w analytics.CreditWriter, rows analytics.IdentityWriter, people *identity.Graph) backfill.Crediter {
	return &recredit{keys: keys, writer: w, rows: rows, people: people}
}

// Params are what the worker needs of the rest.
type Params struct {
	fx.In

	Lifecycle  fx.Lifecycle
	Config     config.Worker
	Limits     config.Queue
	Geo        config.Geo
	Currency   config.Currency
	Queue      queue.Queue
	Keys       state.Keys
	Archive    archive.Archive
	Writer     analytics.Writer
	Receipts   analytics.ReceiptWriter
	Credits    analytics.CreditWriter
	Given      analytics.CreditReader
	People     *identity.Graph
	Book       *consent.Book
	Queues     queue.Inspector
	Settings   *settings.Store
	Decider    *consent.Decider
	Adapters   []partner.Adapter `group:"adapters"`
	Erasures   *erasure.Book
	Finder     erasure.Finder
	Eraser     analytics.Eraser
	Expirer    analytics.Expirer `optional:"true"`
	Upkeep     archive.Upkeep
	Lines      *logbook.Book      `optional:"true"`
	Scrub      []erasure.Scrubber `group:"scrub,soft"`
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Tracer     trace.TracerProvider
}

func run(p Params) error {
	m, err := NewMetrics(p.Registerer)
	if err != nil {
		return err
	}
	files, err := geo.Open(p.Geo, p.Log.With("component", "geo"), p.Registerer)
	if err != nil {
		return err
	}
	enricher, err := enrich.New(enrich.Options{Geo: files, Currency: p.Currency, Metrics: p.Registerer})
	if err != nil {
		return err
	}
	sweeper := &purge.Sweeper{Queues: p.Queues, Keys: p.Keys, Syncs: p.Writer, Now: time.Now}
	w, err := New(Deps{
		Config: p.Config, Limits: p.Limits, Queue: p.Queue, Keys: p.Keys, Archive: p.Archive, Writer: p.Writer,
		Receipts: p.Receipts, Credits: p.Credits, People: p.People, Book: p.Book,
		Driven: &attribution.Runner{
			Job: attribution.Job{Reader: p.Given, Writer: p.Credits}, Keys: p.Keys, Pixels: pixels(p.Settings),
			Log: p.Log.With("component", "attribution"), Now: time.Now,
		},
		Sweeper:  sweeper,
		Settings: p.Settings, Decider: p.Decider, Adapters: p.Adapters, Enricher: enricher,
		Log: p.Log.With("component", "worker"), Metrics: m, Tracer: p.Tracer.Tracer("worker"),
	})
	if err != nil {
		return err
	}
	p.Lifecycle.Append(fx.StartStopHook(files.Start, files.Stop))
	p.Lifecycle.Append(fx.StartStopHook(w.Start, w.Stop))
	var lines erasure.Log
	if p.Lines != nil {
		lines = p.Lines
	}
	eraser := erasure.NewRunner(p.Erasures, erasure.Stores{
		Queues: sweeper, Keys: p.Keys, Consent: p.Book, Receipts: p.Receipts, Forget: memories(p.People, p.Keys),
		Archive: p.Upkeep, Log: lines, Finder: p.Finder, Erase: p.Eraser, Scrub: p.Scrub,
	}, p.Log.With("component", "erasure"))
	p.Lifecycle.Append(fx.StartStopHook(eraser.Start, eraser.Stop))
	if p.Expirer != nil {
		r := &erasure.Retention{Expirer: p.Expirer, Keys: p.Keys, Pixels: p.Settings.Pixels, Log: p.Log.With("component", "retention"), Now: time.Now}
		p.Lifecycle.Append(fx.StartStopHook(r.Start, r.Stop))
	}
	return nil
}

// pixels are the ids of all there are at the time.
func pixels(s *settings.Store) func() []string {
	return func() []string {
		var ids []string
		for _, p := range s.Pixels() {
			ids = append(ids, p.ID)
		}
		return ids
	}
}

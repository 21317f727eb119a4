package backfill

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/logbook"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/enrich"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Module works on backfills.
var Module = fx.Module("backfill", fx.Invoke(run))

// Params are what a runner needs.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	State     state.Store
	Archive   archive.Archive
	Upkeep    archive.Upkeep
	Writer    analytics.Writer
	Receipts  analytics.ReceiptWriter
	Lines     *logbook.Book `optional:"true"`
	Credits   Crediter
	Queue     queue.Queue
	Settings  *settings.Store
	Decider   *consent.Decider
	Adapters  []partner.Adapter `group:"adapters"`
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

func run(p Params) error {
	enricher, err := enrich.New(enrich.Options{})
	if err != nil {
		return err
	}
	var log Log
	if p.Lines != nil {
		log = p.Lines
	}
	r, err := NewRunner(Deps{
		Docs: p.State, Keys: p.State, Archive: p.Archive, Upkeep: p.Upkeep, Writer: p.Writer, Receipts: p.Receipts, Lines: log, Credits: p.Credits, Push: p.Queue.Push,
		Settings: p.Settings, Decider: p.Decider, Adapters: p.Adapters, Enricher: enricher,
		Log: p.Log.With("component", "backfill"), Metrics: p.Metrics, Now: time.Now,
	})
	if err != nil {
		return err
	}
	p.Lifecycle.Append(fx.StartStopHook(r.Start, r.Stop))
	return nil
}

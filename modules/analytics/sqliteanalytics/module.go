package sqliteanalytics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Module keeps events and the sync log in the embedded store.
var Module = fx.Module("sqliteanalytics", fx.Provide(provide))

// Params are what the store needs.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	DB        *sqlitedb.DB `name:"analytics_db"`
	Log       *slog.Logger
}

// Result is what the store offers.
type Result struct {
	fx.Out

	Store         analytics.Store
	Writer        analytics.Writer
	Reader        analytics.Reader
	ReceiptWriter analytics.ReceiptWriter
	ReceiptReader analytics.ReceiptReader
	Identities    analytics.IdentityWriter
	CreditWriter  analytics.CreditWriter
	CreditReader  analytics.CreditReader
	Eraser        analytics.Eraser
	Expirer       analytics.Expirer
	History       analytics.History
	Health        health.Check `group:"health"`
}

// mendEvery is how often it is looked for events whose columns were taken away.
const mendEvery = time.Minute

func provide(p Params) (Result, error) {
	s, err := New(p.DB)
	if err != nil {
		return Result{}, err
	}
	// What an older version stored is rolled up while everything else runs; and what
	// erasures took apart is put together again. Meanwhile what reports keep in memory is read.
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	p.Lifecycle.Append(fx.StartStopHook(func() {
		running.Go(func() { s.warmAll(ctx, p.Log) })
		running.Go(func() {
			if err := s.CatchUp(ctx); err != nil && ctx.Err() == nil {
				p.Log.Warn("stored events could not all be rolled up; reports count them one by one", "error", err)
			}
			for tick := time.NewTicker(mendEvery); ctx.Err() == nil; {
				if err := s.Mend(ctx); err != nil && ctx.Err() == nil {
					p.Log.Warn("the columns of stored events could not be made anew; reports count those one by one", "error", err)
				}
				if err := s.warm(ctx); err != nil && ctx.Err() == nil {
					p.Log.Warn("the sync log could not be read into memory; the first report waits for it", "error", err)
				}
				select {
				case <-ctx.Done():
					tick.Stop()
				case <-tick.C:
				}
			}
		})
	}, func() {
		stop()
		running.Wait()
		s.Stop()
	}))
	return Result{Store: s, Writer: s, Reader: s, ReceiptWriter: s, ReceiptReader: s, Identities: s, CreditWriter: s, CreditReader: s, Eraser: s, Expirer: s, History: s, Health: health.Check{Name: "analytics", Check: s.Check, Behind: true}}, nil
}

// warmAll reads what reports keep in memory before somebody asks for it, the sync log first,
// which takes longest.
func (s *Store) warmAll(ctx context.Context, log *slog.Logger) {
	for _, w := range []struct {
		what string
		read func(context.Context) error
	}{{"the sync log", s.warm}, {"credits", s.warmCredits}, {"matches", s.warmMatches}} {
		if err := w.read(ctx); err != nil && ctx.Err() == nil {
			log.Warn("what reports are made from could not be read into memory; the first report waits for it", "what", w.what, "error", err)
		}
	}
}

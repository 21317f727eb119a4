package watch

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue"
)

// Module watches whatever roles run here.
var Module = fx.Module("watch", fx.Invoke(run))

// Params are what it needs. The checks are soft: it asks after what was built, and
// builds nothing for the sake of asking.
type Params struct {
	fx.In

	Lifecycle    fx.Lifecycle
	Queues       queue.Inspector
	Checks       []health.Check `group:"health,soft"`
	Certificates []Certificate
	Log          *slog.Logger
	Metrics      prometheus.Registerer
}

func run(p Params) error {
	w, err := New(Options{
		Queues: p.Queues, Checks: p.Checks, Certificates: p.Certificates,
		Log: p.Log.With("component", "watch"), Metrics: p.Metrics,
	})
	if err != nil {
		return err
	}
	p.Lifecycle.Append(fx.StartStopHook(w.Start, w.Stop))
	return nil
}

package pressure

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/queue"
)

// Module gives the collector its gauge.
var Module = fx.Module("pressure", fx.Provide(provide))

type params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Config    config.Collector
	Queues    queue.Inspector
	Room      queue.Room `optional:"true"`
	Spill     queue.Room `name:"spill" optional:"true"`
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

func provide(p params) *Gauge {
	stores := map[string]Store{}
	if p.Room != nil {
		stores["memory"] = Store{p.Room, p.Config.Overload.Memory}
	}
	if p.Spill != nil {
		stores["spill"] = Store{p.Spill, 1}
	}
	g := New(Options{
		Limits: Limits{Depth: p.Config.Overload.Depth, Age: p.Config.Overload.Age, Refusals: p.Config.Overload.Refusals},
		Queues: p.Queues, Stores: stores,
		Log: p.Log.With("component", "pressure"), Metrics: p.Metrics,
	})
	p.Lifecycle.Append(fx.StartStopHook(g.Start, g.Stop))
	return g
}

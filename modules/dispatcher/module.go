package dispatcher

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Module runs the dispatcher.
var Module = fx.Module("dispatcher", fx.Invoke(run))

// Params are what the dispatcher needs of the rest.
type Params struct {
	fx.In

	Lifecycle  fx.Lifecycle
	Config     config.Dispatcher
	Limits     config.Queue
	Partners   map[string]config.Partner
	Queue      queue.Queue
	Inspect    queue.Inspector
	Keys       state.Keys
	Writer     analytics.Writer
	Settings   *settings.Store
	Decider    *consent.Decider
	Vault      *delivery.Vault
	Adapters   []partner.Adapter `group:"adapters"`
	Log        *slog.Logger
	Registerer prometheus.Registerer
	Tracer     trace.TracerProvider
}

func run(p Params) error {
	m, err := NewMetrics(p.Registerer)
	if err != nil {
		return err
	}
	x := New(Deps{
		Config: p.Config, Limits: p.Limits, Partners: p.Partners, Queue: p.Queue, Inspect: p.Inspect, Keys: p.Keys, Writer: p.Writer,
		Settings: p.Settings, Decider: p.Decider, Vault: p.Vault, Adapters: p.Adapters,
		Log: p.Log.With("component", "dispatcher"), Metrics: m, Tracer: p.Tracer.Tracer("dispatcher"),
	})
	p.Lifecycle.Append(fx.StartStopHook(x.Start, x.Stop))
	return nil
}

package ratelimit

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/secret"
)

// Module gives the collector its limits.
var Module = fx.Module("ratelimit", fx.Provide(provide))

type params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Config    config.Collector
	Shared    Shared `optional:"true"`
	Box       *secret.Box
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

func provide(p params) (*Doors, error) {
	salt, err := p.Box.Derive("addresses whose rate is limited")
	if err != nil {
		return nil, err
	}
	d, err := NewDoors(Options{Config: p.Config.Rate, Shared: p.Shared, Salt: salt, Log: p.Log.With("component", "ratelimit"), Metrics: p.Metrics})
	if err != nil {
		return nil, err
	}
	p.Lifecycle.Append(fx.StartStopHook(d.Start, d.Stop))
	return d, nil
}

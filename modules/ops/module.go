package ops

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/httpserver"
)

// Module serves the operators of whatever roles run here.
var Module = fx.Module("ops", fx.Provide(provide), fx.Invoke(func(*Ops) {}))

// Ops is the running server.
type Ops struct{ *httpserver.Server }

// Params are what it needs. The checks are soft: it asks after what was built,
// and builds nothing for the sake of asking.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Config    config.Ops
	Checks    []health.Check `group:"health,soft"`
	Leaving   *health.Leaving
	Log       *slog.Logger
	Metrics   prometheus.Gatherer
	Level     *slog.LevelVar `optional:"true"`
}

func provide(p Params) *Ops {
	e := httpserver.New(httpserver.Options{Name: "ops", Log: p.Log, Checks: p.Checks, Leaving: p.Leaving, Detailed: true})
	Routes(e, p.Metrics)
	if p.Level != nil {
		l := newLevel(p.Level, p.Log)
		l.routes(e)
		p.Lifecycle.Append(fx.StopHook(l.stop))
	}
	s := httpserver.NewServer(e, "ops.addr", p.Config.Addr, p.Log)
	p.Lifecycle.Append(fx.StartStopHook(s.Start, s.Stop))
	return &Ops{s}
}

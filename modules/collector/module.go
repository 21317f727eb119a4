package collector

import (
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/pressure"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/ratelimit"
	"github.com/miq/pixel/modules/sampling"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/sdk"
)

// Module runs the collector.
var Module = fx.Module("collector", fx.Provide(provide), fx.Invoke(func(*Collector) {}))

// Params are what the collector needs of the program. The checks are soft: what
// this process did not build cannot keep it from being ready.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Config    config.Collector
	Who       config.Consent
	OTel      config.OTel
	Settings  *settings.Store
	Queue     queue.Pusher
	Consent   *consent.Decider
	Book      *consent.Book
	Box       *secret.Box
	Log       *slog.Logger
	Metrics   prometheus.Registerer
	Traces    trace.TracerProvider
	Pressure  *pressure.Gauge
	Rate      *ratelimit.Doors
	Checks    []health.Check `group:"health,soft"`
	Leaving   *health.Leaving
}

func provide(p Params) (*Collector, error) {
	o := Options{
		Config: p.Config, VendorID: p.Who.VendorID,
		Pixels: p.Settings, Queue: p.Queue, Consent: p.Consent, Book: p.Book,
		Salt: salts(p.Box),
		Tag:  Tag{Version: sdk.Version, Script: sdk.Script(), Module: sdk.Module(), Types: sdk.Types(), Parts: sdk.Parts()},
		Log:  p.Log.With("component", "collector"), Metrics: p.Metrics,
		Tracer: p.Traces.Tracer("github.com/miq/pixel/modules/collector"),
		Checks: health.Door(p.Checks), Leaving: p.Leaving, Pressure: p.Pressure, Rate: p.Rate,
	}
	if p.OTel.Endpoint != "" {
		o.Traced, o.Outside = p.OTel.Tag, sampling.NewOutside(p.OTel.Outside)
	}
	c, err := New(o)
	if err != nil {
		return nil, err
	}
	p.Lifecycle.Append(fx.StartStopHook(c.Start, c.Stop))
	return c, nil
}

// salts derives a secret for each pixel, the same on every replica and after
// every start. Only pixels that exist are asked for, so the memory is bounded.
func salts(box *secret.Box) func(string) []byte {
	var known sync.Map
	return func(pixel string) []byte {
		if salt, ok := known.Load(pixel); ok {
			return salt.([]byte)
		}
		salt, err := box.Derive("order ids of pixel " + pixel)
		if err != nil {
			return nil // then order ids are dropped
		}
		known.Store(pixel, salt)
		return salt
	}
}

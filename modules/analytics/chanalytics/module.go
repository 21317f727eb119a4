package chanalytics

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/health"
)

// Module keeps events and the sync log in ClickHouse.
var Module = fx.Module("chanalytics", fx.Provide(provide))

// Params are what the store needs.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Config    config.ClickHouse
	Keep      Keep
	Log       *slog.Logger
	Metrics   prometheus.Registerer
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
	Health        health.Check     `group:"health"`
	Scrubber      erasure.Scrubber `group:"scrub"`
}

func provide(p Params) (Result, error) {
	s, err := New(p.Config, p.Keep, p.Log.With("component", "clickhouse"), NewMetrics(p.Metrics))
	if err != nil {
		return Result{}, err
	}
	p.Lifecycle.Append(fx.StartStopHook(s.Start, func(context.Context) error { return s.Stop() }))
	return Result{Store: s, Writer: s, Reader: s, ReceiptWriter: s, ReceiptReader: s, Identities: s, CreditWriter: s, CreditReader: s, Eraser: s, Expirer: s, History: s, Scrubber: s, Health: health.Check{Name: "clickhouse", Check: s.Check, Behind: true}}, nil
}

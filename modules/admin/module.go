package admin

import (
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Module runs the console.
var Module = fx.Module("admin", fx.Provide(provide), fx.Invoke(func(*Admin) {}))

// Params are what the console asks of the program.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Config    config.Admin
	Collector config.Collector
	Partners  map[string]config.Partner
	Settings  *settings.Store
	Box       *secret.Box
	Vault     *delivery.Vault
	State     state.Store
	Events    analytics.Reader
	Receipts  analytics.ReceiptReader
	Credits   analytics.CreditReader
	History   analytics.History
	People    *identity.Graph
	Erasures  *erasure.Book
	Finder    erasure.Finder
	Eraser    analytics.Eraser
	Book      *consent.Book
	Decider   *consent.Decider
	Queues    queue.Inspector
	Queue     queue.Queue
	Ledger    *ledger.Keeper
	Adapters  []partner.Adapter `group:"adapters"`
	Checks    []health.Check    `group:"health,soft"`
	Leaving   *health.Leaving
	Process   settings.Process
	Tracing   trace.TracerProvider
	Metrics   prometheus.Registerer
	Log       *slog.Logger
	// Out is where people look on a first start; logs go elsewhere.
	Out io.Writer `name:"stdout"`
}

func provide(p Params) (*Admin, error) {
	a, err := New(Options{
		Config: p.Config, Collector: p.Collector, Partners: p.Partners,
		Settings: p.Settings, Box: p.Box, Vault: p.Vault, State: p.State, Events: p.Events, Receipts: p.Receipts, Credits: p.Credits, History: p.History, People: p.People, Book: p.Book, Erasures: p.Erasures, Finder: p.Finder, Eraser: p.Eraser, Decider: p.Decider, Queues: p.Queues, Push: p.Queue.Push, Ledger: p.Ledger, Adapters: p.Adapters,
		Checks: p.Checks, Leaving: p.Leaving, Build: p.Process.Version + " " + p.Process.Commit, Tracer: p.Tracing.Tracer("admin"), Metrics: p.Metrics, Log: p.Log,
		Out: p.Out,
	})
	if err != nil {
		return nil, err
	}
	p.Lifecycle.Append(fx.StartStopHook(a.Start, a.Stop))
	return a, nil
}

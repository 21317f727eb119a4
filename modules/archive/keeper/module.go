package keeper

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Module looks after the archive.
var Module = fx.Module("archivekeeper", fx.Invoke(run))

// Params are what the keeper needs.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Config    config.Archive
	Upkeep    archive.Upkeep
	Keys      state.Keys
	Settings  *settings.Store
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

func run(p Params) error {
	k, err := New(p.Config, p.Upkeep, p.Keys, p.Settings, p.Log.With("component", "archive"), p.Metrics, time.Now)
	if err != nil {
		return err
	}
	p.Lifecycle.Append(fx.StartStopHook(k.Start, k.Stop))
	return nil
}

package s3archive

import (
	"context"
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/health"
)

// Module keeps the archive in a bucket.
var Module = fx.Module("s3archive", fx.Provide(provide))

// Params are what the archive needs.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Config    config.Archive
	Metrics   *lake.Metrics
}

// Result is what the archive offers.
type Result struct {
	fx.Out

	Archive archive.Archive
	Upkeep  archive.Upkeep
	Health  health.Check `group:"health"`
}

func provide(p Params) (Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, b, err := New(ctx, p.Config, lake.Options{Observe: p.Metrics.Observe})
	if err != nil {
		return Result{}, err
	}
	p.Lifecycle.Append(fx.StopHook(l.Close))
	return Result{Archive: l, Upkeep: l, Health: health.Check{Name: "archive", Check: b.Check}}, nil
}

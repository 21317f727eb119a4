package s3archive

import (
	"context"
	"strings"
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/archive/logbook"
	"github.com/miq/pixel/modules/health"
)

// Module keeps the archive in a bucket.
var Module = fx.Module("s3archive", fx.Provide(provide))

// Log keeps the logbook beside it.
var Log = fx.Module("s3log", fx.Provide(provideLog))

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
	return Result{Archive: l, Upkeep: l, Health: health.Check{Name: "archive", Check: b.Check, Behind: true}}, nil
}

func provideLog(p Params) (*logbook.Book, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.Config.URL = strings.TrimSuffix(p.Config.URL, "/") + "/" + logbook.Folder
	l, _, err := New(ctx, p.Config, lake.Options{Observe: p.Metrics.Observe})
	if err != nil {
		return nil, err
	}
	p.Lifecycle.Append(fx.StopHook(l.Close))
	return logbook.New(l), nil
}

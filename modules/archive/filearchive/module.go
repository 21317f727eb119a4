package filearchive

import (
	"path/filepath"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/archive/logbook"
	"github.com/miq/pixel/modules/health"
)

// Dir is the archive's folder.
type Dir string

// Module keeps the archive in a folder.
var Module = fx.Module("filearchive", fx.Provide(provide))

// Log keeps the logbook beside it.
var Log = fx.Module("filelog", fx.Provide(provideLog))

// Params are what the archive needs.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Dir       Dir
	Metrics   *lake.Metrics `optional:"true"`
}

// Result is what the archive offers.
type Result struct {
	fx.Out

	Archive archive.Archive
	Upkeep  archive.Upkeep
	Health  health.Check `group:"health"`
}

func provide(p Params) (Result, error) {
	l, f, err := New(string(p.Dir), lake.Options{Observe: p.Metrics.Observe})
	if err != nil {
		return Result{}, err
	}
	p.Lifecycle.Append(fx.StopHook(l.Close))
	return Result{Archive: l, Upkeep: l, Health: health.Check{Name: "archive", Check: f.Check, Behind: true}}, nil
}

func provideLog(p Params) (*logbook.Book, error) {
	l, _, err := New(filepath.Join(string(p.Dir), logbook.Folder), lake.Options{Observe: p.Metrics.Observe})
	if err != nil {
		return nil, err
	}
	p.Lifecycle.Append(fx.StopHook(l.Close))
	return logbook.New(l), nil
}

package filearchive

import (
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/health"
)

// Dir is the archive's folder.
type Dir string

// Module keeps the archive in a folder.
var Module = fx.Module("filearchive", fx.Provide(provide))

// Params are what the archive needs.
type Params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Dir       Dir
}

// Result is what the archive offers.
type Result struct {
	fx.Out

	Archive archive.Archive
	Health  health.Check `group:"health"`
}

func provide(p Params) (Result, error) {
	a, err := New(string(p.Dir), Options{})
	if err != nil {
		return Result{}, err
	}
	p.Lifecycle.Append(fx.StopHook(a.Close))
	return Result{Archive: a, Health: health.Check{Name: "archive", Check: a.Check}}, nil
}

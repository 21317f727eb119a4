package filearchive

import (
	"path/filepath"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/health"
)

func TestTheModuleOffersTheArchiveAndItsHealthAndClosesIt(t *testing.T) {
	var in struct {
		fx.In

		Archive archive.Archive
		Upkeep  archive.Upkeep
		Checks  []health.Check `group:"health"`
	}
	app := fxtest.New(t, Module, fx.Supply(Dir(filepath.Join(t.TempDir(), "archive"))), fx.Populate(&in)).RequireStart()
	if len(in.Checks) != 1 || in.Checks[0].Name != "archive" {
		t.Fatalf("got %+v", in)
	}
	if err := in.Checks[0].Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := in.Archive.Write(t.Context(), record("e")); err != nil {
		t.Error(err)
	}
	app.RequireStop()
	if err := in.Archive.Write(t.Context(), record("f")); err == nil {
		t.Errorf("after the stop: %v", err)
	}
}

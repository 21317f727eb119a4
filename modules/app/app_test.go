package app

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/miq/pixel/config"
)

func settingsFor(t *testing.T, flags map[string]string) config.Config {
	t.Helper()
	all := map[string]string{"data_dir": t.TempDir(), "collector.addr": "127.0.0.1:0", "admin.addr": "127.0.0.1:0", "ops.addr": "127.0.0.1:0"}
	for k, v := range flags {
		all[k] = v
	}
	c, err := config.Load(config.Sources{Flags: all})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const someKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

func TestEveryRoleIsWiredOnEveryBackend(t *testing.T) {
	for _, role := range []string{"collector", "worker", "dispatcher", "admin", "collector,worker", "all"} {
		for name, flags := range map[string]map[string]string{
			"embedded": {"role": role},
			"redis":    {"role": role, "redis.url": "redis://127.0.0.1:1", "secret_key": someKey},
		} {
			t.Run(role+" on "+name, func(t *testing.T) {
				if err := fx.ValidateApp(options(settingsFor(t, flags), slog.New(slog.DiscardHandler), io.Discard)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestALoneCollectorOpensNoAnalyticsStoreAndNoArchive(t *testing.T) {
	c := settingsFor(t, map[string]string{"role": "collector"})
	a := fxtest.New(t, options(c, slog.New(slog.NewTextHandler(io.Discard, nil)), io.Discard))
	a.RequireStart()
	a.RequireStop()
	for _, name := range []string{"analytics.db", "archive"} {
		if _, err := os.Stat(filepath.Join(c.DataDir, name)); err == nil {
			t.Errorf("it opened %s", name)
		}
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, "queue.db")); err != nil {
		t.Errorf("it opened no queue: %v", err)
	}
}

func TestASecondProcessOnTheSameFolderIsRefusedInWords(t *testing.T) {
	c := settingsFor(t, nil)
	first := fxtest.New(t, options(c, slog.New(slog.DiscardHandler), io.Discard))
	first.RequireStart()
	defer first.RequireStop()
	err := fx.New(options(c, slog.New(slog.DiscardHandler), io.Discard), fx.NopLogger).Err()
	if err == nil || !strings.Contains(err.Error(), "another pixel process uses") {
		t.Errorf("err = %v", err)
	}
}

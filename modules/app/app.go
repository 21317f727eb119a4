// Package app is the wiring: the one place that knows the whole program. It
// offers every role everything, and fx builds only what somebody asks for, so a
// lone collector never opens the analytics store.
package app

import (
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/admin"
	"github.com/miq/pixel/modules/archive/keeper"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/build"
	"github.com/miq/pixel/modules/collector"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/dispatcher"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/ops"
	"github.com/miq/pixel/modules/pressure"
	"github.com/miq/pixel/modules/ratelimit"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/watch"
	"github.com/miq/pixel/modules/worker"
)

// roles run in this order and stop in the reverse one: the console and the
// collector close their doors first, then what they took in drains downstream.
var roles = []struct {
	name   string
	module fx.Option
}{
	{"dispatcher", dispatcher.Module},
	{"worker", fx.Options(worker.Module, keeper.Module, backfill.Module)},
	{"collector", collector.Module},
	{"admin", admin.Module},
}

// New returns the program for a configuration that was checked; out is where it
// tells people what they must know at a first start. Extra options are for
// commands that need more than the roles.
func New(c config.Config, log *slog.Logger, out io.Writer, extra ...fx.Option) *fx.App {
	return fx.New(options(c, log, out), fx.Options(extra...))
}

func options(c config.Config, log *slog.Logger, out io.Writer) fx.Option {
	wanted := map[string]bool{}
	for _, name := range c.Roles() {
		wanted[name] = true
	}
	all := []fx.Option{
		fx.Supply(log, &health.Leaving{}),
		fx.Provide(fx.Annotate(func() io.Writer { return out }, fx.ResultTags(`name:"stdout"`))),
		fx.WithLogger(func() fxevent.Logger {
			l := &fxevent.SlogLogger{Logger: log.With("component", "fx")}
			l.UseLogLevel(slog.LevelDebug)
			// What fails is returned, and told once in plain words.
			l.UseErrorLevel(slog.LevelDebug)
			return l
		}),
		fx.StopTimeout(c.ShutdownTimeout),
		sections(c),
		telemetry(c),
		storage(c),
		partners,
		fx.Provide(delivery.NewVault),
		fx.Supply(certificates(c)),
		settings.Module,
		consent.Module,
		erasure.Module,
		identity.Module,
		ledger.Module,
		pressure.Module,
		ratelimit.Module,
	}
	for _, r := range roles {
		if wanted[r.name] {
			all = append(all, r.module)
		}
	}
	// These ask for the health of whatever was built, so they come last.
	return fx.Options(append(all, watch.Module, ops.Module, leaving(c))...)
}

// sections gives each module its own part of the configuration.
func sections(c config.Config) fx.Option {
	partners := make(map[string]config.Partner, len(c.Partners))
	for name, p := range c.Partners {
		partners[name] = *p
	}
	host, err := os.Hostname()
	if err != nil {
		host = "pixel"
	}
	process := settings.Process{
		Instance: host + "-" + strings.ToLower(rand.Text()[:6]), Roles: strings.Join(c.Roles(), ","),
		Version: build.Version, Commit: build.Commit(), Since: time.Now().UTC().Truncate(time.Second),
	}
	return fx.Supply(process, c.Collector, c.Worker, c.Identity, c.Dispatcher, c.Admin, c.Ops, c.Queue, c.Consent, c.Archive, c.Geo, c.Currency, c.OTel, partners)
}

package app

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/health"
)

// leaving comes after every module, so that its hook is the first of a stop: for
// drain_delay the process says on /readyz that it is going, and does all it ever did.
func leaving(c config.Config) fx.Option {
	return fx.Invoke(func(lc fx.Lifecycle, l *health.Leaving, log *slog.Logger) {
		lc.Append(fx.StopHook(func(ctx context.Context) {
			l.Begin()
			roles := c.Roles()
			if c.DrainDelay == 0 || !slices.Contains(roles, "collector") && !slices.Contains(roles, "admin") {
				return // nobody sends requests here
			}
			log.Info("leaving: not ready any more, and still serving", "for", c.DrainDelay)
			select {
			case <-ctx.Done():
			case <-time.After(c.DrainDelay):
			}
		}))
	})
}

package settings

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/state"
)

// Module keeps the settings fresh for whatever roles run here.
var Module = fx.Module("settings", fx.Provide(provide))

func provide(lc fx.Lifecycle, docs state.Documents, box *secret.Box, log *slog.Logger) *Store {
	s := New(docs, box, log)
	lc.Append(fx.StartStopHook(s.Start, s.Stop))
	return s
}

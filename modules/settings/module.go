package settings

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/state"
)

// Module keeps the settings fresh for whatever roles run here, and tells the other
// processes which are in force.
var Module = fx.Module("settings", fx.Provide(provide))

// Process is how this one is named in receipts.
type Process struct{ Instance, Roles string }

func provide(lc fx.Lifecycle, docs state.Documents, keys state.Keys, box *secret.Box, p Process, log *slog.Logger) *Store {
	s := New(docs, box, log)
	a := s.Announcer(keys, p.Instance, p.Roles, log)
	lc.Append(fx.StartStopHook(s.Start, s.Stop))
	lc.Append(fx.StartStopHook(a.Start, a.Stop))
	return s
}

package settings

import (
	"log/slog"
	"time"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/state"
)

// Module keeps the settings fresh for whatever roles run here, and tells the other
// processes which are in force.
var Module = fx.Module("settings", fx.Provide(provide))

// Process is how this one is named in receipts.
type Process struct {
	Instance, Roles string
	Version, Commit string
	Since           time.Time // when it started
	// Ahead tells of its clock; nil: there is none to compare it with.
	Ahead Ahead
	// Spill tells what waits on its own disk; nil: it has none for that.
	Spill Spill
}

// Spill looks at what waits on this process's disk; nil if that cannot be told.
type Spill func() *Spilled

// Ahead is by how much a clock is ahead of the one that all processes share, once
// that is known.
type Ahead func() (offset time.Duration, known bool)

type params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Docs      state.Documents
	Keys      state.Keys
	Box       *secret.Box
	Process   Process
	Ahead     Ahead `optional:"true"`
	Spill     Spill `optional:"true"`
	Copy      Copy  `optional:"true"`
	Log       *slog.Logger
}

func provide(p params) *Store {
	s := WithCopy(p.Docs, p.Box, p.Log, p.Copy)
	p.Process.Ahead, p.Process.Spill = p.Ahead, p.Spill
	a := s.Announcer(p.Keys, p.Process, p.Log)
	p.Lifecycle.Append(fx.StartStopHook(s.Start, s.Stop))
	p.Lifecycle.Append(fx.StartStopHook(a.Start, a.Stop))
	return s
}

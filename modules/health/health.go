// Package health says what must work before a process is ready.
package health

import (
	"context"
	"sync/atomic"
)

// Check is one thing that a role depends on. Check returns nil while it works,
// and otherwise an error that an operator can act on.
type Check struct {
	Name  string
	Check func(context.Context) error
}

// Warning is an error of a check that leaves the process ready: something that an
// operator should mend, though it works.
type Warning string

func (w Warning) Error() string { return string(w) }

// Spared says that the process goes on while the shared store is away: a failure
// of its checks is then only a warning.
type Spared bool

// Check is the check of what can be spared.
func (s Spared) Check(c Check) Check {
	if !s {
		return c
	}
	return Check{Name: c.Name, Check: func(ctx context.Context) error {
		err := c.Check(ctx)
		if err == nil {
			return nil
		}
		return Warning(err.Error())
	}}
}

// Leaving says that the process will stop soon and serves until then, so that
// whoever spreads the load has time to send nothing more. A nil one never leaves.
type Leaving struct{ begun atomic.Bool }

// Begin begins to leave.
func (l *Leaving) Begin() { l.begun.Store(true) }

// Begun reports whether it has.
func (l *Leaving) Begun() bool { return l != nil && l.begun.Load() }

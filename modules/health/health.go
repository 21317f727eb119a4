// Package health says what must work before a process is ready.
package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Check is one thing that a role depends on. Check returns nil while it works,
// and otherwise an error that an operator can act on.
type Check struct {
	Name  string
	Check func(context.Context) error
	// Spared says that the process goes on without it: that it fails is only a Warning.
	Spared bool
	// Behind says that it is worked with behind the queues: while it is away events wait there,
	// and whoever takes them in can spare it.
	Behind bool
}

// Door are the checks of a server that takes events in.
func Door(checks []Check) []Check {
	out := slices.Clone(checks)
	for i := range out {
		out[i].Spared = out[i].Spared || out[i].Behind
	}
	return out
}

// Warning is an error of a check that leaves the process ready: something that an
// operator should mend, though it works.
type Warning string

func (w Warning) Error() string { return string(w) }

// Spared says that the process goes on while the shared store is away.
type Spared bool

// timeout bounds each check.
const timeout = 2 * time.Second

// Run asks, and gives up after a while on a check that does not heed its context: what
// hangs must not be worse than what refuses.
func (c Check) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v", p)
			}
		}()
		done <- c.Check(ctx)
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = errors.New("no answer within " + timeout.String())
	}
	if err != nil && c.Spared {
		return Warning(err.Error())
	}
	return err
}

// Leaving says that the process will stop soon and serves until then, so that
// whoever spreads the load has time to send nothing more. A nil one never leaves.
type Leaving struct{ begun atomic.Bool }

// Begin begins to leave.
func (l *Leaving) Begin() { l.begun.Store(true) }

// Begun reports whether it has.
func (l *Leaving) Begun() bool { return l != nil && l.begun.Load() }

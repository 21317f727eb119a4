// Package lease lets one process of several do something. A lease is a key in the
// shared state that expires: who holds it renews it, and who dies frees it. It
// bounds how much is done twice and is no proof: a process that was stopped for
// longer than the lease may go on for a moment beside the next one, so that what
// is done under a lease must do no harm twice.
package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/miq/pixel/modules/state"
)

// Archive is the lease of whoever changes what is filed in the archive.
const Archive = "archive"

// TTL is how long a lease outlives its holder.
const TTL = 30 * time.Second

var (
	// ErrHeld says that another one has the lease.
	ErrHeld = errors.New("another process is doing this already")
	// ErrLost says that the lease ran out while the work was under way.
	ErrLost = errors.New("the lease was lost to another process")
)

// Lease is a name that one holds at a time.
type Lease struct {
	keys state.Keys
	name string
	ttl  time.Duration
}

// free is what a lease says that was given back.
var free = []byte("free")

// New returns a lease of a name.
func New(keys state.Keys, name string) Lease { return Lease{keys, "lease:" + name, TTL} }

// Do runs work while it holds the lease, or returns ErrHeld at once. The context
// of work ends when the lease is lost.
func (l Lease) Do(ctx context.Context, work func(context.Context) error) error {
	me := []byte(uuid.NewString())
	entry := state.Entry{Key: l.name, Value: me, TTL: l.ttl}
	got, err := l.keys.Swap(ctx, nil, entry)
	if err == nil && !got {
		got, err = l.keys.Swap(ctx, free, entry)
	}
	if err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	if !got {
		return ErrHeld
	}
	run, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	renewed := time.Now()
	go func() {
		defer close(ended)
		tick := time.NewTicker(l.ttl / 6)
		defer tick.Stop()
		for {
			select {
			case <-run.Done():
				return
			case <-tick.C:
			}
			at := time.Now()
			ok, err := l.keys.Swap(run, me, entry)
			switch {
			case err == nil && ok:
				renewed = at
			case err == nil, time.Since(renewed) > l.ttl/2:
				cancel(ErrLost)
				return
			}
		}
	}()
	err = work(run)
	lost := errors.Is(context.Cause(run), ErrLost)
	cancel(nil)
	<-ended
	if !lost {
		// Handed over at once where that can be; else it expires. Nobody else's is
		// touched: ours is swapped for the word that it is free.
		freeing, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer stop()
		_, _ = l.keys.Swap(freeing, me, state.Entry{Key: l.name, Value: free, TTL: l.ttl})
	}
	if lost && (err == nil || errors.Is(err, context.Canceled)) {
		return ErrLost
	}
	return err
}

// Await is Do that waits for whoever holds the lease, and asks again now and then.
func (l Lease) Await(ctx context.Context, every time.Duration, work func(context.Context) error) error {
	for {
		err := l.Do(ctx, work)
		if !errors.Is(err, ErrHeld) {
			return err
		}
		wait := time.NewTimer(every)
		select {
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		case <-wait.C:
		}
	}
}

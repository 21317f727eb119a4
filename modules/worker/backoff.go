package worker

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	shortest = 100 * time.Millisecond
	longest  = 10 * time.Second
)

// backoff waits longer each time in a row, up to ten seconds.
type backoff struct{ failures int }

// first reports whether this is the first failure in a row, and counts it.
func (b *backoff) first() bool {
	b.failures++
	return b.failures == 1
}

// reset reports whether there were failures, and forgets them.
func (b *backoff) reset() bool {
	was := b.failures > 0
	b.failures = 0
	return was
}

// sleep waits, with jitter, unless ctx ends.
func (b *backoff) sleep(ctx context.Context) {
	d := min(shortest<<min(b.failures, 10), longest)
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

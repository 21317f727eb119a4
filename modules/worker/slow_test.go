package worker

import (
	"context"
	"testing"
	"time"
)

// A store that hangs instead of failing must not use up the deliveries of the
// events that wait for it.
func TestAStoreThatHangsBuriesNothing(t *testing.T) {
	x := setup(t)
	hangs := make(chan struct{})
	x.wrap("archive", func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
		select {
		case <-hangs:
			return step(ctx, b)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	ids, events := names(10)
	x.push(events...)
	x.start()
	// Longer than the leases of two deliveries, after which the queue would bury.
	<-time.After(4 * lease)
	if dead := x.dead(); len(dead) != 0 {
		t.Errorf("%d are buried: %s", len(dead), dead[0].Reason)
	}
	close(hangs)
	x.done()
	if got := x.ids(); len(got) != len(ids) {
		t.Errorf("%d stored, want %d", len(got), len(ids))
	}
}

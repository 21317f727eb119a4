package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
)

// full reports whether each priority has a batch to offer.
func (t *turns) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !slices.Contains(t.offers[:], nil)
}

func TestHighOvertakesAFloodOfLowAndLowGoesOn(t *testing.T) {
	x := setup(t, func(d *Deps) { d.Config.Concurrency, d.Config.Batch = 1, 4 })
	var mu sync.Mutex
	var order []event.Priority
	begun := -1 // how many batches were done when each priority had one to offer
	x.wrap("decode", func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
		// What nobody pulled yet cannot be in turn. On a slow machine the batch's time may be
		// over first: then the next one waits.
		for begun < 0 && ctx.Err() == nil {
			if x.w.turns.full() {
				mu.Lock()
				begun = len(order)
				mu.Unlock()
				break
			}
			<-time.After(time.Millisecond)
		}
		return step(ctx, b)
	})
	x.wrap("routes", func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
		mu.Lock()
		order = append(order, b.items[0].event.Priority)
		mu.Unlock()
		return step(ctx, b)
	})
	for _, p := range event.Priorities {
		for i := range 100 {
			x.push(purchase(fmt.Sprint(p, i), func(e *event.Event) { e.Priority = p }))
		}
	}
	x.start()
	x.done()
	first := map[event.Priority]int{}
	last := map[event.Priority]int{}
	for i, p := range order {
		if _, ok := first[p]; !ok {
			first[p] = i
		}
		last[p] = i
	}
	if !(last[event.High] < last[event.Standard] && last[event.Standard] < last[event.Low]) {
		t.Errorf("last batches: %v of %d", last, len(order))
	}
	if n := first[event.Low] - begun; n > 25 {
		t.Errorf("low had to wait for %d batches", n)
	}
	if n := len(maps.Collect(maps.All(x.stored()))); n != 300 {
		t.Errorf("%d stored", n)
	}
}

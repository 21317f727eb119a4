package worker

import (
	"context"
	"sync"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// weights are how many batches each priority gets in a round while all of them
// wait: high goes first, and low is never left out.
var weights = [len(event.Priorities)]int{16, 4, 1}

// pulled is a batch that was pulled and not begun.
type pulled struct {
	queue    string
	messages []queue.Message
	priority int
	at       time.Time // when the queue began to count the lease, or before
}

// turns hands batches to workers: always the most urgent one whose priority has
// credit left; when only those without credit wait, a new round begins. Each
// priority offers one batch at a time. Of several workers one never takes low
// priority, so that what is urgent need not wait for the end of a batch of what
// is not: a flood of low has all the others.
type turns struct {
	mu      sync.Mutex
	offers  [len(event.Priorities)]*pulled
	credit  [len(event.Priorities)]int
	lows    int                                  // workers that are busy with low
	maxLows int                                  // how many may be
	come    chan struct{}                        // a token for each offer
	taken   [len(event.Priorities)]chan struct{} // a token once it was taken
}

// low is the place of the least urgent priority.
const low = len(event.Priorities) - 1

func newTurns(workers int) *turns {
	t := &turns{credit: weights, maxLows: max(1, workers-1), come: make(chan struct{}, len(event.Priorities))}
	for i := range t.taken {
		t.taken[i] = make(chan struct{}, 1)
	}
	return t
}

// offer waits until a worker takes the batch. It returns false if ctx ended
// first: then the batch is the caller's again.
func (t *turns) offer(ctx context.Context, priority int, p *pulled) bool {
	t.mu.Lock()
	t.offers[priority] = p
	t.mu.Unlock()
	select {
	case t.come <- struct{}{}:
	default: // as many tokens as there can be offers lie there
	}
	select {
	case <-t.taken[priority]:
		return true
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.offers[priority] == nil {
		<-t.taken[priority]
		return true
	}
	t.offers[priority] = nil
	return false
}

// next waits for a batch; nil once ctx ended. Call done when it is processed.
func (t *turns) next(ctx context.Context) *pulled {
	for ctx.Err() == nil {
		if p := t.pick(); p != nil {
			return p
		}
		select {
		case <-t.come:
		case <-ctx.Done():
		}
	}
	return nil
}

// done says that a batch is processed, before the same worker asks for the next.
func (t *turns) done(p *pulled) {
	if p.priority != low {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lows--
}

func (t *turns) pick() *pulled {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range 2 {
		for i, p := range t.offers {
			if p == nil || t.credit[i] == 0 || i == low && t.lows == t.maxLows {
				continue
			}
			if i == low {
				t.lows++
			}
			p.priority = i
			t.credit[i]--
			t.offers[i] = nil
			t.taken[i] <- struct{}{}
			return p
		}
		if !t.wait() {
			return nil
		}
		t.credit = weights
	}
	return nil
}

// wait reports whether anything waits that could be taken in a new round.
func (t *turns) wait() bool {
	for i, p := range t.offers {
		if p != nil && (i != low || t.lows < t.maxLows) {
			return true
		}
	}
	return false
}

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
	at       time.Time // when the queue began to count the lease, or before
}

// turns hands batches to workers: always the most urgent one whose priority has
// credit left; when only those without credit wait, a new round begins. Each
// priority offers one batch at a time.
type turns struct {
	mu     sync.Mutex
	offers [len(event.Priorities)]*pulled
	credit [len(event.Priorities)]int
	come   chan struct{}                        // a token for each offer
	taken  [len(event.Priorities)]chan struct{} // a token once it was taken
}

func newTurns() *turns {
	t := &turns{credit: weights, come: make(chan struct{}, len(event.Priorities))}
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
	t.come <- struct{}{}
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

// next waits for a batch; nil once ctx ended.
func (t *turns) next(ctx context.Context) *pulled {
	for ctx.Err() == nil {
		select {
		case <-t.come:
		case <-ctx.Done():
			return nil
		}
		// An offer that was taken back leaves its token behind.
		if p := t.pick(); p != nil {
			return p
		}
	}
	return nil
}

func (t *turns) pick() *pulled {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range 2 {
		for i, p := range t.offers {
			if p != nil && t.credit[i] > 0 {
				t.credit[i]--
				t.offers[i] = nil
				t.taken[i] <- struct{}{}
				return p
			}
		}
		t.credit = weights
	}
	return nil
}

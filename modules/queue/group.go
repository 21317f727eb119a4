package queue

import (
	"context"
	"errors"
	"sync"
)

var (
	// ErrBusy says that too much waits to be pushed already; try again later.
	ErrBusy = errors.New("the queue is busy: too much waits to be stored")
	// ErrClosed says that a Group was pushed to after Close.
	ErrClosed = errors.New("the queue is closed")
)

// Pusher is the part of Queue that a Group needs.
type Pusher interface {
	Push(ctx context.Context, items ...Item) error
}

// Group lets concurrent pushers share commits. While one commit is under way
// the next gathers, so that the batches grow with the load, and a lone pusher
// waits for nobody. Each is answered after its own commit.
type Group struct {
	// MaxWaiting bounds the bytes of bodies that wait, those being committed
	// included; beyond, Push returns ErrBusy. Set it before the first Push.
	MaxWaiting int64

	q        Pusher
	maxItems int

	mu         sync.Mutex
	waiting    []*push
	bytes      int64 // of all bodies not yet answered
	committing bool
	closed     bool
	idle       sync.Cond // nothing waits and nothing is committed
}

// push is one caller's items.
type push struct {
	items []Item
	bytes int64
	done  chan error
}

// NewGroup groups pushes to q, up to maxItems a commit; a single caller's items
// stay together even if they are more.
func NewGroup(q Pusher, maxItems int) *Group {
	g := &Group{MaxWaiting: 64 << 20, q: q, maxItems: maxItems}
	g.idle.L = &g.mu
	return g
}

// Push returns once the items are committed, or with the error of their commit,
// which is that of all who shared it. If ctx ends first Push returns its error,
// though the items may be stored nevertheless. The bodies must not be changed
// afterwards.
func (g *Group) Push(ctx context.Context, items ...Item) error {
	if err := ctx.Err(); err != nil || len(items) == 0 {
		return err
	}
	p := &push{items: items, done: make(chan error, 1)}
	for _, item := range items {
		p.bytes += int64(len(item.Body))
	}
	if err := g.enqueue(p); err != nil {
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Group) enqueue(p *push) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	// Alone it may pass the bound, or else it never could.
	if g.bytes > 0 && g.bytes+p.bytes > g.MaxWaiting {
		return ErrBusy
	}
	g.bytes += p.bytes
	g.waiting = append(g.waiting, p)
	if !g.committing {
		g.committing = true
		go g.run()
	}
	return nil
}

// run commits until nothing waits.
func (g *Group) run() {
	for {
		batch, items := g.next()
		if len(batch) == 0 {
			return
		}
		// A commit serves many callers, so none of their contexts may end it.
		err := g.q.Push(context.Background(), items...)
		g.mu.Lock()
		for _, p := range batch {
			g.bytes -= p.bytes
		}
		g.mu.Unlock()
		for _, p := range batch {
			p.done <- err
		}
	}
}

// next takes those whose turn it is.
func (g *Group) next() ([]*push, []Item) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.waiting = nil
		g.committing = false
		g.idle.Broadcast()
		return nil, nil
	}
	n, total := 1, len(g.waiting[0].items)
	for n < len(g.waiting) && total+len(g.waiting[n].items) <= g.maxItems {
		total += len(g.waiting[n].items)
		n++
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	if n == 1 {
		return batch, batch[0].items
	}
	items := make([]Item, 0, total)
	for _, p := range batch {
		items = append(items, p.items...)
	}
	return batch, items
}

// Close refuses further pushes and waits until those accepted are committed, or
// ctx ends.
func (g *Group) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.idle.Broadcast()
	})
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for g.committing && ctx.Err() == nil {
		g.idle.Wait()
	}
	if g.committing {
		return ctx.Err()
	}
	return nil
}

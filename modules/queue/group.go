package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
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
// waits for nobody. While many push a commit waits a moment for more: see linger.
// Where commits are slower than that moment, as many as MaxCommits are under way at
// once: a store that writes its log to the disk before it answers has the next at hand then.
// Each is answered after its own commit. Where the store refuses a commit, those
// who shared it are tried in smaller groups, so that in the end an error is only
// his whose items caused it.
type Group struct {
	// MaxWaiting bounds the bytes of bodies that wait, those being committed
	// included; beyond, Push returns ErrBusy. Timeout bounds a commit. Set both
	// before the first Push.
	MaxWaiting int64
	Timeout    time.Duration
	// MaxLinger bounds how long a pusher waits for others to share his commit with, the time
	// of a commit that was under way when he came included; 0: none waits.
	MaxLinger time.Duration
	// MaxCommits is how many commits may be under way at once.
	MaxCommits int
	// Committed, if set, is told of each commit: of how many pushers it was, how
	// long it took, and how it ended.
	Committed func(pushers int, took time.Duration, err error)

	q        Pusher
	maxItems int

	mu         sync.Mutex
	waiting    []*push
	first      time.Time // when the first of them came
	spare      []*push   // the memory of those whose commit has ended
	items      []Item    // and of what they brought
	bytes      int64     // of all bodies not yet answered
	committing int       // who gather and commit
	gathering  bool      // one of them gathers
	stuck      int       // commits under way that were given up
	pace       pace
	want       int // pushers that end the linger; 0: nobody lingers
	enough     chan struct{}
	closed     bool
	idle       sync.Cond // nothing waits and nothing is committed
	pushes     sync.Pool
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
	g := &Group{
		MaxWaiting: 64 << 20, Timeout: 10 * time.Second, MaxLinger: time.Millisecond, MaxCommits: 2,
		q: q, maxItems: maxItems, enough: make(chan struct{}, 1),
	}
	g.idle.L = &g.mu
	g.pushes.New = func() any { return &push{done: make(chan error, 1)} }
	return g
}

// Push returns once the items are committed, or with the error of their commit.
// If ctx ends first it returns that error, though the items may be stored
// nevertheless; then neither they nor their bodies must be changed any more, which they
// may be once it has returned nil. Of any other error nobody knows what is read still.
func (g *Group) Push(ctx context.Context, items ...Item) error {
	if err := ctx.Err(); err != nil || len(items) == 0 {
		return err
	}
	p := g.pushes.Get().(*push)
	p.items, p.bytes = items, 0
	for i := range items {
		p.bytes += int64(len(items[i].Body))
	}
	if err := g.enqueue(p); err != nil {
		g.forget(p)
		return err
	}
	if ctx.Done() == nil {
		err := <-p.done
		g.forget(p)
		return err
	}
	select {
	case err := <-p.done:
		g.forget(p)
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Group) forget(p *push) {
	p.items = nil
	g.pushes.Put(p)
}

func (g *Group) enqueue(p *push) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	// Alone it may pass the bound, or else it never could.
	if g.stuck > 0 || g.bytes > 0 && g.bytes+p.bytes > g.MaxWaiting {
		return ErrBusy
	}
	g.bytes += p.bytes
	if len(g.waiting) == 0 {
		g.first = time.Now()
	}
	g.waiting = append(g.waiting, p)
	g.begin()
	if g.want > 0 && len(g.waiting) >= g.want {
		g.want = 0
		g.enough <- struct{}{}
	}
	return nil
}

// begin has somebody gather those who wait, if nobody does and it is worth while: where few
// push, the next commit is for who comes back from the one under way.
func (g *Group) begin() {
	if g.gathering || len(g.waiting) == 0 {
		return
	}
	if g.committing == 0 || g.committing < g.MaxCommits && g.expected(time.Now()) > 0 {
		g.committing++
		g.gathering = true
		go g.run()
	}
}

// expected is how many pushers it is worth to wait for; 0: it is not.
func (g *Group) expected(now time.Time) int {
	most, rate := g.pace.lately(now)
	coming := int(rate * g.MaxLinger.Seconds())
	if min(most, coming) < fewPushers {
		return 0
	}
	return min(max(most, coming), enoughPushers)
}

// linger lets a commit grow while many push, since what it costs the store is
// shared by all who are in it. Where few do it is no time at all, so that a slow
// site has no slower answers; and it ends as soon as as many wait as there were
// lately, or as come in MaxLinger, or as are enough. Behind a slow commit nobody lingers:
// who came while it was under way has waited long enough, and gathered enough.
func (g *Group) linger() {
	g.mu.Lock()
	now := time.Now()
	wait, want := g.MaxLinger-now.Sub(g.first), g.expected(now)
	if wait <= 0 || len(g.waiting) >= want || g.closed {
		g.mu.Unlock()
		return
	}
	g.want = want
	g.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-g.enough:
		return
	case <-timer.C:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.want == 0 {
		<-g.enough // they came in the same moment
	}
	g.want = 0
}

// run commits until nothing waits, or somebody else gathers what does.
func (g *Group) run() {
	for {
		g.linger()
		batch, items := g.next()
		if len(batch) == 0 {
			return
		}
		items = g.commit(batch, items)
		if !g.again(batch, items) {
			return
		}
	}
}

// again reports, after a commit, whether there is another to gather for. It keeps the
// commit's memory for one that follows.
func (g *Group) again(batch []*push, items []Item) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spare, g.items = batch[:0], items
	if g.gathering || len(g.waiting) == 0 {
		g.leave()
		return false
	}
	g.gathering = true
	return true
}

// leave ends one who gathers and commits.
func (g *Group) leave() {
	if g.committing--; g.committing == 0 {
		g.idle.Broadcast()
	}
}

// commit stores what callers brought and answers them. It uses the memory of
// items, and returns what can be used again.
func (g *Group) commit(batch []*push, items []Item) []Item {
	items = items[:0]
	var total int64
	for _, p := range batch {
		items = append(items, p.items...)
		total += p.bytes
	}
	start := time.Now()
	// A commit serves many callers, so none of their contexts may end it.
	ctx, cancel := context.WithTimeout(context.Background(), g.Timeout)
	var gone, done bool // under mu: who came first, the end of the time or of the commit
	stop := context.AfterFunc(ctx, func() {
		g.mu.Lock()
		if done {
			g.mu.Unlock()
			return
		}
		gone = true
		all := slices.Concat(batch, g.giveUp())
		g.mu.Unlock()
		for _, p := range all {
			p.done <- context.DeadlineExceeded
		}
	})
	err := g.q.Push(ctx, items...)
	stop()
	cancel()
	g.mu.Lock()
	done = true
	late := gone
	if late {
		g.stuck--
	}
	g.mu.Unlock()
	if g.Committed != nil {
		g.Committed(len(batch), time.Since(start), err)
	}
	switch {
	case late:
		g.settle(total)
		return nil // whoever did not keep to the time may not keep to the rest
	case err != nil && len(batch) > 1 && refused(err):
		half := len(batch) / 2
		items = g.commit(batch[:half], items)
		return g.commit(batch[half:], items)
	}
	g.settle(total)
	for _, p := range batch {
		p.done <- err
	}
	clear(items)
	return items
}

// giveUp returns those who wait behind a commit that does not end. Until it does nobody
// else waits.
func (g *Group) giveUp() []*push {
	waiting := g.waiting
	g.waiting = nil
	g.stuck++
	for _, p := range waiting {
		g.bytes -= p.bytes
	}
	return waiting
}

// refused reports an answer of the store, which may be about one of the items. A
// store that cannot be reached fails them all alike, and asking again for each
// would only make them wait.
func refused(err error) bool {
	return !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrClosed) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// settle takes the bytes of those who are answered off the account.
func (g *Group) settle(bytes int64) {
	g.mu.Lock()
	g.bytes -= bytes
	g.mu.Unlock()
}

// next takes those whose turn it is, and memory for what they brought.
func (g *Group) next() ([]*push, []Item) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gathering = false
	if len(g.waiting) == 0 {
		g.leave()
		return nil, nil
	}
	n, total := 1, len(g.waiting[0].items)
	for n < len(g.waiting) && total+len(g.waiting[n].items) <= g.maxItems {
		total += len(g.waiting[n].items)
		n++
	}
	g.pace.note(n, time.Now())
	batch, rest := g.waiting[:n], g.waiting[n:]
	g.waiting, g.spare = append(g.spare[:0], rest...), nil
	g.begin() // for the rest
	items := g.items
	g.items = nil
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
	for g.committing > 0 && ctx.Err() == nil {
		g.idle.Wait()
	}
	if g.committing > 0 {
		return ctx.Err()
	}
	return nil
}

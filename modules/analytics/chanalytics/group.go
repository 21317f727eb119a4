package chanalytics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/semaphore"
)

// group makes one insert of what many bring at once. Each insert is a part that the
// server has to merge, so few and large ones are what keeps it well: what comes
// while one is under way goes with the next, and between two there is a pause that
// the pace sets. Who brought something waits until it is stored, and when more waits
// than the group may hold, the next waits for room; so a server that is slow slows
// the queue's readers down, and nothing is acknowledged early.
//
// While much waits, a second insert goes beside the first, so that the server works
// while we encode. Each of the lanes numbers what it stores as a writer of its own.
type group[T any] struct {
	table   string
	insert  func(ctx context.Context, lane int, rows []T) error
	pace    *pace
	metrics *Metrics
	max     int           // rows of one insert
	timeout time.Duration // of one insert, its repetitions included
	room    *semaphore.Weighted

	mu      sync.Mutex
	waiting []*request[T]
	rows    int
	wake    chan struct{} // holds one where something waits
	much    chan struct{} // holds one where it is worth a second insert at a time
	full    chan struct{} // holds one where an insert's worth waits
}

type request[T any] struct {
	ctx  context.Context
	rows []T
	done chan error
}

func newGroup[T any](table string, max int, timeout time.Duration, p *pace, m *Metrics, insert func(ctx context.Context, lane int, rows []T) error) *group[T] {
	return &group[T]{
		table: table, insert: insert, pace: p, metrics: m, max: max, timeout: timeout, room: semaphore.NewWeighted(int64(4 * max)),
		wake: make(chan struct{}, 1), much: make(chan struct{}, 1), full: make(chan struct{}, 1),
	}
}

var errStopped = errors.New("the analytics store is closed")

// write returns once rows are stored.
func (g *group[T]) write(ctx context.Context, rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	n := int64(min(len(rows), 4*g.max))
	if err := g.room.Acquire(ctx, n); err != nil {
		return err
	}
	defer g.room.Release(n)
	r := &request[T]{ctx, rows, make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, r)
	g.rows += len(rows)
	much, full := g.rows >= g.max/secondAt, g.rows >= g.max
	g.mu.Unlock()
	signal(g.wake)
	if much {
		signal(g.much)
	}
	if full {
		signal(g.full)
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lanes are how many inserts go at once. The second begins where its part of an
// insert's rows waits that secondAt says.
const (
	lanes    = 2
	secondAt = 4
)

// run inserts until ctx ends; one insert at a time, so that what a lane stores later
// has a higher number.
func (g *group[T]) run(ctx context.Context, lane int) {
	begin := g.wake
	if lane > 0 {
		begin = g.much
	}
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			g.refuse()
			return
		case <-begin:
		}
		// Also the first after a pause waits a little for those that come with it.
		gap := g.pace.gap()
		wait := time.Until(last.Add(gap))
		if lane == 0 {
			wait = max(wait, gap/4)
		}
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-g.full:
				timer.Stop()
			case <-ctx.Done():
				timer.Stop()
				g.refuse()
				return
			}
		}
		last = time.Now()
		g.flush(ctx, lane, g.take())
	}
}

// refuse answers who still waits at the end.
func (g *group[T]) refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range g.waiting {
		r.done <- errStopped
	}
	g.waiting, g.rows = nil, 0
}

// take is as much as goes into one insert, and whole requests.
func (g *group[T]) take() (batch []*request[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for len(g.waiting) > 0 {
		r := g.waiting[0]
		if n > 0 && n+len(r.rows) > g.max {
			break
		}
		g.waiting = g.waiting[1:]
		g.rows -= len(r.rows)
		if r.ctx.Err() != nil {
			continue // nobody waits for it any more
		}
		batch = append(batch, r)
		n += len(r.rows)
	}
	if len(g.waiting) > 0 {
		signal(g.wake)
	}
	if g.rows >= g.max/secondAt {
		signal(g.much)
	}
	return batch
}

func (g *group[T]) flush(ctx context.Context, lane int, batch []*request[T]) {
	if len(batch) == 0 {
		return
	}
	rows := batch[0].rows
	if len(batch) > 1 {
		rows = nil
		for _, r := range batch {
			rows = append(rows, r.rows...)
		}
	}
	err := g.store(ctx, lane, rows)
	if err != nil && len(batch) > 1 && !passing(err) {
		// One of them is at fault, and not the others.
		for _, r := range batch {
			r.done <- g.store(ctx, lane, r.rows)
		}
		return
	}
	for _, r := range batch {
		r.done <- err
	}
}

// store inserts, and tries again where the connection broke: a server that was
// started again is not to cost its clients an error.
func (g *group[T]) store(ctx context.Context, lane int, rows []T) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	for try := 0; ; try++ {
		begun := time.Now()
		err := g.insert(ctx, lane, rows)
		g.metrics.inserted(g.table, len(rows), time.Since(begun), err)
		g.pace.felt(err)
		if err == nil || try == 2 || !broken(err) || ctx.Err() != nil {
			return err
		}
		g.metrics.retries.WithLabelValues(g.table).Inc()
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(try+1) * 100 * time.Millisecond):
		}
	}
}

// broken reports whether nobody can tell what became of an insert, or nothing did.
// To do it again does no harm.
func broken(err error) bool {
	var n net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.As(err, &n) && !n.Timeout()
}

// passing reports whether an insert failed for a reason that has nothing to do with
// what was in it.
func passing(err error) bool {
	var n net.Error
	if broken(err) || errors.As(err, &n) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case codeTooSlow, codeMemory, codeTooManyParts,
		202,      // TOO_MANY_SIMULTANEOUS_QUERIES
		209, 210, // SOCKET_TIMEOUT, NETWORK_ERROR
		242,           // TABLE_IS_READ_ONLY
		243,           // NOT_ENOUGH_SPACE
		285, 286, 319, // TOO_FEW_LIVE_REPLICAS, UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE, UNKNOWN_STATUS_OF_INSERT
		425, // SYSTEM_ERROR
		999: // KEEPER_EXCEPTION
		return true
	}
	return false
}

// pace is how long to wait between two inserts into a table: longer while the server
// has more parts than it can merge, so that each holds more.
type pace struct {
	usual, most time.Duration

	mu  sync.Mutex
	now time.Duration
}

func newPace(usual time.Duration) *pace {
	return &pace{usual: usual, most: max(usual, 2*time.Second), now: usual}
}

func (p *pace) gap() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// felt hears how an insert ended.
func (p *pace) felt(err error) {
	if hasCode(err, codeTooManyParts) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.now = p.most
	}
}

// Parts of one partition from which on the pace slows down, and below which it picks
// up again. The server holds inserts up at a thousand, and refuses them at three.
const manyParts, fewParts = 150, 60

// saw hears how many parts the partition has that has most.
func (p *pace) saw(parts int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case parts > manyParts:
		p.now = min(max(2*p.now, 50*time.Millisecond), p.most)
	case parts < fewParts:
		p.now = max(p.now/2, p.usual)
	}
}

func told(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Package spill keeps a collector answering while its queue is away: what cannot
// be pushed goes to a queue on the process's own disk, and from there to where it
// was meant for once that is back.
//
// What it promises: when Push returns nil, the items are durable in the queue or
// on this disk, and stay there over a crash until the queue has them. They reach
// the queue at least once; a push that timed out may have arrived, so that a copy
// can follow it, which deduplication ends as a duplicate. Only where neither
// takes them does Push return an error.
//
// While it is away not every push waits to find that out: the first that fails
// sends the others to the disk, and from then on only the drain asks, with what
// waits there. Once that succeeds, new items go to the queue directly, beside the
// drain: behind it they would wait on a disk without need, for as long as it
// takes, and each would cost two writes. So the events of an outage come later
// than some that followed them, in their own order. Nothing downstream needs
// more than that: events carry their time, and copies their receipt.
package spill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// Disk is the queue on the disk.
type Disk interface {
	queue.Pusher
	queue.Room
	Pull(ctx context.Context, name string, max int) ([]queue.Message, error)
	Ack(ctx context.Context, name string, ids ...string) error
	Release(ctx context.Context, name string, ids ...string) error
	Bury(ctx context.Context, name, reason string, ids ...string) error
	Stats(ctx context.Context) ([]queue.Stats, error)
	Dead(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error)
	Revive(ctx context.Context, name string, ids ...string) (int, error)
}

// Options are what a Spill needs.
type Options struct {
	Queue queue.Pusher // where everything is meant to go
	Disk  Disk         // for what it does not take; this spill's alone
	// Timeout is how long a push may take before its items go to the disk.
	Timeout time.Duration
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: nothing is counted
}

const (
	// drainItems is how much the drain moves at once, trialItems while the queue is
	// away, and drainTimeout how long that may take.
	drainItems   = 512
	trialItems   = 8
	drainTimeout = 10 * time.Second
	// minPause and maxPause are between the drain's attempts while the queue is away.
	minPause, maxPause = 250 * time.Millisecond, 5 * time.Second
	// trialEvery is how often a push may try the queue itself while neither it nor
	// the disk takes anything.
	trialEvery = time.Second
)

// Spill is a queue.Pusher.
type Spill struct {
	o       Options
	metrics *metrics

	away   atomic.Bool // pushes go to the disk
	stuck  atomic.Bool // the disk took nothing when it was last asked to
	onDisk atomic.Int64
	dead   atomic.Int64 // set aside on the disk, since nobody can drain them
	// counting keeps what is on the disk from changing while it is counted anew.
	counting sync.RWMutex
	trial    atomic.Int64 // when the queue was last tried in need, Unix nanoseconds
	kick     chan struct{}
	since    atomic.Int64 // when the queue went away, Unix nanoseconds
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// New returns a spill that does not drain yet.
func New(o Options) *Spill {
	s := &Spill{o: o, kick: make(chan struct{}, 1)}
	s.metrics = newMetrics(o.Metrics, s)
	return s
}

// Push stores the items in the queue, or else on the disk.
func (s *Spill) Push(ctx context.Context, items ...queue.Item) error {
	if err := ctx.Err(); err != nil || len(items) == 0 {
		return err
	}
	if !s.away.Load() {
		err := s.direct(ctx, items, s.o.Timeout)
		// Whoever gave up himself learns nothing about the queue, nor does he whose
		// items it refuses.
		if err == nil || ctx.Err() != nil || !away(err) {
			return err
		}
		s.went(err)
	}
	err := s.keep(ctx, items)
	if err == nil {
		return nil
	}
	// Neither: try the queue once more, but not with every push.
	if last := s.trial.Load(); time.Now().UnixNano()-last > int64(trialEvery) && s.trial.CompareAndSwap(last, time.Now().UnixNano()) {
		if s.direct(ctx, items, s.o.Timeout) == nil {
			s.came()
			return nil
		}
	}
	s.metrics.refused.Add(float64(len(items)))
	return fmt.Errorf("the queue is away, and the disk takes nothing: %w", err)
}

// away reports whether an error says that the queue cannot be reached.
func away(err error) bool {
	return errors.Is(err, queue.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
}

// direct pushes to the queue.
func (s *Spill) direct(ctx context.Context, items []queue.Item, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.o.Queue.Push(ctx, items...)
}

// keep pushes to the disk.
func (s *Spill) keep(ctx context.Context, items []queue.Item) error {
	kept := make([]queue.Item, len(items))
	for i, it := range items {
		kept[i] = queue.Item{Queue: parked(it.Queue), Body: pack(it)}
	}
	s.counting.RLock()
	err := s.o.Disk.Push(ctx, kept...)
	if err == nil {
		s.onDisk.Add(int64(len(items)))
	}
	s.counting.RUnlock()
	s.stuck.Store(err != nil)
	if err != nil {
		return err
	}
	s.metrics.spilled.Add(float64(len(items)))
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return nil
}

// went notes that the queue does not answer.
func (s *Spill) went(err error) {
	if s.away.Swap(true) {
		return
	}
	s.since.Store(time.Now().UnixNano())
	s.metrics.outages.Inc()
	s.o.Log.Warn("the queue is away; events are kept on this process's disk", "error", err)
}

// came notes that it answers again.
func (s *Spill) came() {
	if s.away.Swap(false) {
		s.o.Log.Info("the queue is back", "after", time.Since(time.Unix(0, s.since.Load())).Round(time.Millisecond), "spilled", s.onDisk.Load())
	}
}

// Start begins to drain, also what a former process left. Its dead letters are tried
// again: a new start is how an operator says that their cause is mended.
func (s *Spill) Start(ctx context.Context) error {
	if err := errors.Join(s.revive(ctx), s.recount(ctx)); err != nil {
		return fmt.Errorf("look at what was spilled: %w", err)
	}
	if n := s.onDisk.Load(); n > 0 {
		s.o.Log.Info("what was spilled before is drained", "spilled", n)
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() { s.drain(ctx) })
	return nil
}

// revive puts the dead letters back to what is drained.
func (s *Spill) revive(ctx context.Context) error {
	all, err := s.o.Disk.Stats(ctx)
	if err != nil {
		return err
	}
	for _, q := range all {
		for queue.IsDead(q.Queue) {
			letters, _, err := s.o.Disk.Dead(ctx, q.Queue, "", drainItems)
			if err != nil {
				return err
			}
			if len(letters) == 0 {
				break
			}
			ids := make([]string, len(letters))
			for i, l := range letters {
				ids[i] = l.ID
			}
			if n, err := s.o.Disk.Revive(ctx, q.Queue, ids...); err != nil || n == 0 {
				return err
			}
		}
	}
	return nil
}

// Stop ends the drain; what is still on the disk is for the next start.
func (s *Spill) Stop() {
	s.stop()
	s.running.Wait()
}

// recount asks the disk how much is on it.
func (s *Spill) recount(ctx context.Context) error {
	s.counting.Lock()
	defer s.counting.Unlock()
	n, dead, _, err := s.waiting(ctx)
	s.onDisk.Store(int64(n))
	s.dead.Store(int64(dead))
	return err
}

// waiting is how much is on the disk, how many dead letters, and how old the oldest
// of the rest is.
func (s *Spill) waiting(ctx context.Context) (n, dead int, oldest time.Duration, err error) {
	all, err := s.o.Disk.Stats(ctx)
	for _, q := range all {
		if queue.IsDead(q.Queue) {
			dead += q.Ready
			continue
		}
		n += q.Ready + q.InFlight + q.Delayed
		oldest = max(oldest, q.Oldest)
	}
	return n, dead, oldest, err
}

// drain moves what is on the disk to the queue, for as long as there is any.
func (s *Spill) drain(ctx context.Context) {
	pause := minPause
	for {
		moved, err := s.move(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			// A disk that cannot be read says nothing about the queue.
			if !errors.Is(err, errDisk) {
				s.went(err)
			}
			pause = min(2*pause, maxPause)
		case moved > 0:
			s.came()
			pause = minPause
			continue
		default:
			pause = minPause
		}
		timer := time.NewTimer(pause)
		kick := s.kick
		if err != nil {
			kick = nil // a push that spilled says nothing new
		}
		select {
		case <-ctx.Done():
		case <-kick:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// move moves one batch, the most urgent there is.
func (s *Spill) move(ctx context.Context) (int, error) {
	if s.onDisk.Load() == 0 {
		return 0, nil
	}
	most := drainItems
	if s.away.Load() {
		most = trialItems
	}
	for _, name := range order {
		msgs, err := s.o.Disk.Pull(ctx, name, most)
		if err != nil {
			return 0, fmt.Errorf("%w: read what was spilled: %w", errDisk, err)
		}
		if len(msgs) > 0 {
			return len(msgs), s.moveBatch(ctx, name, msgs)
		}
	}
	if err := s.recount(ctx); err != nil {
		return 0, fmt.Errorf("%w: %w", errDisk, err)
	}
	return 0, nil
}

// errDisk marks what our own disk does not let us do.
var errDisk = errors.New("the collector's disk")

func (s *Spill) moveBatch(ctx context.Context, name string, msgs []queue.Message) error {
	var items []queue.Item
	var ids, bad []string
	for _, m := range msgs {
		it, err := unpack(m.Body)
		if err != nil {
			bad = append(bad, m.ID)
			continue
		}
		items, ids = append(items, it), append(ids, m.ID)
	}
	if len(bad) > 0 {
		s.o.Log.Error("items on the disk cannot be read; they are kept as dead letters there", "items", len(bad))
		if err := s.bury(ctx, name, "cannot be read", bad...); err != nil {
			return err
		}
	}
	return s.deliver(ctx, name, items, ids)
}

// deliver pushes items to the queue and forgets them on the disk. What the queue
// refuses, though it is there, is found by halves and kept as a dead letter.
func (s *Spill) deliver(ctx context.Context, name string, items []queue.Item, ids []string) error {
	if len(items) == 0 {
		return nil
	}
	// Even if we stop: what was held must be there for whoever comes next, and what
	// was pushed must not.
	always := context.WithoutCancel(ctx)
	err := s.direct(ctx, items, drainTimeout)
	switch {
	case err == nil:
		if err := s.o.Disk.Ack(always, name, ids...); err != nil {
			return fmt.Errorf("%w: forget what was drained: %w", errDisk, err)
		}
		s.onDisk.Add(-int64(len(ids)))
		s.metrics.drained.Add(float64(len(ids)))
		return nil
	case away(err) || ctx.Err() != nil:
		return errors.Join(err, s.o.Disk.Release(always, name, ids...))
	case len(items) == 1:
		s.o.Log.Error("the queue refuses an item; it is kept as a dead letter on the disk", "queue", items[0].Queue, "error", err)
		return s.bury(always, name, "refused by the queue: "+err.Error(), ids...)
	}
	half := len(items) / 2
	if err := s.deliver(ctx, name, items[:half], ids[:half]); err != nil {
		return errors.Join(err, s.o.Disk.Release(always, name, ids[half:]...))
	}
	return s.deliver(ctx, name, items[half:], ids[half:])
}

// bury keeps items that nobody will drain.
func (s *Spill) bury(ctx context.Context, name, reason string, ids ...string) error {
	if err := s.o.Disk.Bury(ctx, name, reason, ids...); err != nil {
		return fmt.Errorf("%w: set aside what cannot be drained: %w", errDisk, err)
	}
	s.dead.Add(int64(len(ids)))
	s.onDisk.Add(-int64(len(ids)))
	return nil
}

// order is that of the queues on the disk when they are drained.
var order = func() []string {
	var names []string
	for _, p := range event.Priorities {
		names = append(names, parked(queue.Ingest(p)))
	}
	return append(names, others)
}()

// others is where items wait that are in none of the ingest queues.
const others = "spill:others"

// parked is the queue on the disk for items that are meant for a queue.
func parked(name string) string {
	switch name { // spares an allocation an item
	case "ingest:high":
		return "spill:high"
	case "ingest:standard":
		return "spill:standard"
	case "ingest:low":
		return "spill:low"
	}
	return others
}

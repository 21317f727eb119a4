package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/state"
)

// sweeper takes what belongs to visitors who withdrew consent out of the queues.
type sweeper interface {
	Sweep(context.Context) (int, error)
}

// followUp does what changes of consent leave to do, until Stop: it stores their
// receipts, and forgets who withdrew. That the visitor's newest consent says so, for
// every other role to see, was the beginning of it and is done already.
func (w *Worker) followUp() {
	wait := backoff{}
	for w.pulling.Err() == nil {
		at := time.Now()
		messages, err := w.queue.Pull(w.pulling, queue.Consent, max(w.config.Batch, 1))
		if err == nil && len(messages) > 0 {
			var back []queue.Message
			if back, err = w.followUpOn(&pulled{queue: queue.Consent, messages: messages, at: at}); len(back) > 0 {
				w.release(queue.Consent, back, at)
			}
		}
		switch {
		case err == nil:
			wait.reset()
		case w.pulling.Err() == nil:
			if wait.first() {
				w.log.Warn("changes of consent cannot be followed up; they wait in their queue", "error", err)
			}
			wait.sleep(w.pulling)
		}
	}
}

// gone is a message about a visitor who withdrew.
type gone struct {
	queue.Message
	visitor consent.Visitor
}

// followUpOn follows messages up and returns those that go back untried. One visitor
// who cannot be forgotten, while others can, is put off alone. An error means that it
// is better to wait.
func (w *Worker) followUpOn(p *pulled) (back []queue.Message, err error) {
	ctx, cancel := context.WithDeadline(w.running, p.at.Add(w.limit()))
	defer cancel()
	var receipts []event.ConsentReceipt
	var leave []gone
	var done []string
	for _, m := range p.messages {
		t, err := consent.DecodeTask(m.Body)
		if err != nil {
			if err := w.queue.Bury(ctx, queue.Consent, cut(err.Error(), 300), m.ID); err != nil {
				return p.messages, err
			}
			continue
		}
		receipts = append(receipts, t.Receipts...)
		if t.Forget.ID == "" {
			done = append(done, m.ID)
			continue
		}
		leave = append(leave, gone{m, t.Forget})
	}
	if err := w.receipts.WriteReceipts(ctx, receipts...); err != nil {
		return p.messages, err
	}
	if len(leave) > 0 {
		// A sweep goes by what is recorded, and does not wait for what follows.
		if err := w.mark(ctx, sweepDue, w.now()); err != nil {
			return p.messages, err
		}
		select {
		case w.due <- struct{}{}:
		default:
		}
	}
	forgotten, failed, back, err := w.forgetAll(ctx, leave)
	settling, stop := w.settling()
	defer stop()
	if err := w.queue.Ack(settling, queue.Consent, append(done, forgotten...)...); err != nil {
		return p.messages, err
	}
	for _, g := range leave {
		if f := failed[g.ID]; f != nil {
			w.poison(p, g.Message, f)
		}
	}
	return back, err
}

// forgetAll forgets each visitor within a time of its own. If none can be forgotten
// that is an outage and nobody's fault, and all go back.
func (w *Worker) forgetAll(ctx context.Context, leave []gone) (forgotten []string, failed map[string]*failure, back []queue.Message, err error) {
	failed = map[string]*failure{}
	// In any order: a few at the head of a queue must not look like an outage each time.
	rand.Shuffle(len(leave), func(i, j int) { leave[i], leave[j] = leave[j], leave[i] })
	for i, g := range leave {
		one, cancel := context.WithTimeout(ctx, w.limit()/outageAfter)
		e := w.forget(one, g.visitor)
		cancel()
		if e == nil {
			forgotten = append(forgotten, g.ID)
			continue
		}
		if ctx.Err() == nil {
			failed[g.ID], err = &failure{step: "forget", err: e}, e
			if len(forgotten) > 0 || len(failed) < outageAfter {
				continue
			}
			i++
		}
		for _, g := range leave[i:] { // late, or an outage
			back = append(back, g.Message)
		}
		break
	}
	if len(forgotten) > 0 {
		return forgotten, failed, back, nil
	}
	if len(failed) == 0 {
		return nil, nil, back, ctx.Err()
	}
	for _, g := range leave {
		if failed[g.ID] != nil {
			back = append(back, g.Message)
		}
	}
	return nil, nil, back, err
}

// forget removes what the state knows of a visitor beside the consent itself, which
// stays as a tombstone. Stored events are erased by a request for erasure, not here.
func (w *Worker) forget(ctx context.Context, v consent.Visitor) error {
	for _, of := range memories(w.people, w.keys) {
		if _, err := of.Forget(ctx, v.PixelID, v.ID); err != nil {
			return err
		}
	}
	return nil
}

// When a sweep was last asked for, and when the last whole one began: in the state, so
// that a sweep which a crash cut short is made up for.
const (
	sweepDue  = "purge:due"
	sweepDone = "purge:done"

	// lookForSweep is how often a worker looks for a sweep that another one owes.
	lookForSweep = 30 * time.Second
	// shareOfTime is how much longer than a sweep the pause after it is, however many
	// visitors withdraw meanwhile.
	shareOfTime = 10
)

// sweep goes through the queues after withdrawals, until Stop.
func (w *Worker) sweep() {
	for w.pulling.Err() == nil {
		start := time.Now()
		if err := w.sweepIfDue(w.pulling); err != nil && w.pulling.Err() == nil {
			w.log.Warn("the queues could not be swept of what visitors withdrew; it is not sent all the same", "error", err)
		}
		rest := time.NewTimer(max(shareOfTime*time.Since(start), 100*time.Millisecond))
		look := time.NewTimer(lookForSweep)
		select {
		case <-w.pulling.Done():
		case <-rest.C:
			select {
			case <-w.pulling.Done():
			case <-look.C:
			case <-w.due:
			}
		}
		rest.Stop()
		look.Stop()
	}
}

func (w *Worker) sweepIfDue(ctx context.Context) error {
	marks, err := w.keys.Get(ctx, sweepDue, sweepDone)
	if err != nil {
		return err
	}
	due, _ := strconv.ParseInt(string(marks[0]), 10, 64)
	done, _ := strconv.ParseInt(string(marks[1]), 10, 64)
	if due <= done {
		return nil
	}
	n, err := w.sweeper.Sweep(ctx)
	if n > 0 {
		w.log.Info("messages of visitors who withdrew consent were taken out of the queues", "messages", n)
	}
	if err != nil {
		return err
	}
	return w.mark(ctx, sweepDone, time.UnixMicro(due))
}

// mark moves a time on, durably, and never back.
func (w *Worker) mark(ctx context.Context, key string, at time.Time) error {
	for range 8 {
		old, err := w.keys.Get(ctx, key)
		if err != nil {
			return err
		}
		if was, _ := strconv.ParseInt(string(old[0]), 10, 64); was >= at.UnixMicro() {
			return nil
		}
		done, err := w.keys.Swap(ctx, old[0], state.Entry{Key: key, Value: strconv.AppendInt(nil, at.UnixMicro(), 10)})
		if err != nil || done {
			return err
		}
	}
	return errors.New("the time of the next sweep keeps changing")
}

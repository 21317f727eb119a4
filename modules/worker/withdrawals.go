package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
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
			if err = w.followUpOn(messages); err != nil {
				w.release(queue.Consent, messages, at)
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

func (w *Worker) followUpOn(messages []queue.Message) error {
	ctx, cancel := context.WithTimeout(w.running, w.limit())
	defer cancel()
	var receipts []event.ConsentReceipt
	var gone []consent.Visitor
	var done []string
	for _, m := range messages {
		t, err := consent.DecodeTask(m.Body)
		if err != nil {
			if err := w.queue.Bury(ctx, queue.Consent, cut(err.Error(), 300), m.ID); err != nil {
				return err
			}
			continue
		}
		receipts, done = append(receipts, t.Receipts...), append(done, m.ID)
		if t.Forget.ID != "" {
			gone = append(gone, t.Forget)
		}
	}
	if err := w.receipts.WriteReceipts(ctx, receipts...); err != nil {
		return err
	}
	for _, v := range gone {
		if err := w.forget(ctx, v); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		if err := w.mark(ctx, sweepDue, w.now()); err != nil {
			return err
		}
		select {
		case w.due <- struct{}{}:
		default:
		}
	}
	return w.queue.Ack(ctx, queue.Consent, done...)
}

// forget removes what the state knows of a visitor beside the consent itself, which
// stays as a tombstone. Stored events are needed to find it; they are erased by a
// request for erasure, not here.
func (w *Worker) forget(ctx context.Context, v consent.Visitor) error {
	f := analytics.EventFilter{PixelID: v.PixelID, VisitorID: v.ID, Limit: analytics.MaxLimit}
	for {
		page, err := w.events.Events(ctx, f)
		if err != nil {
			return fmt.Errorf("find a visitor's identifiers: %w", err)
		}
		events := make([]*event.Event, len(page.Events))
		for i := range page.Events {
			events[i] = &page.Events[i]
		}
		if err := identity.Forget(ctx, w.keys, v.ID, events...); err != nil {
			return err
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return nil
		}
	}
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

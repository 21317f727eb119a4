package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// maxPull bounds what one script hands out, so that it stays short.
const maxPull = 1000

// Pull claims up to max messages, at most a thousand. While there are none it
// blocks in BLMOVE of the list's head to where it is: that moves nothing, costs
// Redis nothing while it waits, and ends the moment a message is there, where
// polling would ask in vain most of the time and still be late.
func (q *Queue) Pull(ctx context.Context, name string, max int) ([]queue.Message, error) {
	if max < 1 || queue.IsDead(name) {
		return nil, q.idle(ctx, q.opts.Wait)
	}
	giveUp := time.Now().Add(q.opts.Wait)
	for {
		msgs, next, err := q.claim(ctx, name, min(max, maxPull))
		if err != nil {
			return nil, fmt.Errorf("pull from %s: %w", name, err)
		}
		left := time.Until(giveUp)
		if len(msgs) > 0 || left <= 0 {
			return msgs, nil
		}
		// What comes back by itself wakes nobody, so wait no longer than that.
		if next >= 0 {
			left = min(left, next)
		}
		if err := q.await(ctx, name, left); err != nil {
			return nil, fmt.Errorf("wait for %s: %w", name, err)
		}
	}
}

// claim takes what is there; next is when something comes back by itself, and
// negative if nothing does.
func (q *Queue) claim(ctx context.Context, name string, max int) (msgs []queue.Message, next time.Duration, err error) {
	keys := []string{name, out(name), leases(name), delayed(name)}
	answer, err := claimScript.Run(ctx, q.redis, keys, max, q.opts.Lease.Milliseconds(), min(q.opts.MaxDeliveries, 255)).Slice()
	if err != nil {
		return nil, 0, err
	}
	if len(answer) != 3 {
		return nil, 0, fmt.Errorf("the claim script answered %d values", len(answer))
	}
	elements, _ := answer[0].([]any)
	poison, _ := answer[1].([]any)
	wait, _ := answer[2].(int64)
	msgs = make([]queue.Message, 0, len(elements))
	for _, e := range elements {
		s, _ := e.(string)
		m, err := message(s)
		if err != nil {
			return nil, 0, err
		}
		msgs = append(msgs, m)
	}
	if len(poison) > 0 {
		if err := q.bury(ctx, name, "", poison); err != nil {
			return nil, 0, err
		}
		if len(msgs) == 0 {
			wait = 0 // there may be more behind the poison
		}
	}
	return msgs, time.Duration(wait) * time.Millisecond, nil
}

// await returns when the list has a first element, or after a while.
func (q *Queue) await(ctx context.Context, name string, wait time.Duration) error {
	// Zero would mean for ever, and a connection is given up when nothing comes
	// within its read timeout, three seconds unless told otherwise.
	wait = max(time.Millisecond, min(wait, 2*time.Second))
	err := q.redis.Do(ctx, "BLMOVE", name, name, "LEFT", "LEFT", strconv.FormatFloat(wait.Seconds(), 'f', 3, 64)).Err()
	if errors.Is(err, redis.Nil) {
		return ctx.Err()
	}
	return err
}

func (q *Queue) idle(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Ack forgets messages. One whose lease ended a moment ago and that lies in the
// list again is delivered once more.
func (q *Queue) Ack(ctx context.Context, name string, ids ...string) error {
	return q.Settle(ctx, name, queue.End{IDs: ids})
}

// Settle is Ack that counts.
func (q *Queue) Settle(ctx context.Context, name string, ends ...queue.End) error {
	for _, end := range ends {
		all, err := raw(end.IDs)
		if err == nil {
			err = q.forget(ctx, name, end.Account, end.Outcome, all)
		}
		if err != nil {
			return fmt.Errorf("ack in %s: %w", name, unavailable(err))
		}
	}
	return nil
}

// forget removes messages that are held or delayed.
func (q *Queue) forget(ctx context.Context, name string, a queue.Account, stage string, ids []any) error {
	if err := ctx.Err(); err != nil || len(ids) == 0 {
		return err
	}
	if a == (queue.Account{}) {
		stage = ""
	}
	keys := []string{out(name), leases(name), delayed(name), ledger(name, a.Hour)}
	for _, part := range parts(ids) {
		args := append([]any{a.Pixel, stage, q.opts.KeepBooks.Milliseconds()}, part...)
		if err := forgetScript.Run(ctx, q.redis, keys, args...).Err(); err != nil {
			return err
		}
	}
	return nil
}

// Retry hands messages back for a time. Those that are no longer held are left
// as they are.
func (q *Queue) Retry(ctx context.Context, name string, at time.Time, ids ...string) error {
	all, err := raw(ids)
	if err != nil {
		return fmt.Errorf("retry in %s: %w", name, err)
	}
	// The rest of the wait, not the time, since Redis has its own clock; rounded
	// up, so that it is never early.
	wait := (time.Until(at) + time.Millisecond - 1).Milliseconds()
	keys := []string{name, out(name), leases(name), delayed(name)}
	for _, part := range slices.Backward(parts(all)) { // each goes in front of the list
		if err := retryScript.Run(ctx, q.redis, keys, append([]any{max(0, wait)}, part...)...).Err(); err != nil {
			return fmt.Errorf("retry in %s: %w", name, err)
		}
	}
	return nil
}

// Release hands messages back untried.
func (q *Queue) Release(ctx context.Context, name string, ids ...string) error {
	all, err := raw(ids)
	if err != nil {
		return fmt.Errorf("release in %s: %w", name, err)
	}
	keys := []string{name, out(name), leases(name)}
	for _, part := range slices.Backward(parts(all)) {
		if err := releaseScript.Run(ctx, q.redis, keys, part...).Err(); err != nil {
			return fmt.Errorf("release in %s: %w", name, err)
		}
	}
	return nil
}

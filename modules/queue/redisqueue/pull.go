package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

const (
	// maxPull bounds what one script hands out, so that it stays short.
	maxPull = 1000
	// longestWait is how long a connection blocks at most.
	longestWait = time.Second
)

// Pull claims up to max messages, at most a thousand. While there are none it
// blocks in BLMOVE of the list's head to where it is: that moves nothing, costs
// Redis nothing while it waits, and ends the moment a message is there, where
// polling would ask in vain most of the time and still be late.
func (q *Queue) Pull(ctx context.Context, name string, max int) ([]queue.Message, error) {
	if max < 1 || queue.IsDead(name) {
		return nil, q.idle(ctx, nil, q.opts.Wait)
	}
	giveUp := time.Now().Add(q.opts.Wait)
	for {
		ps := q.partitions(ctx, name)
		q.mu.Lock()
		all, wake := ps.all, ps.wake
		q.mu.Unlock()
		msgs, next, err := q.claimAll(ctx, name, up(all), min(max, maxPull))
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
		left = min(left, longestWait)
		if len(all) == 1 {
			err = q.await(ctx, all[0], left)
		} else {
			q.watch(ps, up(all))
			err = q.idle(ctx, wake, left)
		}
		if err != nil {
			return nil, fmt.Errorf("wait for %s: %w", name, err)
		}
	}
}

// claimAll takes from all partitions an equal share, and then what is missing
// from those that gave theirs; next is as claim's. A partition whose first message
// may be poison is asked alone, so that nobody else's are with it.
func (q *Queue) claimAll(ctx context.Context, name string, ps []*partition, max int) (msgs []queue.Message, next time.Duration, err error) {
	if len(ps) == 1 {
		return q.claim(ctx, name, ps[0], max, true)
	}
	// If a partition cannot be asked the claim below says so.
	if msgs, next, _ = q.claimSuspect(ctx, name, ps); len(msgs) > 0 {
		return msgs, next, nil
	}
	type answer struct {
		at   int
		msgs []queue.Message
		next time.Duration
		err  error
	}
	// A small pull asks only as many as it can have a message of each.
	start, asked := int(q.turn.Add(1)), len(ps)
	share := (max + asked - 1) / asked
	asked = min(asked, max)
	answers := make(chan answer, asked)
	for i := range asked {
		at := (start + i) % len(ps)
		go func() {
			a := answer{at: at}
			a.msgs, a.next, a.err = q.claim(ctx, name, ps[at], min(share, max-i*share+share), false)
			answers <- a
		}()
	}
	next = -1
	var full []int
	var errs []error
	for range asked {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
			q.failed(ps, ps[a.at], a.err)
			continue
		}
		msgs = append(msgs, a.msgs...)
		if len(a.msgs) == share {
			full = append(full, a.at)
		}
		if a.next >= 0 && (next < 0 || a.next < next) {
			next = a.next
		}
	}
	if len(errs) == asked {
		return nil, 0, errors.Join(errs...)
	}
	// Those not asked yet, where there was nothing, and those that may have more.
	for i := asked; i < len(ps) && len(msgs) < max; i++ {
		full = append(full, (start+i)%len(ps))
	}
	slices.Sort(full)
	for i := range full {
		if len(msgs) >= max {
			break
		}
		more, again, err := q.claim(ctx, name, ps[full[(start+i)%len(full)]], max-len(msgs), false)
		if err != nil {
			continue // what was claimed must be handed out
		}
		msgs = append(msgs, more...)
		if again >= 0 && (next < 0 || again < next) {
			next = again
		}
	}
	if len(msgs) == 0 && slices.ContainsFunc(ps, func(p *partition) bool { return p.suspect.Load() }) {
		return q.claimSuspect(ctx, name, ps)
	}
	return msgs, next, nil
}

// claimSuspect takes from the first partition that had a suspect and still has
// something.
func (q *Queue) claimSuspect(ctx context.Context, name string, ps []*partition) (msgs []queue.Message, next time.Duration, err error) {
	for _, p := range ps {
		if !p.suspect.Swap(false) {
			continue
		}
		if msgs, next, err = q.claim(ctx, name, p, 1, true); len(msgs) > 0 || err != nil {
			return msgs, next, err
		}
	}
	return nil, 0, nil // somebody else took it; look again
}

// claim takes what is there in a partition; next is when something comes back by
// itself, and negative if nothing does. Suspects are handed out one at a time, and
// none if others are claimed beside them.
func (q *Queue) claim(ctx context.Context, name string, p *partition, max int, suspects bool) (msgs []queue.Message, next time.Duration, err error) {
	if max < 1 {
		return nil, -1, nil
	}
	which := ""
	if suspects {
		which = "a"
	}
	cmd, err := q.run(ctx, p, claimScript, nil, []any{max, q.opts.Lease.Milliseconds(), min(q.opts.MaxDeliveries, 255), which})
	if err != nil {
		return nil, 0, err
	}
	answer, err := cmd.Slice()
	if err != nil || len(answer) != 4 {
		return nil, 0, fmt.Errorf("the claim script answered %d values, %w", len(answer), err)
	}
	parts, err := decodeParts(answer[0])
	if err != nil {
		return nil, 0, err
	}
	msgs = make([]queue.Message, 0, max)
	for _, part := range parts {
		if err := part.each(func(_ string, m queue.Message) error {
			msgs = append(msgs, m)
			return nil
		}); err != nil {
			return nil, 0, err
		}
	}
	poison, err := decodeParts(answer[1])
	if err != nil {
		return nil, 0, err
	}
	wait, _ := answer[2].(int64)
	if first, _ := answer[3].(int64); first == 1 {
		p.suspect.Store(true)
	}
	if len(poison) > 0 {
		if err := q.isolate(ctx, name, p, poison); err != nil && len(msgs) == 0 {
			return nil, 0, err // else it is buried when its lease ends
		}
		wait = 0 // there may be more behind the poison
	}
	return msgs, time.Duration(wait) * time.Millisecond, nil
}

// isolate buries messages that were handed out too often.
func (q *Queue) isolate(ctx context.Context, name string, p *partition, poison []part) error {
	var doomed []burial
	for _, part := range poison {
		if err := part.each(func(_ string, m queue.Message) error {
			doomed = append(doomed, burial{m, len(part.bodies), fmt.Sprintf("delivered %d times without an end", m.Deliveries)})
			return nil
		}); err != nil {
			return err
		}
	}
	_, err := q.bury(ctx, name, p, doomed, false)
	return err
}

// await returns when a partition's list has a first element, or after a while.
func (q *Queue) await(ctx context.Context, p *partition, wait time.Duration) error {
	wait = max(time.Millisecond, wait) // zero would mean for ever
	inner, cancel := context.WithTimeout(ctx, wait+q.set.Timeout)
	defer cancel()
	err := q.redis.Do(inner, "BLMOVE", p.ready(), p.ready(), "LEFT", "LEFT", strconv.FormatFloat(wait.Seconds(), 'f', 3, 64)).Err()
	if errors.Is(err, redis.Nil) {
		return ctx.Err()
	}
	if err != nil && strings.HasPrefix(err.Error(), "OOM ") {
		// A full server takes no BLMOVE, though it moves nothing; claims go on.
		select {
		case <-ctx.Done():
		case <-time.After(min(wait, 100*time.Millisecond)):
		}
		return ctx.Err()
	}
	return q.unavailable(ctx, err)
}

// watch has partitions watched, each by one connection however many wait, and
// wakes those who do.
func (q *Queue) watch(ps *partitions, list []*partition) {
	for _, p := range list {
		if p.waiting.Swap(true) {
			continue
		}
		q.background(func(ctx context.Context) {
			err := q.await(ctx, p, min(q.opts.Wait, longestWait))
			p.waiting.Store(false)
			q.failed(list, p, err)
			q.mu.Lock()
			defer q.mu.Unlock()
			close(ps.wake)
			ps.wake = make(chan struct{})
		})
	}
}

// idle waits until woken, or for a while.
func (q *Queue) idle(ctx context.Context, wake <-chan struct{}, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
	case <-timer.C:
	}
	return nil
}

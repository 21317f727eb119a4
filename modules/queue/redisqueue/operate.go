package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// Peek reads the list, then the delay set, then the leases; a cursor is which of
// the three, and the rank in it.
func (q *Queue) Peek(ctx context.Context, name, cursor string, limit int) ([]queue.Waiting, string, error) {
	part, rank := 0, 0
	if cursor != "" {
		if n, err := fmt.Sscanf(cursor, "%d-%d", &part, &rank); n != 2 || err != nil || part < 0 || part > 2 || rank < 0 {
			return nil, "", fmt.Errorf("peek at %s: %q is not a cursor", name, cursor)
		}
	}
	var found []queue.Waiting
	for ; part < 3; part, rank = part+1, 0 {
		got, err := q.peek(ctx, name, part, rank, limit-len(found)+1)
		if err != nil {
			return nil, "", fmt.Errorf("peek at %s: %w", name, unavailable(err))
		}
		if room := limit - len(found); len(got) > room {
			return append(found, got[:room]...), fmt.Sprintf("%d-%d", part, rank+room), nil
		}
		found = append(found, got...)
	}
	return found, "", nil
}

func (q *Queue) peek(ctx context.Context, name string, part, rank, n int) ([]queue.Waiting, error) {
	var elements []string
	var found []queue.Waiting
	if part == 0 {
		var err error
		if elements, err = q.redis.LRange(ctx, name, int64(rank), int64(rank+n-1)).Result(); err != nil {
			return nil, err
		}
		for range elements {
			found = append(found, queue.Waiting{State: queue.Ready})
		}
	} else {
		set, state := delayed(name), queue.Delayed
		if part == 2 {
			set, state = leases(name), queue.InFlight
		}
		members, err := q.redis.ZRangeWithScores(ctx, set, int64(rank), int64(rank+n-1)).Result()
		if err != nil || len(members) == 0 {
			return nil, err
		}
		ids := make([]string, len(members))
		for i, m := range members {
			ids[i] = m.Member.(string)
		}
		values, err := q.redis.HMGet(ctx, out(name), ids...).Result()
		if err != nil {
			return nil, err
		}
		for i, v := range values {
			if e, there := v.(string); there {
				elements = append(elements, e)
				found = append(found, queue.Waiting{State: state, Until: time.UnixMilli(int64(members[i].Score))})
			}
		}
	}
	for i, e := range elements {
		m, err := message(e)
		if err != nil {
			return nil, err
		}
		found[i].Message = m
	}
	return found, nil
}

// Skip takes messages out of the list, which it reads, or the delay set, and
// buries them.
func (q *Queue) Skip(ctx context.Context, name, reason string, ids ...string) (int, error) {
	all, err := raw(ids)
	total := 0
	for _, part := range parts(all) {
		keys := []string{name, out(name), leases(name), delayed(name)}
		var found []any
		if found, err = skipScript.Run(ctx, q.redis, keys, part...).Slice(); err == nil && len(found) > 0 {
			err = q.bury(ctx, name, reason, found)
		}
		if err != nil {
			break
		}
		total += len(found)
	}
	if err != nil {
		return total, fmt.Errorf("skip in %s: %w", name, unavailable(err))
	}
	return total, nil
}

// Drain takes out what Peek sees.
func (q *Queue) Drain(ctx context.Context, name, reason string, max int) (int, error) {
	n, err := q.drain(ctx, name, reason, max)
	if err != nil {
		return n, fmt.Errorf("drain %s: %w", name, unavailable(err))
	}
	return n, nil
}

func (q *Queue) drain(ctx context.Context, name, reason string, max int) (int, error) {
	if queue.IsDead(name) {
		if reason != "" {
			return 0, errors.New("dead letters cannot be buried again")
		}
		ids, err := q.redis.ZRange(ctx, name, 0, int64(max-1)).Result()
		if err != nil {
			return 0, err
		}
		letters := make([]any, len(ids))
		for i, id := range ids {
			letters[i] = id
		}
		return q.remove(ctx, name, queue.Dropped, letters)
	}
	total := 0
	for total < max {
		var ids []string
		accounts := map[queue.Account][]any{}
		for part := range 2 {
			got, err := q.peek(ctx, name, part, 0, min(max-total, 1000)-len(ids))
			if err != nil {
				return total, err
			}
			for _, w := range got {
				ids = append(ids, w.ID)
				one, _ := raw([]string{w.ID})
				accounts[w.Account] = append(accounts[w.Account], one...)
			}
			if len(ids) >= min(max-total, 1000) {
				break
			}
		}
		if len(ids) == 0 {
			return total, nil
		}
		if reason != "" {
			n, err := q.Skip(ctx, name, reason, ids...)
			total += n
			if err != nil {
				return total, err
			}
			continue
		}
		for account, ids := range accounts {
			keys := []string{name, out(name), leases(name), delayed(name)}
			found, err := skipScript.Run(ctx, q.redis, keys, ids...).Slice()
			if err == nil {
				err = q.forget(ctx, name, account, queue.Dropped, found)
			}
			if err != nil && !errors.Is(err, redis.Nil) {
				return total, err
			}
			total += len(found)
		}
	}
	return total, nil
}

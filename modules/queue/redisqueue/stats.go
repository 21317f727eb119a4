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

// looked is how many held and delayed messages are looked at for the oldest.
const looked = 512

// Stats describes the queues that something was ever pushed to. Oldest is exact
// while no more than 512 messages of a queue are held and as many delayed; beyond
// it is that of those held longest, due soonest and due last, which are the most
// often retried.
func (q *Queue) Stats(ctx context.Context) ([]queue.Stats, error) {
	names, err := q.redis.SMembers(ctx, registry).Result()
	if err != nil {
		return nil, fmt.Errorf("list the queues: %w", err)
	}
	slices.Sort(names)
	now, err := q.redis.Time(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("ask redis for the time: %w", err)
	}
	pipe := q.redis.Pipeline()
	read := make([]func() queue.Stats, len(names))
	for i, name := range names {
		if queue.IsDead(name) {
			read[i] = deadStats(ctx, pipe, name)
		} else {
			read[i] = liveStats(ctx, pipe, name, now)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("look at the queues: %w", err)
	}
	all := make([]queue.Stats, len(names))
	for i, f := range read {
		all[i] = f()
	}
	return all, nil
}

func liveStats(ctx context.Context, pipe redis.Pipeliner, name string, now time.Time) func() queue.Stats {
	after := "(" + strconv.FormatInt(now.UnixMilli(), 10)
	ready, first := pipe.LLen(ctx, name), pipe.LIndex(ctx, name, 0)
	out, held, waiting := pipe.HLen(ctx, out(name)), pipe.ZCount(ctx, leases(name), after, "+inf"), pipe.ZCount(ctx, delayed(name), after, "+inf")
	samples := []*redis.StringSliceCmd{
		pipe.ZRange(ctx, leases(name), 0, looked-1),
		pipe.ZRange(ctx, delayed(name), 0, looked-1),
		pipe.ZRevRange(ctx, delayed(name), 0, looked-1),
	}
	return func() queue.Stats {
		s := queue.Stats{Queue: name, InFlight: int(held.Val()), Delayed: int(waiting.Val())}
		// Whose lease or wait is over is ready: the next Pull gets it.
		s.Ready = int(ready.Val()+out.Val()) - s.InFlight - s.Delayed
		var oldest string
		if e := first.Val(); len(e) >= idEnd {
			oldest = e[1:idEnd]
		}
		for _, sample := range samples {
			for _, id := range sample.Val() {
				if oldest == "" || id < oldest {
					oldest = id
				}
			}
		}
		if oldest != "" {
			s.Oldest = max(0, time.Since(pushedAt(oldest)))
		}
		return s
	}
}

func deadStats(ctx context.Context, pipe redis.Pipeliner, name string) func() queue.Stats {
	ready, first := pipe.ZCard(ctx, name), pipe.ZRangeWithScores(ctx, name, 0, 0)
	return func() queue.Stats {
		s := queue.Stats{Queue: name, Ready: int(ready.Val())}
		if z := first.Val(); len(z) > 0 {
			s.Oldest = max(0, time.Since(time.UnixMilli(int64(z[0].Score))))
		}
		return s
	}
}

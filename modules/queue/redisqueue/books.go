package redisqueue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// ledger is the hash of an hour's counts of a queue: "pixel\x00stage" → count.
func ledger(name string, hour int32) string {
	return "{" + name + "}:ledger:" + strconv.Itoa(int(hour))
}

// books gathers counts, so that each account costs one command a commit.
type books map[queue.Count]int64

func (b *books) add(name string, a queue.Account, stage string, n int64) {
	if a == (queue.Account{}) || n == 0 {
		return
	}
	if *b == nil {
		*b = books{}
	}
	(*b)[queue.Count{Account: a, Queue: name, Stage: stage}] += n
}

func (b books) write(ctx context.Context, pipe redis.Pipeliner, keep time.Duration) {
	for c, n := range b {
		key := ledger(c.Queue, c.Account.Hour)
		pipe.HIncrBy(ctx, key, c.Account.Pixel+"\x00"+c.Stage, n)
		if keep > 0 {
			pipe.PExpire(ctx, key, keep)
		}
	}
}

// Counts reads the hours' hashes of all queues.
func (q *Queue) Counts(ctx context.Context, since, until int32) ([]queue.Count, error) {
	names, err := q.redis.SMembers(ctx, registry).Result()
	if err != nil {
		return nil, fmt.Errorf("read the books: %w", unavailable(err))
	}
	var out []queue.Count
	for _, name := range names {
		pipe := q.redis.Pipeline()
		var hours []*redis.MapStringStringCmd
		for h := since; h < until; h++ {
			hours = append(hours, pipe.HGetAll(ctx, ledger(name, h)))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("read the books: %w", unavailable(err))
		}
		for i, h := range hours {
			for field, n := range h.Val() {
				pixel, stage, _ := strings.Cut(field, "\x00")
				c := queue.Count{Account: queue.Account{Pixel: pixel, Hour: since + int32(i)}, Queue: name, Stage: stage}
				if c.N, err = strconv.ParseInt(n, 10, 64); err != nil {
					return nil, fmt.Errorf("read the books: %w", err)
				}
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b queue.Count) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Account.Hour, b.Account.Hour),
			cmp.Compare(a.Account.Pixel, b.Account.Pixel), cmp.Compare(a.Stage, b.Stage))
	})
	return out, nil
}

// unavailable marks errors that say that Redis cannot be reached, or takes no
// writes for now.
func unavailable(err error) error {
	var network net.Error
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &network) {
		return err
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return errors.Join(queue.ErrUnavailable, err)
	}
	for _, prefix := range []string{"OOM ", "READONLY ", "LOADING ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "MISCONF ", "NOREPLICAS "} {
		if strings.HasPrefix(reply.Error(), prefix) {
			return errors.Join(queue.ErrUnavailable, err)
		}
	}
	return err
}

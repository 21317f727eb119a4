package redisqueue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// Counts adds up the hours' hashes of all partitions.
func (q *Queue) Counts(ctx context.Context, since, until int32) ([]queue.Count, error) {
	out, err := q.counts(ctx, since, until)
	if err != nil {
		return nil, fmt.Errorf("read the books: %w", err)
	}
	return out, nil
}

func (q *Queue) counts(ctx context.Context, since, until int32) ([]queue.Count, error) {
	names, err := q.existing(ctx)
	if err != nil {
		return nil, err
	}
	sum := map[queue.Count]int64{}
	for _, name := range names {
		for _, p := range q.every(ctx, name) {
			if err := q.countsOf(ctx, p, name, since, until, sum); err != nil {
				return nil, err
			}
		}
	}
	out := make([]queue.Count, 0, len(sum))
	for c, n := range sum {
		c.N = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b queue.Count) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Account.Hour, b.Account.Hour),
			cmp.Compare(a.Account.Pixel, b.Account.Pixel), cmp.Compare(a.Stage, b.Stage))
	})
	return out, nil
}

func (q *Queue) countsOf(ctx context.Context, p *partition, name string, since, until int32, sum map[queue.Count]int64) error {
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	pipe := q.redis.Pipeline()
	var found []*redis.MapStringStringCmd
	for h := since; h < until; h++ {
		found = append(found, pipe.HGetAll(inner, p.books(h)))
	}
	if len(found) == 0 {
		return nil
	}
	if _, err := pipe.Exec(inner); err != nil {
		return q.unavailable(ctx, err)
	}
	for i, fields := range found {
		for field, value := range fields.Val() {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return fmt.Errorf("%s: %w", p.books(since+int32(i)), err)
			}
			pixel, stage, _ := strings.Cut(field, "\x00")
			c := queue.Count{Account: queue.Account{Pixel: pixel, Hour: since + int32(i)}, Queue: name, Stage: stage}
			if live, is := strings.CutSuffix(stage, dead); is {
				c.Stage = live
				if !queue.IsDead(name) {
					c.Queue = queue.DeadLetters(name)
				}
			}
			sum[c] += n
		}
	}
	return nil
}

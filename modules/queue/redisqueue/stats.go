package redisqueue

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/queue"
)

// looked is how many held and delayed messages are looked at for the oldest.
const looked = 512

// recounted is up to how many blocks of a partition Stats counts each message anew,
// so that one which is lost shows though the counts stayed. A partition that keeps
// pace has fewer.
const recounted = 64

// Stats describes the queues that something was ever pushed to. Oldest is exact
// while no more than 512 ranges of a partition's messages are held and as many
// delayed; beyond it is that of those held longest, due soonest and due last,
// which are the most often retried.
func (q *Queue) Stats(ctx context.Context) ([]queue.Stats, error) {
	all, err := q.stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the queues: %w", err)
	}
	return all, nil
}

func (q *Queue) stats(ctx context.Context) ([]queue.Stats, error) {
	names, err := q.existing(ctx)
	if err != nil {
		return nil, err
	}
	by := map[string]*queue.Stats{}
	at := func(name string) *queue.Stats {
		if by[name] == nil {
			by[name] = &queue.Stats{Queue: name}
		}
		return by[name]
	}
	for _, name := range names {
		for _, p := range q.every(ctx, name) {
			cmd, err := q.run(ctx, p, statsScript, nil, []any{looked, recounted})
			if err != nil {
				return nil, err
			}
			answer, err := cmd.Slice()
			if err != nil || len(answer) != 6 {
				return nil, fmt.Errorf("%s answered %d values, %w", p.tag, len(answer), err)
			}
			var n [4]int
			for i := range n {
				v, _ := answer[i].(int64)
				n[i] = int(v)
			}
			now := time.Now()
			older := func(s *queue.Stats, since time.Time) { s.Oldest = max(s.Oldest, now.Sub(since), 0) }
			if !queue.IsDead(name) {
				s := at(name)
				s.Ready += max(0, n[0]-n[1]-n[2])
				s.InFlight += n[1]
				s.Delayed += n[2]
				if oldest, _ := answer[4].(string); len(oldest) >= baseSize && n[0] > 0 {
					older(s, pushedAt(oldest))
				}
			}
			if n[3] == 0 && !queue.IsDead(name) {
				continue
			}
			grave := name
			if !queue.IsDead(name) {
				grave = queue.DeadLetters(name)
			}
			s := at(grave)
			s.Ready += n[3]
			if first, _ := answer[5].(string); first != "" {
				us, _ := strconv.ParseFloat(first, 64)
				older(s, time.UnixMicro(int64(us)))
			}
		}
	}
	out := make([]queue.Stats, 0, len(by))
	for _, s := range by {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b queue.Stats) int { return strings.Compare(a.Queue, b.Queue) })
	return out, nil
}

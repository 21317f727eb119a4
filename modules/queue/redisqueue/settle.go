package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
)

// Ack forgets messages.
func (q *Queue) Ack(ctx context.Context, name string, ids ...string) error {
	return q.Settle(ctx, name, queue.End{IDs: ids})
}

// Settle is Ack that counts: one script for each partition.
func (q *Queue) Settle(ctx context.Context, name string, ends ...queue.End) error {
	if _, err := q.settle(ctx, name, false, nil, ends); err != nil {
		return fmt.Errorf("ack in %s: %w", name, err)
	}
	return nil
}

// order is a script's arguments for a partition.
type order struct {
	hours hours
	args  []any
}

// orders gathers arguments by partition.
type orders map[*partition]*order

func (o orders) at(p *partition, first ...any) *order {
	found := o[p]
	if found == nil {
		found = &order{args: first}
		o[p] = found
	}
	return found
}

// run runs a script in all the partitions, and adds up what it answers.
func (o orders) run(ctx context.Context, q *Queue, s *redis.Script) (int, error) {
	total := 0
	var errs []error
	for p, order := range o {
		cmd, err := q.run(ctx, p, s, order.hours, order.args)
		if err == nil {
			var n int
			n, err = cmd.Int()
			total += n
		}
		errs = append(errs, err)
	}
	return total, errors.Join(errs...)
}

// settle ends messages; waiting: only those that nobody holds, of blocks with so
// many messages.
func (q *Queue) settle(ctx context.Context, name string, waiting bool, sizes map[string]int, ends []queue.End) (int, error) {
	scripts := orders{}
	for _, end := range ends {
		there, err := q.place(ctx, name, end.IDs)
		if err != nil {
			return 0, err
		}
		for _, l := range there {
			o := scripts.at(l.at, q.opts.KeepBooks.Milliseconds(), which(waiting))
			key := 0
			if end.Outcome != "" {
				key = o.hours.key(end.Account)
			}
			list := groups(l.ids)
			o.args = append(o.args, key, end.Account.Pixel+"\x00"+end.Outcome, len(list))
			for _, g := range list {
				o.args = append(o.args, g.base, sizes[g.base], g.ranges)
			}
		}
	}
	return scripts.run(ctx, q, settleScript)
}

func which(waiting bool) string {
	if waiting {
		return "w"
	}
	return ""
}

// Retry hands messages back for a time. Those that are no longer held are left
// as they are.
func (q *Queue) Retry(ctx context.Context, name string, at time.Time, ids ...string) error {
	// The rest of the wait, not the time, since Redis has its own clock; rounded
	// up, so that it is never early.
	wait := max(0, (time.Until(at) + time.Millisecond - 1).Milliseconds())
	if err := q.handBack(ctx, name, ids, wait, ""); err != nil {
		return fmt.Errorf("retry in %s: %w", name, err)
	}
	return nil
}

// Release hands messages back untried.
func (q *Queue) Release(ctx context.Context, name string, ids ...string) error {
	if err := q.handBack(ctx, name, ids, 0, "u"); err != nil {
		return fmt.Errorf("release in %s: %w", name, err)
	}
	return nil
}

func (q *Queue) handBack(ctx context.Context, name string, ids []string, wait int64, how string) error {
	there, err := q.place(ctx, name, ids)
	if err != nil {
		return err
	}
	scripts := orders{}
	for _, l := range there {
		o := scripts.at(l.at, wait, how)
		for _, g := range groups(l.ids) {
			o.args = append(o.args, g.base, g.ranges)
		}
	}
	_, err = scripts.run(ctx, q, returnScript)
	return err
}

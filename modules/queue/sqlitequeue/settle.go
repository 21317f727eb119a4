package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Ack deletes messages, also those whose lease has ended in the meantime.
func (q *Queue) Ack(ctx context.Context, name string, ids ...string) error {
	return q.Settle(ctx, name, queue.End{IDs: ids})
}

// Settle deletes messages and enters in the books what became of them.
func (q *Queue) Settle(ctx context.Context, name string, ends ...queue.End) error {
	nums := make([][]int64, len(ends))
	for i, end := range ends {
		var err error
		if nums[i], err = parse(end.IDs); err != nil {
			return fmt.Errorf("settle in %s: %w", name, err)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known(name)
	if t == nil || queue.IsDead(name) {
		return ctx.Err()
	}
	err := q.commit(ctx, sqlitedb.Lazy, func(x *tx) error {
		for i, end := range ends {
			gone, err := t.end(x, nums[i])
			if err != nil {
				return err
			}
			if end.Outcome != "" {
				x.count(t, end.Account, end.Outcome, gone)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("settle in %s: %w", name, err)
	}
	return nil
}

// Retry hands messages back for a time. Those that are no longer held are left
// as they are.
func (q *Queue) Retry(ctx context.Context, name string, at time.Time, ids ...string) error {
	return q.giveBack(ctx, "retry in", name, at, tried, ids)
}

// Release hands messages back untried.
func (q *Queue) Release(ctx context.Context, name string, ids ...string) error {
	return q.giveBack(ctx, "release in", name, time.Now(), untried, ids)
}

func (q *Queue) giveBack(ctx context.Context, doing, name string, at time.Time, how handing, ids []string) error {
	nums, err := parse(ids)
	if err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known(name)
	if t == nil {
		return ctx.Err()
	}
	nums = slices.DeleteFunc(nums, func(id int64) bool { _, held := t.held[id]; return !held })
	if len(nums) == 0 {
		return ctx.Err()
	}
	if err := q.handBack(ctx, t, at, how, nums); err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, err)
	}
	return nil
}

// handing is how a message comes back: what of its delivery counts.
type handing struct{ deliveries, died int }

var (
	tried     = handing{deliveries: 1}
	untried   = handing{}
	abandoned = handing{deliveries: 1, died: 1} // its lease ended, or its holder's process
)

// handBack makes held messages wait until a time. Those of a segment leave it,
// so that it need not be kept for them.
func (q *Queue) handBack(ctx context.Context, t *table, at time.Time, how handing, ids []int64) error {
	return q.commit(ctx, sqlitedb.Lazy, func(x *tx) error {
		var c *contents
		for _, id := range ids {
			s := t.held[id].in
			if s == nil {
				if _, err := t.giveBack.Exec(at.UnixNano(), 1-how.deliveries, how.died, id); err != nil {
					return err
				}
				continue
			}
			if c == nil || c.segment != s {
				var err error
				if c, err = t.read(s); err != nil {
					return err
				}
			}
			if err := t.putAside(id, c.pushedAt, how, at, c.at(id)); err != nil {
				return err
			}
			x.leave(t, s, id)
		}
		x.of(t).back += len(ids)
		x.after(func() {
			t.letGo(ids)
			t.wakeAll()
		})
		return nil
	})
}

// putAside stores a message by itself.
func (t *table) putAside(id, pushedAt int64, how handing, due time.Time, e entry) error {
	_, err := t.putBack.Exec(id, pushedAt, how.deliveries, how.died, due.UnixNano(), e.account.Pixel, e.account.Hour, notNil(e.body))
	return err
}

// notNil keeps an empty body from being stored as NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Bury moves messages to the queue's dead letters in one transaction.
func (q *Queue) Bury(ctx context.Context, name, reason string, ids ...string) error {
	nums, err := parse(ids)
	if err != nil {
		return fmt.Errorf("bury from %s: %w", name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known(name)
	if t == nil || len(nums) == 0 || queue.IsDead(name) {
		return ctx.Err()
	}
	dead, err := q.table(ctx, queue.DeadLetters(name))
	if err == nil {
		err = q.commit(ctx, sqlitedb.Durable, func(x *tx) error {
			for _, id := range nums {
				m, err := t.find(id)
				if err != nil {
					return err
				}
				if m == nil {
					continue // buried or acked before
				}
				if err := q.inter(x, t, dead, reason, *m); err != nil {
					return err
				}
			}
			_, err := t.end(x, nums)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("bury from %s: %w", name, err)
	}
	return nil
}

// find returns a message that was handed out, or nil.
func (t *table) find(id int64) (*row, error) {
	h, held := t.held[id]
	if held && h.in != nil {
		c, err := t.read(h.in)
		if err != nil {
			return nil, err
		}
		return &row{Message: c.message(id, 1), id: id}, nil
	}
	if !held && t.back == 0 {
		return nil, nil
	}
	m := &row{id: id}
	var pushed int64
	err := t.get.QueryRow(id).Scan(&pushed, &m.Deliveries, &m.Account.Pixel, &m.Account.Hour, &m.Body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	m.ID, m.PushedAt = formatID(id), time.Unix(0, pushed)
	return m, err
}

// parse reads message ids, and returns them in order and each once.
func parse(ids []string) ([]int64, error) {
	nums := make([]int64, 0, len(ids))
	for _, id := range ids {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a message id", id)
		}
		nums = append(nums, n)
	}
	slices.Sort(nums)
	return slices.Compact(nums), nil
}

// end deletes messages that are held, or wait to be delivered again, and returns
// how many there were.
func (t *table) end(x *tx, ids []int64) (int, error) {
	f := x.of(t)
	gone := 0
	var apart []int64
	for _, id := range ids {
		switch h, held := t.held[id]; {
		case held && h.in != nil:
			if x.leave(t, h.in, id) {
				gone++
			}
		case held:
			apart = append(apart, id)
		case f.back > 0:
			n, err := changed(t.take.Exec(id))
			if err != nil {
				return 0, err
			}
			f.back -= n
			gone += n
		}
	}
	err := runs(apart, func(first, last int64) error {
		n, err := changed(t.remove.Exec(first, last))
		gone += n
		return err
	})
	f.total -= gone
	x.after(func() { t.letGo(ids) })
	return gone, err
}

func changed(r sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

package sqlitequeue

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Pull claims up to max messages. While there are none it sleeps until a push or
// a returned message wakes it, or the next lease or delay ends; an empty queue
// costs no look at the disk.
func (q *Queue) Pull(ctx context.Context, name string, max int) ([]queue.Message, error) {
	giveUp := time.Now().Add(q.opts.Wait)
	for {
		msgs, wake, next, err := q.claim(ctx, name, max)
		if err != nil {
			return nil, fmt.Errorf("pull from %s: %w", name, err)
		}
		now := time.Now()
		if len(msgs) > 0 || !now.Before(giveUp) {
			return msgs, nil
		}
		until := giveUp
		if !next.IsZero() && next.Before(until) {
			until = next
		}
		timer := time.NewTimer(until.Sub(now))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// claim takes what is there. If that is nothing, wake is closed once something
// came, and next is when a message comes back by itself (zero: never).
func (q *Queue) claim(ctx context.Context, name string, max int) (msgs []queue.Message, wake <-chan struct{}, next time.Time, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil, next, errClosed
	}
	t := q.tables[name]
	if t == nil {
		t = newTable(name)
		q.tables[name] = t
	}
	for {
		now := time.Now()
		if ids := t.expired(now); len(ids) > 0 {
			if err := q.handBack(ctx, t, now, abandoned, ids); err != nil {
				return nil, nil, next, err
			}
		}
		if queue.IsDead(name) || max < 1 || t.back == 0 && t.cursor >= t.last {
			break
		}
		var poison int
		if msgs, poison, err = q.takeUp(ctx, t, max); err != nil || len(msgs) > 0 {
			return msgs, nil, next, err
		}
		if poison == 0 {
			break
		}
	}
	if t.back > 0 {
		var due int64
		if err := t.nextDue.QueryRow().Scan(&due); err != nil {
			return nil, nil, next, err
		}
		next = time.Unix(0, due)
	}
	if len(t.claims) > 0 && (next.IsZero() || t.claims[0].ends.Before(next)) {
		next = t.claims[0].ends
	}
	return nil, t.wake, next, nil
}

// takeUp claims messages whose time has come again, which are older, and then
// fresh ones, and buries those that were delivered too often. What may be poison
// is handed out alone: then it cannot take others with it.
func (q *Queue) takeUp(ctx context.Context, t *table, max int) (msgs []queue.Message, poison int, err error) {
	dead, err := q.table(ctx, queue.DeadLetters(t.name))
	if err != nil {
		return nil, 0, err
	}
	err = q.commit(ctx, sqlitedb.Lazy, func(x *tx) error {
		f := x.of(t)
		var ids []int64
		var in []*segment
		var alone bool
		if f.back > 0 {
			returned, err := scan(t.due.Query(x.now.UnixNano(), max))
			if err != nil {
				return err
			}
			for _, m := range returned {
				if alone = q.suspect(m); alone && len(msgs) > 0 {
					alone = false // it is first in the next pull
					break
				}
				f.back--
				if m.Deliveries >= q.opts.MaxDeliveries {
					poison++
					if err := q.isolate(x, t, dead, m); err != nil {
						return err
					}
					continue
				}
				if _, err := t.again.Exec(m.id); err != nil {
					return err
				}
				m.Deliveries++
				ids, in, msgs = append(ids, m.id), append(in, nil), append(msgs, m.Message)
				if alone {
					break
				}
			}
		}
		c := t.ahead
		for !alone && len(msgs) < max && f.cursor < f.last {
			if c == nil || c.last() <= f.cursor {
				var err error
				if c, err = t.after(f.cursor); err != nil {
					return err
				}
				if c == nil { // what is left was taken out
					f.cursor = f.last
					break
				}
				f.cursor = c.first - 1
			}
			msgs = slices.Grow(msgs, min(c.n, max-len(msgs)))
			for f.cursor < c.last() && len(msgs) < max {
				f.cursor++
				if c.done.has(int(f.cursor - c.first)) {
					continue
				}
				ids, in, msgs = append(ids, f.cursor), append(in, c.segment), append(msgs, c.message(f.cursor, 1))
			}
		}
		x.after(func() {
			t.ahead = c
			if len(ids) > 0 {
				t.handOut(ids, in, x.now.Add(q.opts.Lease))
			}
		})
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return msgs, poison, nil
}

func (c *contents) message(id int64, deliveries int) queue.Message {
	e := c.at(id)
	return queue.Message{ID: formatID(id), Body: e.body, Deliveries: deliveries, PushedAt: time.Unix(0, c.pushedAt), Account: e.account}
}

// suspect reports whether a message may be what its holders died of: they did
// twice in a row, or it has but one delivery left to show that it is not. One that
// has none left is not suspect any more.
func (q *Queue) suspect(m row) bool {
	left := q.opts.MaxDeliveries - m.Deliveries
	return m.died >= 2 && left > 0 || m.died == 1 && left == 1
}

// isolate buries a message that never came to an end.
func (q *Queue) isolate(x *tx, t, dead *table, m row) error {
	x.of(t).total--
	if err := q.inter(x, t, dead, fmt.Sprintf("delivered %d times without an end", m.Deliveries), m); err != nil {
		return err
	}
	_, err := t.remove.Exec(m.id, m.id)
	return err
}

// row is a message with its id as the tables have it.
type row struct {
	queue.Message
	id   int64
	died int // how often in a row its holder did
}

func formatID(id int64) string { return strconv.FormatInt(id, 10) }

// scan reads messages that lie by themselves.
func scan(rows *sql.Rows, err error) ([]row, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		var m row
		var pushed int64
		if err := rows.Scan(&m.id, &pushed, &m.Deliveries, &m.died, &m.Account.Pixel, &m.Account.Hour, &m.Body); err != nil {
			return nil, err
		}
		m.ID, m.PushedAt = formatID(m.id), time.Unix(0, pushed)
		out = append(out, m)
	}
	return out, rows.Err()
}

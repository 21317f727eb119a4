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
		if err := q.expire(ctx, t, now); err != nil {
			return nil, nil, next, err
		}
		if queue.IsDead(name) || max < 1 || t.back == 0 && t.cursor >= t.last {
			break
		}
		var poison int
		if msgs, poison, err = q.take(ctx, t, max, now); err != nil || len(msgs) > 0 {
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

// expire gives back the messages whose holders let their lease end.
func (q *Queue) expire(ctx context.Context, t *table, now time.Time) error {
	ids := t.expired(now)
	if len(ids) == 0 {
		return nil
	}
	err := q.commit(ctx, sqlitedb.Lazy, func() error {
		for _, id := range ids {
			if _, err := t.giveBack.Exec(now.UnixNano(), id); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		t.letGo(ids)
		t.back += len(ids)
	}
	return err
}

// take claims messages whose time has come again, which are older, and then
// fresh ones, and buries those that were delivered too often.
func (q *Queue) take(ctx context.Context, t *table, max int, now time.Time) (msgs []queue.Message, poison int, err error) {
	name := queue.DeadLetters(t.name)
	dead, err := q.table(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	var ids []int64
	back, cursor := t.back, t.cursor
	err = q.commit(ctx, sqlitedb.Lazy, func() error {
		if t.back > 0 {
			returned, err := scan(t.due.Query(now.UnixNano(), max))
			if err != nil {
				return err
			}
			for _, m := range returned {
				back--
				if m.Deliveries >= q.opts.MaxDeliveries {
					poison++
					if err := q.isolate(t, dead, m, now); err != nil {
						return err
					}
					continue
				}
				if _, err := t.again.Exec(m.id); err != nil {
					return err
				}
				m.Deliveries++
				ids, msgs = append(ids, m.id), append(msgs, m.Message)
			}
		}
		if poison > 0 {
			if err := q.count(t, t.last, t.total-poison); err != nil {
				return err
			}
			if err := q.count(dead, 0, dead.total+poison); err != nil {
				return err
			}
		}
		if left := max - len(msgs); left > 0 && t.cursor < t.last {
			fresh, err := scan(t.fresh.Query(t.cursor, left))
			if err != nil || len(fresh) == 0 {
				return err
			}
			cursor = fresh[len(fresh)-1].id
			if _, err := t.hold.Exec(t.cursor, cursor); err != nil {
				return err
			}
			msgs = slices.Grow(msgs, len(fresh))
			for _, m := range fresh {
				m.Deliveries = 1
				ids, msgs = append(ids, m.id), append(msgs, m.Message)
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	t.back, t.cursor = back, cursor
	t.total -= poison
	dead.total += poison
	if len(ids) > 0 {
		t.handOut(ids, now.Add(q.opts.Lease))
	}
	return msgs, poison, nil
}

// isolate buries a message that never came to an end.
func (q *Queue) isolate(t, dead *table, m row, now time.Time) error {
	reason := fmt.Sprintf("delivered %d times without an end", m.Deliveries)
	if err := q.buryIn(dead.name, t.name, reason, now, m); err != nil {
		return err
	}
	var entries books
	entries.add(t.name, m.Account, queue.Buried, 1)
	entries.add(dead.name, m.Account, queue.In, 1)
	if err := q.enter(entries); err != nil {
		return err
	}
	return t.remove(m.id, m.id)
}

// remove deletes the messages from first to last.
func (t *table) remove(first, last int64) error {
	if _, err := t.removeM.Exec(first, last); err != nil {
		return err
	}
	_, err := t.removeH.Exec(first, last)
	return err
}

// row is a message with its id as the tables have it.
type row struct {
	queue.Message
	id int64
}

func formatID(id int64) string { return strconv.FormatInt(id, 10) }

// scan reads rows of (id, pushed_at, deliveries, body, pixel, hour).
func scan(rows *sql.Rows, err error) ([]row, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		var pushed int64
		var m row
		if err := rows.Scan(&m.id, &pushed, &m.Deliveries, &m.Body, &m.Account.Pixel, &m.Account.Hour); err != nil {
			return nil, err
		}
		m.ID, m.PushedAt = formatID(m.id), time.Unix(0, pushed)
		out = append(out, m)
	}
	return out, rows.Err()
}

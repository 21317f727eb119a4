package sqlitequeue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// spot is where a waiting message was found.
type spot struct {
	row
	in  *segment // nil: it lies by itself
	due int64    // Unix nanoseconds; of those that lie by themselves
}

// The parts of a queue in the order in which Peek goes through them. Its cursor
// is the part's letter and where the last message lay in it.
const (
	partDue     = "b"
	partFresh   = "f"
	partDelayed = "d"
	partHeld    = "h"
)

// Peek goes through the parts of a queue.
func (q *Queue) Peek(ctx context.Context, name, cursor string, limit int) ([]queue.Waiting, string, error) {
	part, due, id, err := parseCursor(cursor)
	if err != nil {
		return nil, "", fmt.Errorf("peek into %s: %w", name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known(name)
	if t == nil || queue.IsDead(name) || limit < 1 {
		return nil, "", ctx.Err()
	}
	now := time.Now()
	if ids := t.expired(now); len(ids) > 0 {
		if err := q.handBack(ctx, t, now, abandoned, ids); err != nil {
			return nil, "", fmt.Errorf("peek into %s: %w", name, err)
		}
	}
	var out []queue.Waiting
	next := ""
	for _, p := range []string{partDue, partFresh, partDelayed, partHeld} {
		if part != "" && p != part {
			continue
		}
		part = ""
		// One more than asked tells whether there is a next page.
		found, state, err := q.look(ctx, t, p, now, due, id, limit+1-len(out))
		if err != nil {
			return nil, "", fmt.Errorf("peek into %s: %w", name, err)
		}
		due, id = 0, 0
		for _, f := range found {
			if len(out) == limit {
				return out, next, nil
			}
			w := queue.Waiting{Message: f.Message, State: state}
			switch state {
			case queue.Delayed:
				w.Until = time.Unix(0, f.due)
			case queue.InFlight:
				w.Until = t.held[f.id].ends
			}
			out = append(out, w)
			next = fmt.Sprintf("%s%d,%d", p, f.due, f.id)
		}
	}
	return out, "", nil
}

func parseCursor(cursor string) (part string, due, id int64, err error) {
	if cursor == "" {
		return "", 0, 0, nil
	}
	a, b, ok := strings.Cut(cursor[1:], ",")
	due, err1 := strconv.ParseInt(a, 10, 64)
	id, err2 := strconv.ParseInt(b, 10, 64)
	if !ok || !strings.Contains("bfdh", cursor[:1]) || err1 != nil || err2 != nil {
		return "", 0, 0, fmt.Errorf("%q is not a cursor", cursor)
	}
	return cursor[:1], due, id, nil
}

// look finds messages in a part of a queue, behind a place in it.
func (q *Queue) look(ctx context.Context, t *table, part string, now time.Time, due, id int64, limit int) ([]spot, queue.State, error) {
	switch part {
	case partDue:
		found, err := q.apart(ctx, t, `due <= ?`, now, due, id, limit)
		return found, queue.Ready, err
	case partDelayed:
		found, err := q.apart(ctx, t, `due > ?`, now, due, id, limit)
		return found, queue.Delayed, err
	case partFresh:
		found, err := t.fresh(max(id, t.cursor), limit)
		return found, queue.Ready, err
	}
	var found []spot
	for _, held := range slices.Sorted(maps.Keys(t.held)) {
		if held <= id {
			continue
		}
		m, err := t.find(held)
		if err != nil {
			return nil, "", err
		}
		if found = append(found, spot{row: *m}); len(found) == limit {
			break
		}
	}
	return found, queue.InFlight, nil
}

// apart finds messages that lie by themselves and wait, by when they are due.
func (q *Queue) apart(ctx context.Context, t *table, where string, now time.Time, due, id int64, limit int) ([]spot, error) {
	rows, err := q.db.Conn().QueryContext(ctx, fmt.Sprintf(`SELECT id, due, pushed_at, deliveries, pixel, hour, body FROM r%d
		WHERE `+where+` AND (due, id) > (?, ?) ORDER BY due, id LIMIT ?`, t.no), now.UnixNano(), due, id, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []spot
	for rows.Next() {
		var s spot
		var pushed int64
		if err := rows.Scan(&s.id, &s.due, &pushed, &s.Deliveries, &s.Account.Pixel, &s.Account.Hour, &s.Body); err != nil {
			return nil, err
		}
		s.ID, s.PushedAt = formatID(s.id), time.Unix(0, pushed)
		out = append(out, s)
	}
	return out, rows.Err()
}

// fresh finds messages behind an id that were never handed out.
func (t *table) fresh(id int64, limit int) ([]spot, error) {
	var out []spot
	c, err := t.around(id + 1)
	for ; c != nil && err == nil && len(out) < limit; c, err = t.after(c.first) {
		for i := max(id+1, c.first); i <= c.last() && len(out) < limit; i++ {
			if !c.done.has(int(i - c.first)) {
				out = append(out, spot{row: row{Message: c.message(i, 0), id: i}, in: c.segment})
			}
		}
	}
	return out, err
}

// around reads the segment that an id lies in, or the next one.
func (t *table) around(id int64) (*contents, error) {
	if t.ahead != nil && t.ahead.first <= id && id <= t.ahead.last() {
		return t.ahead, nil
	}
	var first int64
	if err := t.before.QueryRow(id).Scan(&first); err != nil {
		return nil, err
	}
	c, err := t.after(first - 1)
	if err == nil && c != nil && c.last() < id {
		return t.after(first)
	}
	return c, err
}

// Skip buries messages that wait.
func (q *Queue) Skip(ctx context.Context, name, reason string, ids ...string) (int, error) {
	nums, err := parse(ids)
	if err != nil {
		return 0, fmt.Errorf("skip in %s: %w", name, err)
	}
	return q.takeOut(ctx, "skip in", name, reason, true, func(t *table) ([]spot, error) {
		var out []spot
		for _, id := range nums {
			if _, held := t.held[id]; held {
				continue
			}
			m, err := t.find(id)
			if err != nil {
				return nil, err
			}
			if m != nil {
				out = append(out, spot{row: *m})
				continue
			}
			if id <= t.cursor {
				continue
			}
			found, err := t.fresh(id-1, 1)
			if err != nil {
				return nil, err
			}
			if len(found) > 0 && found[0].id == id {
				out = append(out, found[0])
			}
		}
		return out, nil
	})
}

// Drain takes out what comes next, or the oldest dead letters, a thousand a
// transaction so that others have their turn.
func (q *Queue) Drain(ctx context.Context, name, reason string, max int) (int, error) {
	if queue.IsDead(name) && reason != "" {
		return 0, fmt.Errorf("drain %s: dead letters cannot be buried again, for %q or anything else", name, reason)
	}
	for n := 0; ; {
		took, err := q.drain(ctx, name, reason, min(1000, max-n))
		if n += took; took == 0 || n >= max || err != nil {
			return n, err
		}
	}
}

func (q *Queue) drain(ctx context.Context, name, reason string, max int) (int, error) {
	if queue.IsDead(name) {
		return q.drainDead(ctx, name, max)
	}
	return q.takeOut(ctx, "drain", name, reason, reason != "", func(t *table) ([]spot, error) {
		if max < 1 {
			return nil, nil
		}
		out, err := q.apart(ctx, t, `? > 0`, time.Now(), 0, 0, max)
		if err != nil || len(out) == max {
			return out, err
		}
		fresh, err := t.fresh(t.cursor, max-len(out))
		return append(out, fresh...), err
	})
}

// takeOut ends the messages that choose found, as letters or for good.
func (q *Queue) takeOut(ctx context.Context, doing, name, reason string, bury bool, choose func(*table) ([]spot, error)) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.known(name)
	if t == nil || queue.IsDead(name) {
		return 0, ctx.Err()
	}
	now := time.Now()
	if ids := t.expired(now); len(ids) > 0 {
		if err := q.handBack(ctx, t, now, abandoned, ids); err != nil {
			return 0, fmt.Errorf("%s %s: %w", doing, name, err)
		}
	}
	dead, err := q.table(ctx, queue.DeadLetters(name))
	if err == nil {
		var found []spot
		if found, err = choose(t); err == nil && len(found) > 0 {
			err = q.commit(ctx, sqlitedb.Durable, func(x *tx) error { return q.out(x, t, dead, reason, bury, found) })
			n = len(found)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", doing, name, err)
	}
	return n, nil
}

func (q *Queue) out(x *tx, t, dead *table, reason string, bury bool, found []spot) error {
	f := x.of(t)
	for _, s := range found {
		if bury {
			if err := q.inter(x, t, dead, reason, s.row); err != nil {
				return err
			}
		} else {
			x.count(t, s.Account, queue.Dropped, 1)
		}
		f.total--
		if s.in != nil {
			x.leave(t, t.opened(s.in), s.id)
			continue
		}
		n, err := changed(t.take.Exec(s.id))
		if err != nil {
			return err
		}
		if n != 1 {
			return errors.New("a message that waited is gone")
		}
		f.back--
	}
	return nil
}

func (q *Queue) drainDead(ctx context.Context, name string, max int) (int, error) {
	ids, err := func() ([]string, error) {
		rows, err := q.read.QueryContext(ctx, `SELECT id FROM dead WHERE queue = ? ORDER BY id LIMIT ?`, name, max)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var out []string
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return nil, err
			}
			out = append(out, formatID(id))
		}
		return out, rows.Err()
	}()
	if err != nil {
		return 0, fmt.Errorf("drain %s: %w", name, err)
	}
	return q.Drop(ctx, name, ids...)
}

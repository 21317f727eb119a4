package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// figures are what is known of a queue without looking; what is also in the
// file is written with each change.
type figures struct {
	last   int64 // the highest id given
	cursor int64 // the highest id handed out
	total  int   // messages that are not done
	back   int   // messages handed back or due later; not in the file
}

// table is one queue: its tables' statements and what is kept in memory.
type table struct {
	figures
	no   int64 // 0 until something was pushed
	name string

	held   map[int64]holding
	claims []*claim           // oldest first, so in the order of their leases' ends
	open   map[int64]*segment // by first id: those of which something is handed out or done
	ahead  *contents          // the one that the next fresh message lies in; nil: not known
	wake   chan struct{}

	insert, next, before, contents, drop, mark, unmark *sql.Stmt
	wipe                                               *sql.Stmt
	putBack, due, nextDue, again, giveBack, get, take  *sql.Stmt
	remove, oldest, oldestBack, delayed                *sql.Stmt
}

// claim is what one Pull handed out.
type claim struct {
	ends time.Time
	ids  []int64
	left int // of ids, how many are still held
}

// holding is a message that somebody holds.
type holding struct {
	*claim
	in *segment // nil: it was handed back before, and lies by itself
}

func newTable(name string) *table {
	return &table{name: name, held: map[int64]holding{}, open: map[int64]*segment{}, wake: make(chan struct{})}
}

// table returns a queue's table, made if it is new. Callers hold the lock.
func (q *Queue) table(ctx context.Context, name string) (*table, error) {
	t := q.tables[name]
	if t == nil {
		t = newTable(name)
		q.tables[name] = t
	}
	if t.no > 0 {
		return t, nil
	}
	// A queue is made whole or not at all: half of one would have no statements.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("make queue %s: %w", name, err)
	}
	ctx = context.WithoutCancel(ctx)
	var no int64
	err := q.commit(ctx, sqlitedb.Durable, func(*tx) error {
		if err := q.db.Conn().QueryRowContext(ctx, `INSERT INTO queues (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING no`, name).Scan(&no); err != nil {
			return err
		}
		if queue.IsDead(name) {
			return nil
		}
		_, err := q.db.Conn().ExecContext(ctx, fmt.Sprintf(tableSchema, no))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make queue %s: %w", name, err)
	}
	t.no = no
	if queue.IsDead(name) {
		return t, nil
	}
	if err := t.prepare(ctx, q.db); err != nil {
		t.no = 0 // the next push tries again
		return nil, fmt.Errorf("make queue %s: %w", name, err)
	}
	return t, nil
}

// known returns a queue that something was pushed to, or nil.
func (q *Queue) known(name string) *table {
	if t := q.tables[name]; t != nil && t.no > 0 {
		return t
	}
	return nil
}

// prepare makes the statements.
func (t *table) prepare(ctx context.Context, db *sqlitedb.Writer) error {
	for _, s := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&t.insert, `INSERT INTO s%[1]d (first, n, pushed_at, body) VALUES (?, ?, ?, ?)`},
		// after id → the next segment
		{&t.next, `SELECT first, n, pushed_at, body FROM s%[1]d WHERE first > ? ORDER BY first LIMIT 1`},
		// id → the first id of the segment that it may lie in
		{&t.before, `SELECT COALESCE(MAX(first), 0) FROM s%[1]d WHERE first <= ?`},
		{&t.contents, `SELECT n, pushed_at, body FROM s%[1]d WHERE first = ?`},
		{&t.drop, `DELETE FROM s%[1]d WHERE first = ?`},
		{&t.wipe, `UPDATE s%[1]d SET body = ? WHERE first = ?`},
		{&t.mark, `INSERT INTO d%[1]d (first, done) VALUES (?, ?) ON CONFLICT (first) DO UPDATE SET done = excluded.done`},
		{&t.unmark, `DELETE FROM d%[1]d WHERE first = ?`},
		{&t.putBack, `INSERT INTO r%[1]d (id, pushed_at, deliveries, died, due, pixel, hour, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`},
		// now, max → messages whose time has come again
		{&t.due, `SELECT id, pushed_at, deliveries, died, pixel, hour, body FROM r%[1]d WHERE due <= ? ORDER BY due, id LIMIT ?`},
		{&t.nextDue, `SELECT due FROM r%[1]d WHERE due IS NOT NULL ORDER BY due LIMIT 1`},
		{&t.again, `UPDATE r%[1]d SET due = NULL, deliveries = deliveries + 1 WHERE id = ?`},
		// when, deliveries that do not count, 1 if its holder died (else 0), id: a held message goes back
		{&t.giveBack, `UPDATE r%[1]d SET due = ?, deliveries = deliveries - ?, died = (died + 1) * ? WHERE id = ? AND due IS NULL`},
		{&t.get, `SELECT pushed_at, deliveries, pixel, hour, body FROM r%[1]d WHERE id = ?`},
		// id: one that waits is taken out
		{&t.take, `DELETE FROM r%[1]d WHERE id = ? AND due IS NOT NULL`},
		// first id, last id: these are done
		{&t.remove, `DELETE FROM r%[1]d WHERE id BETWEEN ? AND ?`},
		{&t.oldest, `SELECT pushed_at FROM s%[1]d ORDER BY first LIMIT 1`},
		{&t.oldestBack, `SELECT pushed_at FROM r%[1]d ORDER BY id LIMIT 1`},
		{&t.delayed, `SELECT COUNT(*) FROM r%[1]d WHERE due > ?`},
	} {
		var err error
		if *s.stmt, err = db.Prepare(ctx, fmt.Sprintf(s.text, t.no)); err != nil {
			return err
		}
	}
	return nil
}

// read reads a segment.
func (t *table) read(s *segment) (*contents, error) {
	if t.ahead != nil && t.ahead.first == s.first {
		return t.ahead, nil
	}
	c := &contents{segment: s}
	var blob []byte
	if err := t.contents.QueryRow(s.first).Scan(&s.n, &c.pushedAt, &blob); err != nil {
		return nil, fmt.Errorf("read the messages from %d on: %w", s.first, err)
	}
	var err error
	c.entries, err = decode(blob, s.n)
	return c, err
}

// opened returns the one that stands for a segment in memory, since the same may
// have been read several times.
func (t *table) opened(s *segment) *segment {
	if t.ahead != nil && t.ahead.first == s.first {
		return t.ahead.segment
	}
	if known := t.open[s.first]; known != nil {
		return known
	}
	t.open[s.first] = s
	return s
}

// after reads the next segment behind an id; nil: there is none.
func (t *table) after(id int64) (*contents, error) {
	c := &contents{segment: &segment{}}
	var blob []byte
	err := t.next.QueryRow(id).Scan(&c.first, &c.n, &c.pushedAt, &blob)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s := t.open[c.first]; s != nil {
		c.segment = s
	} else {
		c.left = c.n
	}
	c.entries, err = decode(blob, c.n)
	return c, err
}

// finish marks n more messages of a segment as done, and deletes it with the last.
func (t *table) finish(x *tx, s *segment, n int, done bitset) error {
	left := s.left - n
	if left > 0 {
		if _, err := t.mark.Exec(s.first, []byte(done)); err != nil {
			return err
		}
		x.after(func() {
			s.left, s.done = left, done
			t.open[s.first] = s
		})
		return nil
	}
	if _, err := t.drop.Exec(s.first); err != nil {
		return err
	}
	if s.done != nil {
		if _, err := t.unmark.Exec(s.first); err != nil {
			return err
		}
	}
	x.after(func() {
		s.left = 0
		delete(t.open, s.first)
		if t.ahead != nil && t.ahead.first == s.first {
			t.ahead = nil
		}
	})
	return nil
}

// wakeAll lets all waiting pullers look again.
func (t *table) wakeAll() {
	close(t.wake)
	t.wake = make(chan struct{})
}

// handOut notes a claim.
func (t *table) handOut(ids []int64, in []*segment, ends time.Time) {
	c := &claim{ends: ends, ids: ids, left: len(ids)}
	for i, id := range ids {
		t.held[id] = holding{c, in[i]}
		if in[i] != nil {
			t.open[in[i].first] = in[i]
		}
	}
	t.claims = append(t.claims, c)
}

// letGo forgets that messages are held.
func (t *table) letGo(ids []int64) {
	for _, id := range ids {
		if h, ok := t.held[id]; ok {
			h.left--
			delete(t.held, id)
		}
	}
	t.claims = slices.DeleteFunc(t.claims, func(c *claim) bool { return c.left == 0 })
}

// expired returns the held messages whose lease ended.
func (t *table) expired(now time.Time) []int64 {
	var ids []int64
	for _, c := range t.claims {
		if now.Before(c.ends) {
			break
		}
		for _, id := range c.ids {
			if t.held[id].claim == c {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// runs calls fn for each run of consecutive ids; ids must be sorted.
func runs(ids []int64, fn func(first, last int64) error) error {
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		if err := fn(ids[i], ids[j]); err != nil {
			return err
		}
		i = j + 1
	}
	return nil
}

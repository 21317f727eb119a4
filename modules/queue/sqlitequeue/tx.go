package sqlitequeue

import (
	"context"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// tx is a change under way. What is kept in memory follows only once it is
// committed.
type tx struct {
	q       *Queue
	now     time.Time
	figures map[*table]*figures
	books   map[line]int64
	leaving map[*segment]*leaving
	then    []func()
}

// leaving are the messages of a segment that are done with this change.
type leaving struct {
	t    *table
	n    int
	done bitset // those that left before, too
}

// commit runs fn in a transaction. Callers hold the lock.
func (q *Queue) commit(ctx context.Context, d sqlitedb.Durability, fn func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.closed {
		return errClosed
	}
	x := &tx{q: q, now: time.Now()}
	err := q.db.Run(d, func() error {
		if err := fn(x); err != nil {
			return err
		}
		return x.flush()
	})
	if err != nil {
		if sqlitedb.Unavailable(err) {
			return fmt.Errorf("%w: %w", queue.ErrUnavailable, err)
		}
		return err
	}
	for t, f := range x.figures {
		t.figures = *f
	}
	for _, fn := range x.then {
		fn()
	}
	q.stirred = x.now
	return nil
}

// of returns a table's figures as they will be.
func (x *tx) of(t *table) *figures {
	f := x.figures[t]
	if f == nil {
		f = &figures{}
		*f = t.figures
		if x.figures == nil {
			x.figures = map[*table]*figures{}
		}
		x.figures[t] = f
	}
	return f
}

// after runs fn once the change is committed.
func (x *tx) after(fn func()) { x.then = append(x.then, fn) }

// leave marks a message of a segment as done; false: it was already.
func (x *tx) leave(t *table, s *segment, id int64) bool {
	l := x.leaving[s]
	if l == nil {
		l = &leaving{t: t, done: make(bitset, (s.n+7)/8)}
		copy(l.done, s.done)
		if x.leaving == nil {
			x.leaving = map[*segment]*leaving{}
		}
		x.leaving[s] = l
	}
	i := int(id - s.first)
	if l.done.has(i) {
		return false
	}
	l.done.set(i)
	l.n++
	return true
}

// flush writes what is done, and figures and books to go with it.
func (x *tx) flush() error {
	for s, l := range x.leaving {
		if err := l.t.finish(x, s, l.n, l.done); err != nil {
			return fmt.Errorf("end messages of %s: %w", l.t.name, err)
		}
	}
	for t, f := range x.figures {
		if _, err := x.q.stmts.figures.Exec(f.last, f.cursor, f.total, t.no); err != nil {
			return fmt.Errorf("count %s: %w", t.name, err)
		}
	}
	return x.enter()
}

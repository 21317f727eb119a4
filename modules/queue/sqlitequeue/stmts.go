package sqlitequeue

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// stmts are the statements that are not one queue's.
type stmts struct {
	count, bury, letter, unbury, enter, forget, freePages, pages, vacuum *sql.Stmt
}

func (s *stmts) prepare(ctx context.Context, conn *sql.Conn) error {
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.count, `UPDATE queues SET last = ?, total = ? WHERE no = ?`},
		{&s.bury, `INSERT INTO dead (queue, origin, reason, deliveries, buried_at, body, message, pushed_at, pixel, hour) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&s.enter, `INSERT INTO books (queue, hour, pixel, stage, n) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n`},
		{&s.forget, `DELETE FROM books WHERE hour < ?`},
		{&s.letter, `SELECT origin, message, pushed_at, body, pixel, hour FROM dead WHERE id = ? AND queue = ?`},
		{&s.unbury, `DELETE FROM dead WHERE id = ? AND queue = ?`},
		{&s.freePages, `PRAGMA freelist_count`},
		{&s.pages, `PRAGMA page_count`},
		{&s.vacuum, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, vacuumPages)},
	} {
		var err error
		if *p.stmt, err = conn.PrepareContext(ctx, p.text); err != nil {
			return err
		}
	}
	return nil
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
	err := q.commit(ctx, sqlitedb.Durable, func() error {
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
	if err := t.prepare(ctx, q.db.Conn()); err != nil {
		t.no = 0 // the next push tries again
		return nil, fmt.Errorf("make queue %s: %w", name, err)
	}
	return t, nil
}

// count writes a queue's figures, to go with the change that they count.
func (q *Queue) count(t *table, last int64, total int) error {
	if _, err := q.stmts.count.Exec(last, total, t.no); err != nil {
		return fmt.Errorf("count %s: %w", t.name, err)
	}
	return nil
}

// buryIn inserts one dead letter.
func (q *Queue) buryIn(dead, origin, reason string, now time.Time, m row) error {
	if _, err := q.stmts.bury.Exec(dead, origin, reason, m.Deliveries, now.UnixNano(), notNil(m.Body), m.id, m.PushedAt.UnixNano(), m.Account.Pixel, m.Account.Hour); err != nil {
		return fmt.Errorf("bury in %s: %w", dead, err)
	}
	return nil
}

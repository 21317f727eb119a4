package sqlitequeue

import (
	"context"
	"database/sql"

	"github.com/miq/pixel/modules/sqlitedb"
)

// stmts are the statements that are not one queue's.
type stmts struct {
	figures, enter, forget       *sql.Stmt
	bury, letter, origin, unbury *sql.Stmt
	freePages, pages             *sql.Stmt
	oldestDead                   *sql.Stmt
}

func (s *stmts) prepare(ctx context.Context, db *sqlitedb.Writer) error {
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.figures, `UPDATE queues SET last = ?, cursor = ?, total = ? WHERE no = ?`},
		{&s.enter, `INSERT INTO books (queue, hour, pixel, stage, n) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (queue, hour, pixel, stage) DO UPDATE SET n = n + excluded.n`},
		{&s.forget, `DELETE FROM books WHERE hour < ?`},
		{&s.bury, `INSERT INTO dead (queue, origin, message, pushed_at, reason, deliveries, buried_at, pixel, hour, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&s.letter, `SELECT origin, message, pushed_at, pixel, hour, body FROM dead WHERE id = ? AND queue = ?`},
		{&s.origin, `SELECT origin FROM dead WHERE id = ? AND queue = ?`},
		{&s.unbury, `DELETE FROM dead WHERE id = ?`},
		{&s.oldestDead, `SELECT buried_at FROM dead WHERE queue = ? ORDER BY id LIMIT 1`},
		{&s.freePages, `PRAGMA freelist_count`},
		{&s.pages, `PRAGMA page_count`},
	} {
		var err error
		if *p.stmt, err = db.Prepare(ctx, p.text); err != nil {
			return err
		}
	}
	return nil
}

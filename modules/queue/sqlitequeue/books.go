package sqlitequeue

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/queue"
)

// books gathers counts, so that each account costs one statement a commit.
type books map[queue.Count]int64

func (b *books) add(name string, a queue.Account, stage string, n int64) {
	if a == (queue.Account{}) || n == 0 {
		return
	}
	if *b == nil {
		*b = books{}
	}
	(*b)[queue.Count{Account: a, Queue: name, Stage: stage}] += n
}

// enter writes counts, to go with the change that they count.
func (q *Queue) enter(b books) error {
	for c, n := range b {
		if _, err := q.stmts.enter.Exec(c.Queue, c.Account.Hour, c.Account.Pixel, c.Stage, n); err != nil {
			return fmt.Errorf("count in the books: %w", err)
		}
	}
	// Once an hour what is too old goes.
	if hour := queue.Hour(time.Now()); len(b) > 0 && hour != q.swept && q.opts.KeepBooks > 0 {
		if _, err := q.stmts.forget.Exec(queue.Hour(time.Now().Add(-q.opts.KeepBooks))); err != nil {
			return fmt.Errorf("forget old books: %w", err)
		}
		q.swept = hour
	}
	return nil
}

// Counts reads the books.
func (q *Queue) Counts(ctx context.Context, since, until int32) ([]queue.Count, error) {
	rows, err := q.read.QueryContext(ctx, `SELECT queue, hour, pixel, stage, n FROM books WHERE hour >= ? AND hour < ? ORDER BY queue, hour, pixel, stage`, since, until)
	if err != nil {
		return nil, fmt.Errorf("read the books: %w", err)
	}
	defer rows.Close()
	var out []queue.Count
	for rows.Next() {
		var c queue.Count
		if err := rows.Scan(&c.Queue, &c.Account.Hour, &c.Account.Pixel, &c.Stage, &c.N); err != nil {
			return nil, fmt.Errorf("read the books: %w", err)
		}
		out = append(out, c)
	}
	return out, rows.Err()
}

// addAccount adds the account's columns to a table of an older version.
func addAccount(ctx context.Context, conn *sql.Conn, table string) error {
	var n int
	if err := conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM pragma_table_info(?) WHERE name = 'pixel'`, table).Scan(&n); err != nil || n > 0 {
		return err
	}
	columns := []string{`pixel TEXT NOT NULL DEFAULT ''`, `hour INTEGER NOT NULL DEFAULT 0`}
	if table == "dead" {
		columns = append(columns, `message INTEGER NOT NULL DEFAULT 0`, `pushed_at INTEGER NOT NULL DEFAULT 0`)
	}
	for _, c := range columns {
		if _, err := conn.ExecContext(ctx, `ALTER TABLE `+table+` ADD COLUMN `+c); err != nil {
			return err
		}
	}
	return nil
}

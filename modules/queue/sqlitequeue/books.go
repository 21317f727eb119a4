package sqlitequeue

import (
	"context"
	"fmt"

	"github.com/miq/pixel/modules/queue"
)

// line is a line of the books.
type line struct {
	queue   string
	account queue.Account
	stage   string
}

// count enters n in the books.
func (x *tx) count(t *table, a queue.Account, stage string, n int) {
	if a == (queue.Account{}) || n == 0 {
		return
	}
	if x.books == nil {
		x.books = map[line]int64{}
	}
	x.books[line{t.name, a, stage}] += int64(n)
}

// enter writes the counts, to go with the change that they count; and once an
// hour it forgets what is too old.
func (x *tx) enter() error {
	for l, n := range x.books {
		if _, err := x.q.stmts.enter.Exec(l.queue, l.account.Hour, l.account.Pixel, l.stage, n); err != nil {
			return fmt.Errorf("enter in the books: %w", err)
		}
	}
	q, hour := x.q, queue.Hour(x.now)
	if len(x.books) == 0 || hour == q.swept || q.opts.KeepBooks <= 0 {
		return nil
	}
	if _, err := q.stmts.forget.Exec(queue.Hour(x.now.Add(-q.opts.KeepBooks))); err != nil {
		return fmt.Errorf("forget old books: %w", err)
	}
	x.after(func() { q.swept = hour })
	return nil
}

// Counts reads the books.
func (q *Queue) Counts(ctx context.Context, since, until int32) ([]queue.Count, error) {
	rows, err := q.read.QueryContext(ctx, `SELECT queue, hour, pixel, stage, n FROM books
		WHERE hour >= ? AND hour < ? ORDER BY queue, hour, pixel, stage`, since, until)
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
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the books: %w", err)
	}
	return out, nil
}

package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/queue"
)

// Stats describes the queues that something was ever pushed to.
func (q *Queue) Stats(ctx context.Context) ([]queue.Stats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	now := time.Now()
	var out []queue.Stats
	for _, t := range q.tables {
		if t.no == 0 {
			continue
		}
		s, err := q.stats(t, now)
		if err != nil {
			return nil, fmt.Errorf("look at queue %s: %w", t.name, err)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b queue.Stats) int { return strings.Compare(a.Queue, b.Queue) })
	return out, nil
}

func (q *Queue) stats(t *table, now time.Time) (queue.Stats, error) {
	// Leases that ended count as ready: the next Pull gets them.
	s := queue.Stats{Queue: t.name, InFlight: len(t.held) - len(t.expired(now))}
	var oldest int64
	look := func(stmt *sql.Stmt, args ...any) error {
		var at int64
		err := stmt.QueryRow(args...).Scan(&at)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if oldest == 0 || at < oldest {
			oldest = at
		}
		return err
	}
	var err error
	switch {
	case t.total == 0:
	case queue.IsDead(t.name):
		err = look(q.stmts.oldestDead, t.name)
	default:
		err = look(t.oldest)
		if err == nil && t.back+len(t.held) > 0 {
			err = look(t.oldestBack)
		}
		if err == nil && t.back > 0 {
			err = t.delayed.QueryRow(now.UnixNano()).Scan(&s.Delayed)
		}
	}
	s.Ready = t.total - s.InFlight - s.Delayed
	if oldest > 0 {
		s.Oldest = max(0, now.Sub(time.Unix(0, oldest)))
	}
	return s, err
}

package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Stats describes the queues that something was ever pushed to.
func (q *Queue) Stats(ctx context.Context) ([]queue.Stats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, errClosed
	}
	now := time.Now()
	var out []queue.Stats
	for _, t := range q.tables {
		if t.no == 0 {
			continue
		}
		s := queue.Stats{Queue: t.name, InFlight: len(t.held)}
		// Leases that ended count as ready: the next Pull gets them.
		s.InFlight -= len(t.expired(now))
		var oldest int64
		var err error
		if queue.IsDead(t.name) {
			err = q.db.Conn().QueryRowContext(ctx, `SELECT buried_at FROM dead WHERE queue = ? ORDER BY id LIMIT 1`, t.name).Scan(&oldest)
		} else {
			err = q.db.Conn().QueryRowContext(ctx, fmt.Sprintf(`SELECT COUNT(*) FROM h%d WHERE due > ?`, t.no), now.UnixNano()).Scan(&s.Delayed)
			if err == nil {
				err = t.oldest.QueryRow().Scan(&oldest)
			}
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, fmt.Errorf("look at queue %s: %w", t.name, err)
		}
		s.Ready = t.total - s.InFlight - s.Delayed
		if t.total > 0 && oldest > 0 {
			s.Oldest = max(0, now.Sub(time.Unix(0, oldest)))
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b queue.Stats) int { return strings.Compare(a.Queue, b.Queue) })
	return out, nil
}

// Dead pages through dead letters; a cursor is the id of the last one seen.
func (q *Queue) Dead(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error) {
	before := int64(1<<63 - 1)
	if cursor != "" {
		var err error
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return nil, "", fmt.Errorf("list %s: %q is not a cursor", name, cursor)
		}
	}
	// One more than asked tells whether there is a next page.
	rows, err := q.read.QueryContext(ctx, `SELECT id, origin, reason, deliveries, buried_at, body FROM dead
		WHERE queue = ? AND id < ? ORDER BY id DESC LIMIT ?`, name, before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", name, err)
	}
	defer rows.Close()
	var letters []queue.DeadLetter
	for rows.Next() {
		var l queue.DeadLetter
		var id, at int64
		if err := rows.Scan(&id, &l.Origin, &l.Reason, &l.Deliveries, &at, &l.Body); err != nil {
			return nil, "", fmt.Errorf("list %s: %w", name, err)
		}
		l.ID, l.BuriedAt = formatID(id), time.Unix(0, at)
		letters = append(letters, l)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list %s: %w", name, err)
	}
	if len(letters) <= limit {
		return letters, "", nil
	}
	letters = letters[:limit]
	return letters, letters[limit-1].ID, nil
}

// Revive pushes dead letters to the queues they came from, as new messages.
func (q *Queue) Revive(ctx context.Context, name string, ids ...string) (int, error) {
	return q.exhume(ctx, "revive from", name, ids, true)
}

// Drop deletes dead letters.
func (q *Queue) Drop(ctx context.Context, name string, ids ...string) (int, error) {
	return q.exhume(ctx, "drop from", name, ids, false)
}

func (q *Queue) exhume(ctx context.Context, doing, name string, ids []string, revive bool) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	dead := q.tables[name]
	if dead == nil || dead.no == 0 || !queue.IsDead(name) {
		return 0, nil
	}
	var gone []int64
	revived := map[*table][][]byte{}
	seen := map[int64]bool{}
	for _, id := range ids {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s %s: %q is not a dead letter's id", doing, name, id)
		}
		if seen[n] {
			continue
		}
		seen[n] = true
		var origin string
		var body []byte
		if err := q.stmts.letter.QueryRow(n, name).Scan(&origin, &body); errors.Is(err, sql.ErrNoRows) {
			continue
		} else if err != nil {
			return 0, fmt.Errorf("%s %s: %w", doing, name, err)
		}
		if revive {
			if origin == "" {
				continue
			}
			t, err := q.table(ctx, origin)
			if err != nil {
				return 0, fmt.Errorf("%s %s: %w", doing, name, err)
			}
			revived[t] = append(revived[t], body)
		}
		gone = append(gone, n)
	}
	now := time.Now()
	err := q.commit(ctx, sqlitedb.Durable, func() error {
		for t, bodies := range revived {
			if err := t.append(now, bodies); err != nil {
				return err
			}
			if err := q.count(t, t.last+int64(len(bodies)), t.total+len(bodies)); err != nil {
				return err
			}
		}
		for _, id := range gone {
			if _, err := q.stmts.unbury.Exec(id, name); err != nil {
				return err
			}
		}
		return q.count(dead, 0, dead.total-len(gone))
	})
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", doing, name, err)
	}
	dead.total -= len(gone)
	for t, bodies := range revived {
		t.grew(len(bodies))
	}
	return len(gone), nil
}

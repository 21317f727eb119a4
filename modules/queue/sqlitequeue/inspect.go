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
	rows, err := q.read.QueryContext(ctx, `SELECT id, origin, reason, deliveries, buried_at, body, pixel, hour FROM dead
		WHERE queue = ? AND id < ? ORDER BY id DESC LIMIT ?`, name, before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", name, err)
	}
	defer rows.Close()
	var letters []queue.DeadLetter
	for rows.Next() {
		var l queue.DeadLetter
		var id, at int64
		if err := rows.Scan(&id, &l.Origin, &l.Reason, &l.Deliveries, &at, &l.Body, &l.Account.Pixel, &l.Account.Hour); err != nil {
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

// Revive puts dead letters back into the queues they came from.
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
	var entries books
	revived := map[*table][]row{}
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
		var m row
		var pushed int64
		if err := q.stmts.letter.QueryRow(n, name).Scan(&origin, &m.id, &pushed, &m.Body, &m.Account.Pixel, &m.Account.Hour); errors.Is(err, sql.ErrNoRows) {
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
			if m.id == 0 {
				return 0, fmt.Errorf("%s %s: letter %d was buried by an older version, and has no message id", doing, name, n)
			}
			m.PushedAt = time.Unix(0, pushed)
			revived[t] = append(revived[t], m)
			entries.add(origin, m.Account, queue.Revived, 1)
			entries.add(name, m.Account, queue.Revived, 1)
		} else {
			entries.add(name, m.Account, queue.Dropped, 1)
		}
		gone = append(gone, n)
	}
	now := time.Now()
	err := q.commit(ctx, sqlitedb.Durable, func() error {
		for t, rows := range revived {
			for _, m := range rows {
				if _, err := t.revive.Exec(m.id, m.PushedAt.UnixNano(), notNil(m.Body), m.Account.Pixel, m.Account.Hour); err != nil {
					return err
				}
				if _, err := t.comeBack.Exec(m.id, now.UnixNano()); err != nil {
					return err
				}
			}
			if err := q.count(t, t.last, t.total+len(rows)); err != nil {
				return err
			}
		}
		for _, id := range gone {
			if _, err := q.stmts.unbury.Exec(id, name); err != nil {
				return err
			}
		}
		if err := q.enter(entries); err != nil {
			return err
		}
		return q.count(dead, 0, dead.total-len(gone))
	})
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", doing, name, err)
	}
	dead.total -= len(gone)
	for t, rows := range revived {
		t.total += len(rows)
		t.back += len(rows)
		t.wakeAll()
	}
	return len(gone), nil
}

// Peek looks at a queue's messages; a cursor is the rank of the last one's state,
// its time and its id.
func (q *Queue) Peek(ctx context.Context, name, cursor string, limit int) ([]queue.Waiting, string, error) {
	rank, due, id := int64(-1), int64(0), int64(0)
	if cursor != "" {
		if n, err := fmt.Sscanf(cursor, "%d-%d-%d", &rank, &due, &id); n != 3 || err != nil {
			return nil, "", fmt.Errorf("peek at %s: %q is not a cursor", name, cursor)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tables[name]
	if t == nil || t.no == 0 || queue.IsDead(name) {
		return nil, "", nil
	}
	rows, err := t.waiting.QueryContext(ctx, rank, due, id, limit+1, time.Now().UnixNano(), t.cursor)
	if err != nil {
		return nil, "", fmt.Errorf("peek at %s: %w", name, err)
	}
	defer rows.Close()
	var found []queue.Waiting
	for next := ""; rows.Next(); {
		var w queue.Waiting
		var pushed int64
		if err := rows.Scan(&id, &pushed, &w.Deliveries, &w.Body, &w.Account.Pixel, &w.Account.Hour, &rank, &due); err != nil {
			return nil, "", fmt.Errorf("peek at %s: %w", name, err)
		}
		if len(found) == limit {
			return found, next, nil
		}
		w.ID, w.PushedAt = formatID(id), time.Unix(0, pushed)
		switch w.State = [...]queue.State{queue.Ready, queue.Delayed, queue.InFlight}[rank]; w.State {
		case queue.Delayed:
			w.Until = time.Unix(0, due)
		case queue.InFlight:
			if c := t.held[id]; c != nil {
				w.Until = c.ends
			}
		}
		found = append(found, w)
		next = fmt.Sprintf("%d-%d-%d", rank, due, id)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("peek at %s: %w", name, err)
	}
	return found, "", nil
}

// Skip moves messages that nobody holds to the dead letters.
func (q *Queue) Skip(ctx context.Context, name, reason string, ids ...string) (int, error) {
	nums := make([]int64, len(ids))
	for i, id := range ids {
		var err error
		if nums[i], err = strconv.ParseInt(id, 10, 64); err != nil {
			return 0, fmt.Errorf("skip in %s: %q is not a message id", name, id)
		}
	}
	slices.Sort(nums)
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tables[name]
	if t == nil || t.no == 0 || queue.IsDead(name) {
		return 0, nil
	}
	nums = slices.DeleteFunc(slices.Compact(nums), func(id int64) bool { return t.held[id] != nil })
	n, err := q.takeOut(ctx, t, reason, nums)
	if err != nil {
		return 0, fmt.Errorf("skip in %s: %w", name, err)
	}
	return n, nil
}

// Drain takes waiting messages out, a thousand a transaction.
func (q *Queue) Drain(ctx context.Context, name, reason string, max int) (int, error) {
	n, err := 0, error(nil)
	if queue.IsDead(name) {
		n, err = q.drainDead(ctx, name, reason, max)
	}
	for more := !queue.IsDead(name); more && n < max && err == nil; {
		var took int
		took, err = q.drain(ctx, name, reason, min(1000, max-n))
		n, more = n+took, took > 0
	}
	if err != nil {
		return n, fmt.Errorf("drain %s: %w", name, err)
	}
	return n, nil
}

func (q *Queue) drain(ctx context.Context, name, reason string, max int) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tables[name]
	if t == nil || t.no == 0 {
		return 0, nil
	}
	rows, err := t.waiting.QueryContext(ctx, -1, 0, 0, max, time.Now().UnixNano(), t.cursor)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id, rank int64
		var rest [6]any
		if err := rows.Scan(&id, &rest[0], &rest[1], &rest[2], &rest[3], &rest[4], &rank, &rest[5]); err != nil {
			return 0, err
		}
		if t.held[id] == nil && rank < 2 {
			ids = append(ids, id)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(ids) == 0 {
		return 0, err
	}
	slices.Sort(ids)
	return q.takeOut(ctx, t, reason, ids)
}

func (q *Queue) drainDead(ctx context.Context, name, reason string, max int) (int, error) {
	if reason != "" {
		return 0, errors.New("dead letters cannot be buried again")
	}
	rows, err := q.read.QueryContext(ctx, `SELECT id FROM dead WHERE queue = ? ORDER BY id LIMIT ?`, name, max)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return 0, err
		}
		ids = append(ids, formatID(id))
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	return q.Drop(ctx, name, ids...)
}

package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// letter is a dead letter to be written.
type letter struct {
	queue      *table
	origin     string
	id         int64 // as a message; 0 for refused input
	pushedAt   int64
	reason     string
	deliveries int
	account    queue.Account
	body       []byte
}

// bury inserts a dead letter.
func (q *Queue) bury(x *tx, l letter) error {
	_, err := q.stmts.bury.Exec(l.queue.name, l.origin, l.id, l.pushedAt, l.reason, l.deliveries, x.now.UnixNano(), l.account.Pixel, l.account.Hour, notNil(l.body))
	if err != nil {
		return fmt.Errorf("bury in %s: %w", l.queue.name, err)
	}
	return nil
}

// inter buries a message that its queue then forgets, and counts it in both
// books.
func (q *Queue) inter(x *tx, t, dead *table, reason string, m row) error {
	x.of(dead).total++
	x.count(t, m.Account, queue.Buried, 1)
	x.count(dead, m.Account, queue.In, 1)
	return q.bury(x, letter{
		queue: dead, origin: t.name, id: m.id, pushedAt: m.PushedAt.UnixNano(),
		reason: reason, deliveries: m.Deliveries, account: m.Account, body: m.Body,
	})
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
	rows, err := q.read.QueryContext(ctx, `SELECT id, origin, reason, deliveries, buried_at, pixel, hour, body FROM dead
		WHERE queue = ? AND id < ? ORDER BY id DESC LIMIT ?`, name, before, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", name, err)
	}
	defer rows.Close()
	var letters []queue.DeadLetter
	for rows.Next() {
		var l queue.DeadLetter
		var id, at int64
		if err := rows.Scan(&id, &l.Origin, &l.Reason, &l.Deliveries, &at, &l.Account.Pixel, &l.Account.Hour, &l.Body); err != nil {
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

// Revive puts dead letters back into the queues that they came from.
func (q *Queue) Revive(ctx context.Context, name string, ids ...string) (int, error) {
	return q.exhume(ctx, "revive from", name, ids, true)
}

// Drop deletes dead letters.
func (q *Queue) Drop(ctx context.Context, name string, ids ...string) (int, error) {
	return q.exhume(ctx, "drop from", name, ids, false)
}

func (q *Queue) exhume(ctx context.Context, doing, name string, ids []string, revive bool) (n int, err error) {
	nums, err := parse(ids)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", doing, name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	dead := q.known(name)
	if dead == nil || len(nums) == 0 || !queue.IsDead(name) {
		return 0, ctx.Err()
	}
	if revive {
		// A queue that is made anew takes a transaction of its own.
		if err := q.origins(ctx, name, nums); err != nil {
			return 0, fmt.Errorf("%s %s: %w", doing, name, err)
		}
	}
	err = q.commit(ctx, sqlitedb.Durable, func(x *tx) error {
		n = 0
		for _, id := range nums {
			done, err := q.exhumeOne(x, dead, id, revive)
			if err != nil {
				return err
			}
			if done {
				n++
			}
		}
		x.of(dead).total -= n
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", doing, name, err)
	}
	return n, nil
}

// origins makes the queues that letters came from, where they are missing.
func (q *Queue) origins(ctx context.Context, name string, nums []int64) error {
	for _, n := range nums {
		var origin string
		err := q.stmts.origin.QueryRow(n, name).Scan(&origin)
		if errors.Is(err, sql.ErrNoRows) || err == nil && origin == "" {
			continue
		}
		if err == nil {
			_, err = q.table(ctx, origin)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) exhumeOne(x *tx, dead *table, letter int64, revive bool) (bool, error) {
	var origin string
	var id, pushed int64
	var e entry
	err := q.stmts.letter.QueryRow(letter, dead.name).Scan(&origin, &id, &pushed, &e.account.Pixel, &e.account.Hour, &e.body)
	if errors.Is(err, sql.ErrNoRows) || err == nil && revive && origin == "" {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if !revive {
		x.count(dead, e.account, queue.Dropped, 1)
	} else {
		t := q.known(origin)
		if err := t.putAside(id, pushed, untried, x.now, e); err != nil {
			return false, err
		}
		f := x.of(t)
		f.total++
		f.back++
		x.count(dead, e.account, queue.Revived, 1)
		x.count(t, e.account, queue.Revived, 1)
		x.after(t.wakeAll)
	}
	_, err = q.stmts.unbury.Exec(letter)
	return true, err
}

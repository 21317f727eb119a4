package sqlitequeue

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Ack deletes messages, also those whose lease has ended in the meantime.
func (q *Queue) Ack(ctx context.Context, name string, ids ...string) error {
	return q.Settle(ctx, name, queue.End{IDs: ids})
}

// Settle is Ack that counts, a transaction an end.
func (q *Queue) Settle(ctx context.Context, name string, ends ...queue.End) error {
	for _, end := range ends {
		err := q.settle(ctx, "ack in", name, end.IDs, func(t *table, nums []int64) error {
			gone, back := 0, 0
			err := q.commit(ctx, sqlitedb.Lazy, func() error {
				var err error
				if gone, back, err = t.end(nums); err != nil {
					return err
				}
				var entries books
				if end.Outcome != "" {
					entries.add(name, end.Account, end.Outcome, int64(gone))
				}
				if err := q.enter(entries); err != nil {
					return err
				}
				return q.count(t, t.last, t.total-gone)
			})
			if err != nil {
				return err
			}
			t.total -= gone
			t.back -= back
			t.letGo(nums)
			q.acks++
			return q.reclaim()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Retry hands messages back for a time. Those that are no longer held are left
// as they are.
func (q *Queue) Retry(ctx context.Context, name string, at time.Time, ids ...string) error {
	return q.settle(ctx, "retry in", name, ids, func(t *table, nums []int64) error {
		return q.handBack(ctx, t, t.giveBack, at, nums)
	})
}

// Release hands messages back untried.
func (q *Queue) Release(ctx context.Context, name string, ids ...string) error {
	return q.settle(ctx, "release in", name, ids, func(t *table, nums []int64) error {
		return q.handBack(ctx, t, t.untried, time.Now(), nums)
	})
}

func (q *Queue) handBack(ctx context.Context, t *table, stmt *sql.Stmt, at time.Time, ids []int64) error {
	ids = slices.DeleteFunc(ids, func(id int64) bool { return t.held[id] == nil })
	if len(ids) == 0 {
		return nil
	}
	err := q.commit(ctx, sqlitedb.Lazy, func() error {
		for _, id := range ids {
			if _, err := stmt.Exec(at.UnixNano(), id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.letGo(ids)
	t.back += len(ids)
	t.wakeAll()
	return nil
}

// Bury moves messages to the queue's dead letters in one transaction.
func (q *Queue) Bury(ctx context.Context, name, reason string, ids ...string) error {
	return q.settle(ctx, "bury from", name, ids, func(t *table, nums []int64) error {
		_, err := q.takeOut(ctx, t, reason, nums)
		return err
	})
}

// takeOut moves messages to the dead letters, or where there is no reason
// deletes them, and returns how many there were.
func (q *Queue) takeOut(ctx context.Context, t *table, reason string, nums []int64) (int, error) {
	dead, err := q.table(ctx, queue.DeadLetters(t.name))
	if err != nil {
		return 0, err
	}
	now := time.Now()
	gone, back := 0, 0
	err = q.commit(ctx, sqlitedb.Durable, func() error {
		var entries books
		for _, id := range nums {
			found, err := scan(t.get.Query(id))
			if err != nil {
				return err
			}
			if len(found) == 0 {
				continue // buried or acked before
			}
			m := found[0]
			if reason == "" {
				entries.add(t.name, m.Account, queue.Dropped, 1)
				continue
			}
			entries.add(t.name, m.Account, queue.Buried, 1)
			entries.add(dead.name, m.Account, queue.In, 1)
			if err = q.buryIn(dead.name, t.name, reason, now, m); err != nil {
				return err
			}
		}
		var err error
		if gone, back, err = t.end(nums); err != nil {
			return err
		}
		if reason != "" {
			if err := q.count(dead, 0, dead.total+gone); err != nil {
				return err
			}
		}
		if err := q.enter(entries); err != nil {
			return err
		}
		return q.count(t, t.last, t.total-gone)
	})
	if err != nil {
		return 0, err
	}
	if reason != "" {
		dead.total += gone
	}
	t.total -= gone
	t.back -= back
	t.letGo(nums)
	return gone, nil
}

// settle calls fn under the lock with those of the ids that were ever handed
// out, in order and each once.
func (q *Queue) settle(ctx context.Context, doing, name string, ids []string, fn func(*table, []int64) error) error {
	nums := make([]int64, 0, len(ids))
	for _, id := range ids {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return fmt.Errorf("%s %s: %q is not a message id", doing, name, id)
		}
		nums = append(nums, n)
	}
	slices.Sort(nums)
	nums = slices.Compact(nums)
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tables[name]
	if t == nil || t.no == 0 || queue.IsDead(name) {
		return nil
	}
	nums = slices.DeleteFunc(nums, func(n int64) bool { return n > t.cursor })
	if len(nums) == 0 {
		return nil
	}
	if err := fn(t, nums); err != nil {
		return fmt.Errorf("%s %s: %w", doing, name, err)
	}
	return nil
}

// end deletes messages, and returns how many there were and how many of them
// were not held but waiting to be delivered again.
func (t *table) end(ids []int64) (gone, back int, err error) {
	for _, id := range ids {
		if t.held[id] != nil {
			continue
		}
		r, err := t.removeDue.Exec(id)
		if err != nil {
			return 0, 0, err
		}
		n, err := r.RowsAffected()
		if err != nil {
			return 0, 0, err
		}
		back += int(n)
	}
	err = runs(ids, func(first, last int64) error {
		r, err := t.removeM.Exec(first, last)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		if err != nil {
			return err
		}
		gone += int(n)
		_, err = t.removeH.Exec(first, last)
		return err
	})
	return gone, back, err
}

const (
	vacuumPages = 8192 // at a time
	sparePages  = 4096 // kept for what comes next
	vacuumEvery = 64   // acks
)

// reclaim gives pages back to the file system once more than half of the file is
// free, a bounded number at a time; until then new messages reuse them.
func (q *Queue) reclaim() error {
	if q.acks%vacuumEvery != 0 {
		return nil
	}
	var free, pages int
	if err := q.stmts.freePages.QueryRow().Scan(&free); err != nil {
		return fmt.Errorf("count free pages: %w", err)
	}
	if err := q.stmts.pages.QueryRow().Scan(&pages); err != nil {
		return fmt.Errorf("count pages: %w", err)
	}
	if free < sparePages || free < pages/2 {
		return nil
	}
	// It frees a page a row, so the rows must be read to the end.
	rows, err := q.stmts.vacuum.Query()
	if err != nil {
		return fmt.Errorf("give pages back: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

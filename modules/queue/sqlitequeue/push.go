package sqlitequeue

import (
	"context"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Push stores all the items in one transaction, so all of them or none.
func (q *Queue) Push(ctx context.Context, items ...queue.Item) error {
	if len(items) == 0 {
		return ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	grown := map[*table]int{}
	into := make([]*table, len(items))
	for i, item := range items {
		if i > 0 && item.Queue == items[i-1].Queue {
			into[i] = into[i-1]
		} else {
			t, err := q.table(ctx, item.Queue)
			if err != nil {
				return fmt.Errorf("push: %w", err)
			}
			into[i] = t
		}
		grown[into[i]]++
	}
	now := time.Now()
	err := q.commit(ctx, sqlitedb.Durable, func() error {
		n := make(map[*table]int64, len(grown))
		for i, item := range items {
			t := into[i]
			if queue.IsDead(t.name) {
				if err := q.buryIn(t.name, "", item.Reason, 0, now, item.Body); err != nil {
					return err
				}
				continue
			}
			n[t]++
			if _, err := t.insert.Exec(t.last+n[t], now.UnixNano(), notNil(item.Body)); err != nil {
				return err
			}
		}
		for t := range grown {
			if err := q.count(t, t.last+n[t], t.total+grown[t]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	for t, n := range grown {
		t.total += n
		if !queue.IsDead(t.name) {
			t.last += int64(n)
			t.wakeAll()
		}
	}
	return nil
}

// notNil keeps an empty body from being stored as NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

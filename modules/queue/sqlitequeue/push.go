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
	// By table, in their order.
	into := map[*table][]queue.Item{}
	var entries books
	for _, item := range items {
		if item.Stage != "" {
			entries.add(item.Queue, item.Account, item.Stage, item.N)
			continue
		}
		entries.add(item.Queue, item.Account, queue.In, 1)
		t, err := q.table(ctx, item.Queue)
		if err != nil {
			return fmt.Errorf("push: %w", err)
		}
		into[t] = append(into[t], item)
	}
	now := time.Now()
	err := q.commit(ctx, sqlitedb.Durable, func() error {
		for t, items := range into {
			if err := q.pushInto(t, items, now); err != nil {
				return fmt.Errorf("to %s: %w", t.name, err)
			}
		}
		return q.enter(entries)
	})
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	for t, items := range into {
		t.grew(len(items))
	}
	return nil
}

func (q *Queue) pushInto(t *table, items []queue.Item, now time.Time) error {
	if queue.IsDead(t.name) {
		for _, item := range items {
			if err := q.buryIn(t.name, "", item.Reason, now, row{Message: queue.Message{Body: item.Body, PushedAt: now, Account: item.Account}}); err != nil {
				return err
			}
		}
		return q.count(t, t.last, t.total+len(items))
	}
	if err := t.append(now, items); err != nil {
		return err
	}
	return q.count(t, t.last+int64(len(items)), t.total+len(items))
}

// grew notes that n messages were pushed.
func (t *table) grew(n int) {
	t.total += n
	if !queue.IsDead(t.name) {
		t.last += int64(n)
		t.wakeAll()
	}
}

package sqlitequeue

import (
	"context"
	"fmt"

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
	for i := 0; i < len(items); {
		j := i + 1
		for j < len(items) && items[j].Queue == items[i].Queue {
			j++
		}
		t, err := q.table(ctx, items[i].Queue)
		if err != nil {
			return fmt.Errorf("push: %w", err)
		}
		if into[t] == nil {
			into[t] = items[i:j:j]
		} else {
			into[t] = append(into[t], items[i:j]...)
		}
		i = j
	}
	var size int64
	for i := range items {
		size += int64(len(items[i].Body))
	}
	err := q.commit(ctx, sqlitedb.Durable, func(x *tx) error {
		if err := q.room(size); err != nil {
			return err
		}
		for t, items := range into {
			if err := q.pushInto(x, t, items); err != nil {
				return fmt.Errorf("to %s: %w", t.name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return nil
}

func (q *Queue) pushInto(x *tx, t *table, items []queue.Item) error {
	messages := items[:0:0]
	for i, it := range items {
		if it.Stage != "" {
			x.count(t, it.Account, it.Stage, int(it.N))
		}
		if !it.Counts() {
			if messages != nil {
				messages = append(messages, it)
			}
			continue
		}
		if messages == nil {
			messages = append(make([]queue.Item, 0, len(items)), items[:i]...)
		}
	}
	if messages == nil {
		messages = items // none of them is a count
	}
	if len(messages) == 0 {
		return nil
	}
	f := x.of(t)
	f.total += len(messages)
	for _, it := range messages {
		x.count(t, it.Account, queue.In, 1)
	}
	if queue.IsDead(t.name) {
		for _, it := range messages {
			l := letter{queue: t, reason: it.Reason, account: it.Account, body: it.Body}
			if err := q.bury(x, l); err != nil {
				return err
			}
		}
		return nil
	}
	for len(messages) > 0 {
		n := cut(messages)
		blob, raw := encode(messages[:n], q.scratch)
		if cap(blob) <= 2*segmentBytes && len(blob) < len(raw) {
			q.scratch = blob
		}
		s := &segment{first: f.last + 1, n: n, left: n}
		if _, err := t.insert.Exec(s.first, n, x.now.UnixNano(), blob); err != nil {
			return err
		}
		// Whoever waits for it need not read what was just written.
		if f.cursor == f.last {
			c := &contents{segment: s, pushedAt: x.now.UnixNano()}
			var err error
			if c.entries, err = decode(raw, n); err != nil {
				return err
			}
			x.after(func() { t.ahead = c })
		}
		f.last += int64(n)
		messages = messages[n:]
	}
	x.after(t.wakeAll)
	return nil
}

package sqlitequeue

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Wipe takes the bodies of messages that are done out of the segments which they share
// with messages that are not.
func (q *Queue) Wipe(ctx context.Context) error {
	q.mu.Lock()
	var tables []*table
	for _, name := range slices.Sorted(maps.Keys(q.tables)) {
		tables = append(tables, q.tables[name])
	}
	q.mu.Unlock()
	for _, t := range tables {
		for first := int64(-1); ; {
			next, err := q.wipeNext(ctx, t, first)
			if err != nil {
				return fmt.Errorf("wipe what is done in %s: %w", t.name, err)
			}
			if next < 0 {
				break
			}
			first = next
		}
	}
	return nil
}

// wipeNext wipes the first segment behind one, and returns it; -1: there is none. Others
// have the queue in between.
func (q *Queue) wipeNext(ctx context.Context, t *table, behind int64) (int64, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var s *segment
	for first, o := range t.open {
		if first > behind && o.done != nil && (s == nil || first < s.first) {
			s = o
		}
	}
	if s == nil {
		return -1, ctx.Err()
	}
	c, err := t.read(s)
	if err != nil {
		return -1, err
	}
	items := make([]queue.Item, s.n)
	for i, e := range c.entries {
		items[i].Account = e.account
		if !s.done.has(i) {
			items[i].Body = e.body
		}
	}
	blob, _ := encode(items, nil)
	return s.first, q.commit(ctx, sqlitedb.Durable, func(*tx) error {
		_, err := t.wipe.Exec(blob, s.first)
		return err
	})
}

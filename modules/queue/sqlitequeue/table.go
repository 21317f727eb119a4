package sqlitequeue

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/queue"
)

// table is one queue: its tables' statements and what is known without asking
// the disk.
type table struct {
	no     int64 // 0 until something was pushed
	name   string
	last   int64 // the highest id given
	total  int   // messages that are not done
	cursor int64 // the highest id handed out
	back   int   // messages handed back or due later
	held   map[int64]*claim
	claims []*claim // oldest first, so in the order of their leases' ends
	wake   chan struct{}

	insert, fresh, hold, due, nextDue, again       *sql.Stmt
	giveBack, untried, removeM, removeH, removeDue *sql.Stmt
	get, oldest, revive, comeBack, waiting         *sql.Stmt
}

// claim is what one Pull handed out.
type claim struct {
	ends time.Time
	ids  []int64
	left int // of ids, how many are still held
}

func newTable(name string) *table {
	return &table{name: name, held: map[int64]*claim{}, wake: make(chan struct{})}
}

// prepare makes the tables where they are missing, and the statements.
func (t *table) prepare(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, fmt.Sprintf(tableSchema, t.no)); err != nil {
		return err
	}
	if err := addAccount(ctx, conn, fmt.Sprintf("m%d", t.no)); err != nil {
		return err
	}
	for _, s := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&t.insert, `INSERT INTO m%[1]d (id, pushed_at, body, pixel, hour) VALUES (?, ?, ?, ?, ?)`},
		// after id, max → messages never handed out
		{&t.fresh, `SELECT id, pushed_at, 0, body, pixel, hour FROM m%[1]d WHERE id > ? ORDER BY id LIMIT ?`},
		// after id, up to id: the same messages are handed out now
		{&t.hold, `INSERT INTO h%[1]d (id, deliveries) SELECT id, 1 FROM m%[1]d WHERE id > ? AND id <= ?`},
		// now, max → messages whose time has come again
		{&t.due, `SELECT h.id, m.pushed_at, h.deliveries, m.body, m.pixel, m.hour FROM h%[1]d h JOIN m%[1]d m ON m.id = h.id
			WHERE h.due <= ? ORDER BY h.due, h.id LIMIT ?`},
		{&t.nextDue, `SELECT due FROM h%[1]d WHERE due IS NOT NULL ORDER BY due LIMIT 1`},
		{&t.again, `UPDATE h%[1]d SET due = NULL, deliveries = deliveries + 1 WHERE id = ?`},
		// when, id: a held message goes back
		{&t.giveBack, `UPDATE h%[1]d SET due = ? WHERE id = ? AND due IS NULL`},
		{&t.untried, `UPDATE h%[1]d SET due = ?, deliveries = deliveries - 1 WHERE id = ? AND due IS NULL`},
		// first id, last id: these are done
		{&t.removeM, `DELETE FROM m%[1]d WHERE id BETWEEN ? AND ?`},
		{&t.removeH, `DELETE FROM h%[1]d WHERE id BETWEEN ? AND ?`},
		{&t.removeDue, `DELETE FROM h%[1]d WHERE id = ? AND due IS NOT NULL`},
		{&t.get, `SELECT m.id, m.pushed_at, COALESCE(h.deliveries, 0), m.body, m.pixel, m.hour FROM m%[1]d m LEFT JOIN h%[1]d h ON m.id = h.id WHERE m.id = ?`},
		// a dead letter is a message again, under its old id and due at once
		{&t.revive, `INSERT INTO m%[1]d (id, pushed_at, body, pixel, hour) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`},
		{&t.comeBack, `INSERT INTO h%[1]d (id, deliveries, due) VALUES (?, 0, ?) ON CONFLICT DO NOTHING`},
		// rank of the state, after due, after id, max, now → waiting messages in their order, 0: ready, 1: delayed, 2: held
		{&t.waiting, `SELECT m.id, m.pushed_at, COALESCE(h.deliveries, 0), m.body, m.pixel, m.hour, w.rank, w.due FROM (
				SELECT id, CASE WHEN due IS NULL THEN 2 WHEN due <= ?5 THEN 0 ELSE 1 END AS rank, COALESCE(due, 0) AS due FROM h%[1]d
				UNION ALL SELECT id, 0, 0x7fffffffffffffff FROM m%[1]d WHERE id > ?6 AND id NOT IN (SELECT id FROM h%[1]d)
			) w JOIN m%[1]d m ON m.id = w.id LEFT JOIN h%[1]d h ON h.id = w.id
			WHERE (w.rank, w.due, w.id) > (?1, ?2, ?3) ORDER BY w.rank, w.due, w.id LIMIT ?4`},
		{&t.oldest, `SELECT pushed_at FROM m%[1]d ORDER BY id LIMIT 1`},
	} {
		var err error
		if *s.stmt, err = conn.PrepareContext(ctx, fmt.Sprintf(s.text, t.no)); err != nil {
			return err
		}
	}
	return nil
}

// append inserts messages behind the last id, which stays for the caller to move
// once that is committed.
func (t *table) append(now time.Time, items []queue.Item) error {
	for i, item := range items {
		a := item.Account
		if _, err := t.insert.Exec(t.last+int64(i)+1, now.UnixNano(), notNil(item.Body), a.Pixel, a.Hour); err != nil {
			return err
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

// wakeAll lets all waiting pullers look again.
func (t *table) wakeAll() {
	close(t.wake)
	t.wake = make(chan struct{})
}

// handOut notes a claim.
func (t *table) handOut(ids []int64, ends time.Time) {
	c := &claim{ends: ends, ids: ids, left: len(ids)}
	for _, id := range ids {
		t.held[id] = c
	}
	t.claims = append(t.claims, c)
}

// letGo forgets that messages are held.
func (t *table) letGo(ids []int64) {
	for _, id := range ids {
		if c := t.held[id]; c != nil {
			c.left--
			delete(t.held, id)
		}
	}
	for len(t.claims) > 0 && t.claims[0].left == 0 {
		t.claims = t.claims[1:]
	}
}

// expired returns the held messages whose lease ended.
func (t *table) expired(now time.Time) []int64 {
	var ids []int64
	for _, c := range t.claims {
		if now.Before(c.ends) {
			break
		}
		for _, id := range c.ids {
			if t.held[id] == c {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// runs calls fn for each run of consecutive ids; ids must be sorted.
func runs(ids []int64, fn func(first, last int64) error) error {
	for i := 0; i < len(ids); {
		j := i
		for j+1 < len(ids) && ids[j+1] == ids[j]+1 {
			j++
		}
		if err := fn(ids[i], ids[j]); err != nil {
			return err
		}
		i = j + 1
	}
	return nil
}

package sqlitequeue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Messages of a queue lie in the order of their ids, many to a row, so that
// pushing appends, pulling reads on from where the last pull ended, and neither
// needs an index. What comes back goes to a table of its own, a row each.
const schema = `
CREATE TABLE IF NOT EXISTS queues (
	no     INTEGER PRIMARY KEY,
	name   TEXT NOT NULL UNIQUE,
	last   INTEGER NOT NULL DEFAULT 0, -- the highest message id given so far
	cursor INTEGER NOT NULL DEFAULT 0, -- the highest message id handed out so far
	total  INTEGER NOT NULL DEFAULT 0  -- messages that are not done
);
CREATE TABLE IF NOT EXISTS dead (
	id         INTEGER PRIMARY KEY AUTOINCREMENT, -- grows in the order of burial
	queue      TEXT NOT NULL,
	origin     TEXT NOT NULL,    -- the queue it came from; empty for refused input
	reason     TEXT NOT NULL,
	deliveries INTEGER NOT NULL,
	buried_at  INTEGER NOT NULL, -- Unix nanoseconds, as all times here
	body       BLOB NOT NULL,
	message    INTEGER NOT NULL DEFAULT 0, -- its id in the queue it came from
	pushed_at  INTEGER NOT NULL DEFAULT 0,
	pixel      TEXT NOT NULL DEFAULT '',   -- its account
	hour       INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS dead_by_queue ON dead (queue, id);
CREATE TABLE IF NOT EXISTS books (
	queue TEXT NOT NULL,
	hour  INTEGER NOT NULL,
	pixel TEXT NOT NULL,
	stage TEXT NOT NULL,
	n     INTEGER NOT NULL,
	PRIMARY KEY (queue, hour, pixel, stage)
) WITHOUT ROWID;`

// tableSchema makes the tables of queue number %[1]d.
const tableSchema = `
CREATE TABLE IF NOT EXISTS s%[1]d ( -- segments: messages that were never handed back
	first     INTEGER PRIMARY KEY,  -- the id of its first message
	n         INTEGER NOT NULL,
	pushed_at INTEGER NOT NULL,
	body      BLOB NOT NULL         -- see encode
);
CREATE TABLE IF NOT EXISTS d%[1]d ( -- segments of which some messages are done
	first INTEGER PRIMARY KEY,
	done  BLOB NOT NULL             -- a bit a message
);
CREATE TABLE IF NOT EXISTS r%[1]d ( -- messages that were handed back
	id         INTEGER PRIMARY KEY,
	pushed_at  INTEGER NOT NULL,
	deliveries INTEGER NOT NULL,
	due        INTEGER,             -- when it may be delivered again; NULL while held
	pixel      TEXT NOT NULL,
	hour       INTEGER NOT NULL,
	body       BLOB NOT NULL,
	died       INTEGER NOT NULL DEFAULT 0 -- how often in a row its holder died of it, or of another
);
CREATE INDEX IF NOT EXISTS r%[1]d_due ON r%[1]d (due) WHERE due IS NOT NULL;`

// load makes the tables and gives back what a former process held.
func (q *Queue) load(ctx context.Context) error {
	conn := q.db.Conn()
	// What is done is overwritten, not only forgotten: it is about people.
	if _, err := conn.ExecContext(ctx, `PRAGMA secure_delete = ON`); err != nil {
		return err
	}
	if err := q.upgrade(ctx); err != nil {
		return fmt.Errorf("upgrade the tables: %w", err)
	}
	if _, err := conn.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err := q.stmts.prepare(ctx, q.db); err != nil {
		return err
	}
	rows, err := conn.QueryContext(ctx, `SELECT no, name, last, cursor, total FROM queues`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		t := newTable("")
		if err := rows.Scan(&t.no, &t.name, &t.last, &t.cursor, &t.total); err != nil {
			return err
		}
		q.tables[t.name] = t
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, t := range q.tables {
		if queue.IsDead(t.name) {
			continue
		}
		if err := q.addColumn(ctx, fmt.Sprintf("r%d", t.no), "died", "INTEGER NOT NULL DEFAULT 0"); err != nil {
			return err
		}
		if err := t.prepare(ctx, q.db); err != nil {
			return err
		}
		if err := q.loadDone(ctx, t); err != nil {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		if err := q.takeBack(ctx, t); err != nil {
			return fmt.Errorf("take back what was held of %s: %w", t.name, err)
		}
	}
	return nil
}

// loadDone reads what is done of segments that are not done.
func (q *Queue) loadDone(ctx context.Context, t *table) error {
	rows, err := q.db.Conn().QueryContext(ctx, fmt.Sprintf(`SELECT first, n, done FROM d%[1]d JOIN s%[1]d USING (first)`, t.no))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		s := &segment{}
		var done []byte
		if err := rows.Scan(&s.first, &s.n, &done); err != nil {
			return err
		}
		s.done = done
		s.left = s.n - s.done.count()
		t.open[s.first] = s
	}
	return rows.Err()
}

// takeBack makes everything that was handed out wait again, by itself, so that
// behind the cursor no segment is left.
func (q *Queue) takeBack(ctx context.Context, t *table) error {
	for from := int64(-1); ; {
		c, err := t.after(from)
		if err != nil {
			return err
		}
		if c == nil || c.first > t.cursor {
			break
		}
		from = c.first
		err = q.commit(ctx, sqlitedb.Lazy, func(x *tx) error {
			for id := c.first; id <= min(c.last(), t.cursor); id++ {
				if c.done.has(int(id - c.first)) {
					continue
				}
				if err := t.putAside(id, c.pushedAt, abandoned, x.now, c.at(id)); err != nil {
					return err
				}
				x.leave(t, c.segment, id)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if c.last() > t.cursor {
			t.ahead = c // partly handed out; the next pull goes on in it
		}
	}
	return q.commit(ctx, sqlitedb.Lazy, func(x *tx) error {
		conn := q.db.Conn()
		if _, err := conn.ExecContext(ctx, fmt.Sprintf(`UPDATE r%d SET due = ?, died = died + 1 WHERE due IS NULL`, t.no), time.Now().UnixNano()); err != nil {
			return err
		}
		return conn.QueryRowContext(ctx, fmt.Sprintf(`SELECT COUNT(*) FROM r%d`, t.no)).Scan(&x.of(t).back)
	})
}

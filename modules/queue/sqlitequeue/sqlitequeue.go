// Package sqlitequeue keeps the queues in one SQLite file: the embedded default.
//
// One process owns the file, so who holds a message is known in memory, and a
// restart returns everything that was in flight at once. How often a message
// was delivered is on disk before it is handed out, so a message that kills its
// process is buried in the end.
//
// Push, Bury, Revive and Drop return once the disk has them (fsync). Claims,
// acks and retries survive a crash of the process, but the last of them may be
// lost with the power, which only repeats work; they are never lost before a
// push that came later.
package sqlitequeue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Messages of a queue lie in a table of their own in the order of their ids, so
// that pushing appends, pulling reads on from where the last pull ended, and
// neither needs an index. Beside it lies a small table of those handed out.
const schema = `
CREATE TABLE IF NOT EXISTS queues (
	no    INTEGER PRIMARY KEY,
	name  TEXT NOT NULL UNIQUE,
	last  INTEGER NOT NULL DEFAULT 0, -- the highest message id given so far
	total INTEGER NOT NULL DEFAULT 0  -- messages that are not done
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

// tableSchema makes the two tables of queue number %[1]d.
const tableSchema = `
CREATE TABLE IF NOT EXISTS m%[1]d (
	id        INTEGER PRIMARY KEY,
	pushed_at INTEGER NOT NULL,
	body      BLOB NOT NULL,
	pixel     TEXT NOT NULL DEFAULT '', -- its account
	hour      INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS h%[1]d ( -- messages handed out at least once
	id         INTEGER PRIMARY KEY,
	deliveries INTEGER NOT NULL,
	due        INTEGER              -- when it may be delivered again; NULL while held
);
CREATE INDEX IF NOT EXISTS h%[1]d_due ON h%[1]d (due) WHERE due IS NOT NULL;`

var errClosed = errors.New("the queue store is closed")

// Queue is a queue.Queue and a queue.Inspector.
type Queue struct {
	read *sql.DB
	opts queue.Options

	mu     sync.Mutex // one writer, and the tables' memory
	db     *sqlitedb.Writer
	stmts  stmts
	tables map[string]*table
	closed bool
	acks   int   // since the last look for free pages
	swept  int32 // the hour in which old books were last deleted
}

// New opens the queues that lie in db. It takes db's only durable connection,
// so db must be the queue's alone.
func New(db *sqlitedb.DB, opts queue.Options) (*Queue, error) {
	q := &Queue{read: db.Read, opts: opts, tables: map[string]*table{}}
	ctx := context.Background()
	var err error
	if q.db, err = db.Writer(ctx); err != nil {
		return nil, fmt.Errorf("open the queue store: %w", err)
	}
	if err := q.load(ctx); err != nil {
		q.db.Close()
		return nil, fmt.Errorf("open the queue store: %w", err)
	}
	return q, nil
}

// load makes the tables and gives back what a former process held.
func (q *Queue) load(ctx context.Context) error {
	conn := q.db.Conn()
	if _, err := conn.ExecContext(ctx, schema); err != nil {
		return err
	}
	if err := addAccount(ctx, conn, "dead"); err != nil {
		return err
	}
	if err := q.stmts.prepare(ctx, conn); err != nil {
		return err
	}
	rows, err := conn.QueryContext(ctx, `SELECT no, name, last, total FROM queues`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		t := newTable("")
		if err := rows.Scan(&t.no, &t.name, &t.last, &t.total); err != nil {
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
		if err := t.prepare(ctx, conn); err != nil {
			return err
		}
		if _, err := conn.ExecContext(ctx, fmt.Sprintf(`UPDATE h%d SET due = ? WHERE due IS NULL`, t.no), time.Now().UnixNano()); err != nil {
			return err
		}
		// Whatever was handed out and is not done is in h, so fresh ones start
		// behind the highest there.
		if err := conn.QueryRowContext(ctx, fmt.Sprintf(`SELECT COALESCE(MAX(id), 0), COUNT(*) FROM h%d`, t.no)).Scan(&t.cursor, &t.back); err != nil {
			return err
		}
	}
	return nil
}

// Close gives the connection back; the messages stay.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	for _, t := range q.tables {
		t.wakeAll()
	}
	if err := q.db.Close(); err != nil {
		return fmt.Errorf("close the queue store: %w", err)
	}
	return nil
}

// Check reports whether the store can be written: it takes the write lock as a
// push would, and changes nothing.
func (q *Queue) Check(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.commit(ctx, sqlitedb.Lazy, func() error { return nil })
	if err != nil {
		return fmt.Errorf("the queue store cannot be written: %w", err)
	}
	return nil
}

// commit runs fn in a transaction. Callers hold the lock, and change what is
// kept in memory only once it returned nil.
func (q *Queue) commit(ctx context.Context, d sqlitedb.Durability, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.closed {
		return errClosed
	}
	return q.db.Run(d, fn)
}

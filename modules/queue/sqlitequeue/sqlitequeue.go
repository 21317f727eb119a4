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

var errClosed = errors.New("the queue store is closed")

// Queue is a queue.Queue and a queue.Inspector.
type Queue struct {
	read *sql.DB
	disk func() (free, total int64, err error)
	opts queue.Options

	stop    context.CancelFunc // nil: it does not tidy up
	tidying sync.WaitGroup

	mu      sync.Mutex // one writer, and the tables' memory
	db      *sqlitedb.Writer
	stmts   stmts
	tables  map[string]*table
	closed  bool
	stirred time.Time // the last change
	swept   int32     // the hour in which old books were last forgotten
	scratch []byte    // for encoding
}

// New opens the queues that lie in db. It takes db's only durable connection,
// so db must be the queue's alone.
func New(db *sqlitedb.DB, opts queue.Options) (*Queue, error) {
	q := &Queue{read: db.Read, disk: db.Disk, opts: opts, tables: map[string]*table{}}
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

// Close gives the connection back; the messages stay.
func (q *Queue) Close() error {
	if q.stop != nil {
		q.stop()
		q.tidying.Wait()
	}
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
	err := q.commit(ctx, sqlitedb.Lazy, func(*tx) error { return nil })
	if err != nil {
		return fmt.Errorf("the queue store cannot be written: %w", err)
	}
	return nil
}

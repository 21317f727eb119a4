// Package sqlitestate keeps the shared state in one SQLite file: the embedded
// default, for a single process.
//
// Documents, Swap and SwapAll return once the disk has them. Set, Claim and Delete
// survive a crash of the process at once and a loss of power within a second,
// when the background sync has come by: what they lose with the power is a
// dedupe claim whose event is then processed twice, and every write of that is
// keyed by the event id.
package sqlitestate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
)

const schema = `
CREATE TABLE IF NOT EXISTS keys (
	key     TEXT PRIMARY KEY,
	value   BLOB NOT NULL,
	expires INTEGER NOT NULL -- Unix milliseconds; 0 for ever
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_expires ON keys (expires) WHERE expires > 0;
CREATE TABLE IF NOT EXISTS documents (
	collection TEXT NOT NULL,
	id         TEXT NOT NULL,
	body       BLOB NOT NULL,
	revision   INTEGER NOT NULL,
	PRIMARY KEY (collection, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS collections (
	name    TEXT PRIMARY KEY,
	version INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS syncs (at INTEGER NOT NULL); -- one row, rewritten to reach the disk
INSERT INTO syncs SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM syncs);`

// Store is a state.Store.
type Store struct {
	read *sql.DB
	gets []*sql.Stmt // as getSizes

	mu                                                            sync.Mutex // one writer
	db                                                            *sqlitedb.Writer
	dirty                                                         bool // lazy writes since the last that reached the disk
	closed                                                        bool
	set, setRows, claim, claimRows, standing, fresh, swap, remove *sql.Stmt
	overwrite                                                     *sql.Stmt
	create, update, unlink, bump                                  *sql.Stmt
	sync, sweep                                                   *sql.Stmt

	stop chan struct{}
	done chan struct{}
}

// New opens the state that lies in db. It takes db's only durable connection,
// so db must be the state's alone.
func New(db *sqlitedb.DB) (*Store, error) {
	s := &Store{read: db.Read}
	ctx := context.Background()
	var err error
	if s.db, err = db.Writer(ctx); err != nil {
		return nil, fmt.Errorf("open the state store: %w", err)
	}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("open the state store: %w", errors.Join(err, s.Close()))
	}
	return s, nil
}

// getSizes are how many keys one statement reads; a batch is cut into those and
// padded with its last key.
var getSizes = [...]int{1, 16, 256}

// rowsAtOnce is how many keys one statement writes, which takes about a fifth
// less CPU than one each.
const rowsAtOnce = 8

func (s *Store) prepare(ctx context.Context) error {
	conn := s.db.Conn()
	if _, err := conn.ExecContext(ctx, schema); err != nil {
		return err
	}
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		// key, value, expires
		{&s.set, `INSERT INTO keys (key, value, expires) VALUES (?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires`},
		// value, key, now
		{&s.overwrite, `UPDATE keys SET value = ? WHERE key = ? AND (expires = 0 OR expires > ?)`},
		// key, value, expires, now → a row changed if the key was absent
		{&s.claim, `INSERT INTO keys (key, value, expires) VALUES (?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
			WHERE keys.expires > 0 AND keys.expires <= ?`},
		{&s.claimRows, `INSERT INTO keys (key, value, expires) VALUES (?, ?, ?)` + strings.Repeat(`, (?, ?, ?)`, rowsAtOnce-1) + `
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires
			WHERE keys.expires > 0 AND keys.expires <= ?`},
		{&s.setRows, `INSERT INTO keys (key, value, expires) VALUES (?, ?, ?)` + strings.Repeat(`, (?, ?, ?)`, rowsAtOnce-1) + `
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires`},
		{&s.standing, `SELECT value FROM keys WHERE key = ?`},
		// key, now
		{&s.fresh, `SELECT value FROM keys WHERE key = ? AND (expires = 0 OR expires > ?)`},
		// value, expires, key, old, now → a row changed if the key held old
		{&s.swap, `UPDATE keys SET value = ?, expires = ? WHERE key = ? AND value = ? AND (expires = 0 OR expires > ?)`},
		{&s.remove, `DELETE FROM keys WHERE key = ?`},
		{&s.create, `INSERT INTO documents (collection, id, body, revision) VALUES (?, ?, ?, 1) ON CONFLICT DO NOTHING`},
		// body, collection, id, revision → a row changed if it still was that revision
		{&s.update, `UPDATE documents SET body = ?, revision = revision + 1 WHERE collection = ? AND id = ? AND revision = ?`},
		{&s.unlink, `DELETE FROM documents WHERE collection = ? AND id = ?`},
		{&s.bump, `INSERT INTO collections (name, version) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET version = version + 1`},
		{&s.sync, `UPDATE syncs SET at = ?`},
		// now, max
		{&s.sweep, `DELETE FROM keys WHERE key IN (SELECT key FROM keys WHERE expires > 0 AND expires <= ? ORDER BY expires LIMIT ?)`},
	} {
		var err error
		if *p.stmt, err = s.db.Prepare(ctx, p.text); err != nil {
			return err
		}
	}
	for _, n := range getSizes {
		stmt, err := s.read.PrepareContext(ctx, `SELECT key, value FROM keys WHERE (expires = 0 OR expires > ?) AND key IN (?`+strings.Repeat(",?", n-1)+`)`)
		if err != nil {
			return err
		}
		s.gets = append(s.gets, stmt)
	}
	return nil
}

// Close gives the connection back, after a last sync.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	err := s.flush()
	s.closed = true
	for _, stmt := range s.gets {
		stmt.Close()
	}
	if err := errors.Join(err, s.db.Close()); err != nil {
		return fmt.Errorf("close the state store: %w", err)
	}
	return nil
}

// Check reports whether the store can be written: it takes the write lock as a
// write would, and changes nothing.
func (s *Store) Check(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.commit(ctx, sqlitedb.Lazy, func() error { return nil }); err != nil {
		return fmt.Errorf("the state store cannot be written: %w", err)
	}
	return nil
}

var errClosed = errors.New("the state store is closed")

// write runs fn in a transaction.
func (s *Store) write(ctx context.Context, d sqlitedb.Durability, fn func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.commit(ctx, d, fn)
	if err == nil {
		s.dirty = d == sqlitedb.Lazy
	}
	return err
}

// commit is write for those that hold the lock and change nothing to be synced.
func (s *Store) commit(ctx context.Context, d sqlitedb.Durability, fn func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed {
		return errClosed
	}
	err := s.db.Run(d, fn)
	if sqlitedb.Unavailable(err) {
		return fmt.Errorf("%w: %w", state.ErrUnavailable, err)
	}
	return err
}

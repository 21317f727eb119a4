package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Durability is whether a commit waits for the disk.
type Durability int

const (
	// Lazy commits survive a crash of the process. The power may take the last
	// of them, but none that is older than a durable commit.
	Lazy Durability = iota
	// Durable commits return once the disk has them.
	Durable
)

var levels = [...]string{Lazy: `PRAGMA synchronous = NORMAL`, Durable: `PRAGMA synchronous = FULL`}

// Writer runs write transactions, lazy and durable ones, on a single
// connection. Two connections would each throw away their page cache whenever
// the other wrote; switching one between the two costs microseconds. A Writer is
// not safe for concurrent use: its owner holds a lock, which also spares SQLite's
// busy waiting.
type Writer struct {
	conn                    *sql.Conn
	begin, commit, rollback *sql.Stmt
	now                     Durability
	prepared                []*sql.Stmt
}

// Writer takes the only connection of db.Durable for good, so db must then be
// written through the Writer alone.
func (db *DB) Writer(ctx context.Context) (*Writer, error) {
	conn, err := db.Durable.Conn(ctx)
	if err != nil {
		return nil, err
	}
	w := &Writer{conn: conn, now: Durable}
	for _, s := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&w.begin, `BEGIN IMMEDIATE`},
		{&w.commit, `COMMIT`},
		{&w.rollback, `ROLLBACK`},
	} {
		if *s.stmt, err = w.Prepare(ctx, s.text); err != nil {
			return nil, errors.Join(err, w.Close())
		}
	}
	return w, nil
}

// Prepare makes a statement that lives as long as the writer.
func (w *Writer) Prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	stmt, err := w.conn.PrepareContext(ctx, text)
	if err == nil {
		w.prepared = append(w.prepared, stmt)
	}
	return stmt, err
}

// Conn is the connection, to look with.
func (w *Writer) Conn() *sql.Conn { return w.conn }

// Run commits what fn did on the connection, or nothing of it.
func (w *Writer) Run(d Durability, fn func() error) error {
	if d != w.now {
		// Not a prepared statement: SQLite obeys this pragma while it compiles it.
		if _, err := w.conn.ExecContext(context.Background(), levels[d]); err != nil {
			return fmt.Errorf("choose the durability: %w", err)
		}
		w.now = d
	}
	if _, err := w.begin.Exec(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	committed := false
	defer func() {
		// Also where fn panics: a transaction left open would stop all that follow.
		// SQLite has rolled back by itself after some errors, such as a full disk;
		// then this one fails, and that is all right.
		if !committed {
			w.rollback.Exec()
		}
	}()
	err := fn()
	if err == nil {
		if _, err = w.commit.Exec(); err == nil {
			committed = true
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	}
	return err
}

// Cut writes what is in the write-ahead log into the file and empties the log. It
// waits for no reader: while one looks at what is in there, the log stays.
func (w *Writer) Cut() error {
	ctx := context.Background()
	_, err := w.conn.ExecContext(ctx, `PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = `+busyTimeout)
	if err != nil {
		return fmt.Errorf("empty the write-ahead log: %w", err)
	}
	return nil
}

// shrinkPages are given back at once, so that nobody waits long; sparePages are
// kept for what comes next.
const (
	shrinkPages = 256
	sparePages  = 1024
)

// Shrink gives some free pages back to the file system, if more than half of the
// file is free; less than that is used again. It reports whether it gave any.
func (w *Writer) Shrink() (bool, error) {
	ctx := context.Background()
	var free, all int
	if err := w.conn.QueryRowContext(ctx, `SELECT f.freelist_count, p.page_count FROM pragma_freelist_count f, pragma_page_count p`).Scan(&free, &all); err != nil {
		return false, fmt.Errorf("count free pages: %w", err)
	}
	if free < sparePages+shrinkPages || free < all/2 {
		return false, nil
	}
	// It frees a page a row, so the rows must be read to the end.
	rows, err := w.conn.QueryContext(ctx, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, shrinkPages))
	if err != nil {
		return false, fmt.Errorf("give pages back: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
	}
	return true, rows.Err()
}

// Close gives the connection back. It ends the statements first: SQLite keeps a
// file open, and its log beside it, for as long as there are any.
func (w *Writer) Close() error {
	var errs []error
	for _, stmt := range w.prepared {
		errs = append(errs, stmt.Close())
	}
	if err := w.conn.Close(); !errors.Is(err, sql.ErrConnDone) {
		errs = append(errs, err)
	}
	w.prepared = nil
	return errors.Join(errs...)
}

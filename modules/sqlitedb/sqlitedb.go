// Package sqlitedb opens the embedded store's database files the one way that
// the backends rely on: write-ahead log, a single writer, and a choice between
// commits that wait for the disk and commits that do not.
package sqlitedb

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite" // the driver "sqlite": pure Go, so that the binary stays static
	sqlite3 "modernc.org/sqlite/lib"
)

// DB is one database file, opened by this process alone.
type DB struct {
	path string
	// Durable has one connection; its commits return once the disk has them
	// (synchronous=FULL).
	Durable *sql.DB
	// Lazy has one connection; its commits survive a crash of the process, but
	// the last may be lost with the power (synchronous=NORMAL). For writes whose
	// loss only repeats harmless work, such as an ack.
	Lazy *sql.DB
	// Read has several connections that cannot write.
	Read *sql.DB
}

// Open opens the file at path, and makes it and its folder if need be.
func Open(path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	// SQLite gives its other files the mode of this one, whatever the folder's.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db := &DB{path: path}
	if db.Durable, err = open(path, 1, "synchronous(FULL)"); err == nil {
		if db.Lazy, err = open(path, 1, "synchronous(NORMAL)"); err == nil {
			db.Read, err = open(path, 4, "query_only(1)")
		}
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w%s", path, err, db.advice(err))
	}
	return db, nil
}

// advice is what an operator can do about an error of Open.
func (db *DB) advice(err error) string {
	if e, ok := errors.AsType[*sqlite.Error](err); ok && (e.Code()&0xff == sqlite3.SQLITE_NOTADB || e.Code()&0xff == sqlite3.SQLITE_CORRUPT) {
		return "; it is damaged: pixel restore makes a data folder of a backup"
	}
	if free, total, e := db.Disk(); e == nil && Unavailable(err) {
		return fmt.Sprintf("; of its disk's %d MiB %d are free", total>>20, free>>20)
	}
	return ""
}

// busyTimeout is how long a connection waits for another, in milliseconds.
const busyTimeout = "10000"

func open(path string, conns int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}}
	// auto_vacuum must come before the first table, and busy_timeout before
	// anything that may wait for the other writer. Sorting happens in memory, since
	// the image has no folder for temporary files.
	for _, p := range append([]string{"busy_timeout(" + busyTimeout + ")", "auto_vacuum(INCREMENTAL)", "journal_mode(WAL)", "temp_store(MEMORY)", "secure_delete(FAST)"}, pragmas...) {
		q.Add("_pragma", p)
	}
	d, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	d.SetMaxOpenConns(conns)
	d.SetMaxIdleConns(conns)
	return d, d.Ping()
}

// Disk returns how many bytes of the file's disk are free for us, of how many.
func (db *DB) Disk() (free, total int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(db.path, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), int64(s.Blocks) * int64(s.Bsize), nil
}

// Close closes all connections.
func (db *DB) Close() error {
	var errs []error
	for _, d := range []*sql.DB{db.Read, db.Lazy, db.Durable} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	return errors.Join(errs...)
}

// Unavailable reports whether an error says that the file cannot be written or
// read for now: the disk is full or failing.
func Unavailable(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM:
		return true
	}
	return false
}

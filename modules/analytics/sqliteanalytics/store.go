// Package sqliteanalytics keeps stored events and the sync log in one SQLite
// file, and answers the console's questions from it.
//
// It promises what the port does, exactly: no answer is sampled or rounded. A
// call's events are written all or none, and on the disk when the call returns; calls
// at the same time share a transaction. Callers should bring events by the hundred. A row
// is a whole event, packed; what questions select and group by is kept beside them, as
// columns and sums of many.
package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/miq/pixel/migrations"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Store is an analytics.Store.
type Store struct {
	db                                 *sqlitedb.DB
	bodies                             *codec
	putEvents, putSyncs, putMatches    rowsOf
	putTouches                         rowsOf
	putReceipt                         *sql.Stmt
	putIdentity                        *sql.Stmt
	putConversion                      *sql.Stmt
	rolled                             []string // dimensions with roll-ups of their own
	rollEvery                          int64
	mostLooked, mostNumbered           int
	people                             people
	census                             atomic.Pointer[census]
	commits                            commits
	ahead                              ahead
	columns                            *otter.Cache[columnKey, *column]
	tail                               tail
	erasing                            turns
	lines                              lines
	matched                            matchHours
	owed                               owedHours
	touched                            touchHours
	putChunk, putColumn                *sql.Stmt
	putRollup, visitorSet, putVisitors *sql.Stmt
	getPart, putPart                   *sql.Stmt
	tasks                              tasks
}

var _ analytics.Store = (*Store)(nil)

// New brings the database's schema up to date and makes a store of it. The
// database stays the caller's to close.
func New(db *sqlitedb.DB) (*Store, error) {
	// Nothing is there yet that could want to cancel this.
	ctx := context.Background()
	if _, err := migrations.SQLite(ctx, db.Durable); err != nil {
		return nil, fmt.Errorf("bring the analytics store up to date: %w", err)
	}
	// Inserts touch the visitors' index all over: with room for its pages, and a
	// checkpoint that finds them changed many times, an event costs a third less.
	if _, err := db.Durable.ExecContext(ctx, `PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 8000`); err != nil {
		return nil, fmt.Errorf("give the analytics store room: %w", err)
	}
	bodies, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("make the codec for events: %w", err)
	}
	s := &Store{db: db, bodies: bodies, rolled: dimensions(), rollEvery: rollEvery, mostLooked: mostLooked, mostNumbered: mostNumbered}
	s.lines.changed.most, s.lines.awaited = mostChanged, mostAwaited
	s.census.Store(&census{})
	s.keepMatches()
	s.keepOwed()
	s.keepTouches()
	s.tasks.ctx, s.tasks.end = context.WithCancel(ctx)
	if s.columns, err = newColumns(); err != nil {
		return nil, fmt.Errorf("make room for columns: %w", err)
	}
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&s.putRollup, putRollup},
		{&s.putChunk, putChunk},
		{&s.putColumn, putColumn},
		{&s.getPart, getPart},
		{&s.putPart, putPart},
		{&s.visitorSet, `SELECT visitors FROM visitor_sets WHERE level = ? AND bucket = ? AND pixel_id = ?`},
		{&s.putVisitors, `INSERT INTO visitor_sets (level, bucket, pixel_id, visitors) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET visitors = excluded.visitors`},
		{&s.putReceipt, insertReceipt},
		{&s.putIdentity, insertIdentity},
		{&s.putConversion, insertConversion},
	} {
		if *p.stmt, err = db.Durable.PrepareContext(ctx, p.text); err != nil {
			return nil, fmt.Errorf("prepare to write to the analytics store: %w", err)
		}
	}
	for _, p := range []struct {
		rows          *rowsOf
		width         int
		before, after string
	}{
		{&s.putEvents, eventWidth, insertEvents, ofEvents},
		{&s.putSyncs, syncWidth, insertSyncs, ofSyncs},
		{&s.putMatches, matchWidth, insertMatches, ofMatches},
		{&s.putTouches, touchWidth, insertTouches, ofTouches},
	} {
		if *p.rows, err = prepareRows(ctx, db.Durable, p.width, p.before, p.after); err != nil {
			return nil, fmt.Errorf("prepare to write to the analytics store: %w", err)
		}
	}
	return s, nil
}

// Check reports whether the store can be read.
func (s *Store) Check(ctx context.Context) error {
	var n int
	if err := s.db.Read.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM events LIMIT 1)`).Scan(&n); err != nil {
		return fmt.Errorf("read the analytics store: %w", err)
	}
	return nil
}

// snapshot runs f on one state of the store. Where the context ended f, its
// error says so in place of the driver's "interrupted".
func (s *Store) snapshot(ctx context.Context, what string, f func(*sql.Tx) error) error {
	err := func() error {
		tx, err := s.db.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return f(tx)
	}()
	return told(ctx, what, err)
}

func told(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s: %w", what, err)
}

// where collects conditions and their arguments.
type where struct {
	conds []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	w.conds, w.args = append(w.conds, cond), append(w.args, args...)
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// among wants one of some values; nil wants nothing, and an empty list cannot be had.
func (w *where) among(column string, values []string) {
	switch {
	case values == nil:
	case len(values) == 0:
		w.add("0")
	default:
		args := make([]any, len(values))
		for i, v := range values {
			args[i] = v
		}
		w.add(column+" IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	}
}

// conditions have been checked: their dimensions are names of columns.
func (w *where) conditions(prefix string, list []analytics.Condition) {
	for _, c := range list {
		args := make([]any, len(c.Values))
		for i, v := range c.Values {
			args[i] = v
		}
		in := " IN (?"
		if c.Not {
			in = " NOT IN (?"
		}
		w.add(prefix+c.Dimension+in+strings.Repeat(", ?", len(args)-1)+")", args...)
	}
}

func (w *where) between(column string, since, until time.Time) {
	if !since.IsZero() {
		w.add(column+" >= ?", since.UnixMicro())
	}
	if !until.IsZero() {
		w.add(column+" < ?", until.UnixMicro())
	}
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + w.clause()
}

func (w *where) clause() string { return strings.Join(w.conds, " AND ") }

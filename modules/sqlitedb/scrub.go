package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// scrubPages are given back in one transaction, which holds up writers.
const scrubPages = 1024

// Scrub sees to it that nothing of what was deleted is left in the file and in its
// write-ahead log: what is deleted is overwritten where it lay in a page that is still
// used (secure_delete), so is what is left of rows that moved (clearGaps), pages that are
// free go back to the file system, and the log is emptied. It takes a connection of its own, and a while.
func (db *DB) Scrub(ctx context.Context) error {
	d, err := open(db.path, 1, "synchronous(FULL)")
	if err != nil {
		return fmt.Errorf("scrub %s: %w", db.path, err)
	}
	defer d.Close()
	for free := 1; free > 0; {
		if err := drain(ctx, d, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, scrubPages)); err != nil {
			return fmt.Errorf("give the free pages of %s back: %w", db.path, err)
		}
		left := 0
		if err := d.QueryRowContext(ctx, `PRAGMA freelist_count`).Scan(&left); err != nil {
			return fmt.Errorf("count the free pages of %s: %w", db.path, err)
		}
		if left < scrubPages && left >= free {
			break // others free them as fast
		}
		free = left
	}
	if err := clearGaps(ctx, d); err != nil {
		return fmt.Errorf("clear the free room in the pages of %s: %w", db.path, err)
	}
	for try := range 20 {
		var busy, log, done int
		if err := d.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &done); err != nil {
			return fmt.Errorf("empty the write-ahead log of %s: %w", db.path, err)
		}
		if busy == 0 {
			return nil
		}
		timer := time.NewTimer(time.Duration(try+1) * 50 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	return errors.New("the write-ahead log of " + db.path + " could not be emptied: it is always being read")
}

// drain reads a statement's rows to the end: only then is it done.
func drain(ctx context.Context, d *sql.DB, statement string) error {
	rows, err := d.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

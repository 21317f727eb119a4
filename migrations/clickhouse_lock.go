package migrations

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"
)

// tableLock keeps two from migrating one database at once. ClickHouse has no locks
// to ask for, but makes a table once: whoever creates migration_lock has the lock,
// and everybody else is told that the table exists. On a cluster the statements of
// ON CLUSTER stand in one queue, so that there too one comes first. The holder
// renews the table's comment; a table that nobody renewed for a while is of one
// that died, and is renamed out of the way, which again only one can do.
type tableLock struct {
	cluster, owner    string
	renew, stale, ask time.Duration

	stop func()
}

func newTableLock(cluster string) *tableLock {
	return &tableLock{cluster: cluster, owner: rand.Text(), renew: 5 * time.Second, stale: time.Minute, ask: 500 * time.Millisecond}
}

// Lock waits for the lock; goose calls it.
func (l *tableLock) Lock(ctx context.Context, db *sql.DB) error {
	for n := 0; ; n++ {
		_, err := db.ExecContext(ctx, `CREATE TABLE migration_lock `+onCluster(l.cluster)+` (x UInt8) ENGINE = MergeTree ORDER BY tuple() COMMENT '`+l.owner+` 0'`)
		switch {
		case err == nil:
			l.hold(db)
			return nil
		case !isCode(err, codeTableExists):
			return fmt.Errorf("take the lock for migrations: %w", err)
		}
		if err := l.takeOver(ctx, db); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another pixel that migrates: %w", ctx.Err())
		case <-time.After(l.ask):
		}
	}
}

// takeOver removes the lock of one that died.
func (l *tableLock) takeOver(ctx context.Context, db *sql.DB) error {
	var age int64
	err := db.QueryRowContext(ctx, `SELECT dateDiff('second', metadata_modification_time, now()) FROM system.tables
		WHERE database = currentDatabase() AND name = 'migration_lock'`).Scan(&age)
	if err == sql.ErrNoRows {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the lock for migrations: %w", err)
	}
	if time.Duration(age)*time.Second < l.stale {
		return nil
	}
	grave := "migration_lock_of_" + strings.ToLower(l.owner)
	if _, err := db.ExecContext(ctx, `RENAME TABLE migration_lock TO `+grave+` `+onCluster(l.cluster)); err != nil {
		return nil // another was quicker; the next try shows
	}
	_, err = db.ExecContext(ctx, `DROP TABLE IF EXISTS `+grave+` `+onCluster(l.cluster)+` SYNC`)
	return err
}

// hold renews the lock until it is given back.
func (l *tableLock) hold(db *sql.DB) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(l.renew)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				// If it fails often enough somebody else begins, which the statements bear.
				_, _ = db.ExecContext(ctx, fmt.Sprintf(`ALTER TABLE migration_lock %s MODIFY COMMENT '%s %d'`, onCluster(l.cluster), l.owner, n))
			}
		}
	})
	l.stop = func() { cancel(); done.Wait() }
}

// Unlock gives the lock back, unless it was taken over meanwhile.
func (l *tableLock) Unlock(ctx context.Context, db *sql.DB) error {
	l.stop()
	var owner string
	err := db.QueryRowContext(ctx, `SELECT splitByChar(' ', comment)[1] FROM system.tables WHERE database = currentDatabase() AND name = 'migration_lock'`).Scan(&owner)
	if err == sql.ErrNoRows || err == nil && owner != l.owner {
		return nil
	}
	if err == nil {
		_, err = db.ExecContext(ctx, `DROP TABLE IF EXISTS migration_lock `+onCluster(l.cluster)+` SYNC`)
	}
	if err != nil {
		return fmt.Errorf("give the lock for migrations back: %w", err)
	}
	return nil
}

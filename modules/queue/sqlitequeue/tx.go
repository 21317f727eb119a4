package sqlitequeue

import (
	"context"
	"database/sql"
	"fmt"
)

// durability is whether a commit waits for the disk.
type durability int

const (
	lazy durability = iota
	durable
)

// tx runs transactions on the one connection that writes. Two connections, one
// that waits for the disk and one that does not, would each throw away its page
// cache whenever the other wrote; switching one between the two costs a
// microsecond.
type tx struct {
	conn                    *sql.Conn
	begin, commit, rollback *sql.Stmt
	level                   [2]*sql.Stmt
	now                     durability
}

func newTx(ctx context.Context, conn *sql.Conn) (*tx, error) {
	t := &tx{conn: conn, now: durable}
	for _, s := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&t.begin, `BEGIN IMMEDIATE`},
		{&t.commit, `COMMIT`},
		{&t.rollback, `ROLLBACK`},
		{&t.level[lazy], `PRAGMA synchronous = NORMAL`},
		{&t.level[durable], `PRAGMA synchronous = FULL`},
	} {
		var err error
		if *s.stmt, err = conn.PrepareContext(ctx, s.text); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// run commits what fn did, or nothing.
func (t *tx) run(d durability, fn func() error) error {
	if d != t.now {
		if _, err := t.level[d].Exec(); err != nil {
			return fmt.Errorf("choose the durability: %w", err)
		}
		t.now = d
	}
	if _, err := t.begin.Exec(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err := fn()
	if err == nil {
		if _, err = t.commit.Exec(); err == nil {
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	}
	// SQLite has rolled back by itself after some errors, such as a full disk;
	// then this one fails, and that is all right.
	t.rollback.Exec()
	return err
}

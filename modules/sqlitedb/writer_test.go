package sqlitedb_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/miq/pixel/modules/sqlitedb"
)

func TestAWriterWaitsForTheDiskWhereItWasToldTo(t *testing.T) {
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w, err := db.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// SQLite's names for them: 1 is NORMAL, 2 is FULL.
	for _, step := range []struct {
		durability sqlitedb.Durability
		want       int
	}{{sqlitedb.Durable, 2}, {sqlitedb.Lazy, 1}, {sqlitedb.Lazy, 1}, {sqlitedb.Durable, 2}, {sqlitedb.Lazy, 1}, {sqlitedb.Durable, 2}} {
		err := w.Run(step.durability, func() error {
			var got int
			err := w.Conn().QueryRowContext(t.Context(), `PRAGMA synchronous`).Scan(&got)
			if got != step.want {
				t.Errorf("synchronous is %d, want %d", got, step.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestAWriterCommitsAllOrNothingAndGoesOn(t *testing.T) {
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w, err := db.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec := func(text string) error {
		_, err := w.Conn().ExecContext(t.Context(), text)
		return err
	}
	if err := exec(`CREATE TABLE t (x)`); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("no")
	for _, fail := range []error{failure, nil, failure, nil} {
		err := w.Run(sqlitedb.Lazy, func() error {
			return errors.Join(exec(`INSERT INTO t VALUES (1)`), fail)
		})
		if !errors.Is(err, fail) {
			t.Errorf("got %v, want %v", err, fail)
		}
	}
	var n int
	if err := db.Read.QueryRow(`SELECT COUNT(*) FROM t`).Scan(&n); err != nil || n != 2 {
		t.Errorf("found %d rows, want 2, error %v", n, err)
	}
}

func TestAWriterGoesOnAfterAPanic(t *testing.T) {
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w, err := db.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { recover() }()
		w.Run(sqlitedb.Durable, func() error { panic("a bug") })
	}()
	if err := w.Run(sqlitedb.Durable, func() error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestAWriterThatIsClosedLetsTheFileBeClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sqlitedb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := db.Writer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Prepare(t.Context(), `SELECT 1`); err != nil {
		t.Fatal(err)
	}
	if err := w.Run(sqlitedb.Lazy, func() error {
		_, err := w.Conn().ExecContext(t.Context(), `CREATE TABLE t (x)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), w.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	// The last to close it takes the log into the file, and deletes it.
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the log is still there: %v", err)
	}
}

package sqlitequeue_test

import (
	"path/filepath"
	"testing"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/queuetest"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/sqlitedb"
)

func TestContract(t *testing.T) {
	queuetest.Run(t, func(t *testing.T, opts queue.Options) queuetest.Backend {
		return backend(t, filepath.Join(t.TempDir(), "queue.db"), opts)
	})
}

func backend(t *testing.T, path string, opts queue.Options) queuetest.Backend {
	q, closeAll := open(t, path, opts)
	return queuetest.Backend{Queue: q, Inspector: q, Books: q, Reopen: func(t *testing.T) queuetest.Backend {
		closeAll()
		return backend(t, path, opts)
	}}
}

func open(t testing.TB, path string, opts queue.Options) (*sqlitequeue.Queue, func()) {
	t.Helper()
	db, err := sqlitedb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	q, err := sqlitequeue.New(db, opts)
	if err != nil {
		t.Fatal(err)
	}
	closeAll := func() {
		q.Close()
		db.Close()
	}
	t.Cleanup(closeAll)
	return q, closeAll
}

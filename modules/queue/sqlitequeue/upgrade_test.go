package sqlitequeue_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// oneRowEach is how the first version kept its messages.
const oneRowEach = `
CREATE TABLE queues (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0);
CREATE TABLE dead (id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, origin TEXT NOT NULL, reason TEXT NOT NULL, deliveries INTEGER NOT NULL, buried_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE m1 (id INTEGER PRIMARY KEY, pushed_at INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE h1 (id INTEGER PRIMARY KEY, deliveries INTEGER NOT NULL, due INTEGER);
INSERT INTO queues VALUES (1, 'ingest:high', 7, 3), (2, 'dlq:validation', 0, 1);
INSERT INTO m1 VALUES (5, 1, 'held'), (6, 2, 'back'), (7, 3, 'fresh');
INSERT INTO h1 VALUES (5, 1, NULL), (6, 2, 4);
INSERT INTO dead VALUES (1, 'dlq:validation', '', 'bad', 0, 9, 'refused');`

func TestWhatTheFirstVersionKeptIsDelivered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	db, err := sqlitedb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Durable.Exec(oneRowEach); err != nil {
		t.Fatal(err)
	}
	db.Close()
	q, _ := open(t, path, queue.Defaults)
	if err := q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	msgs, err := q.Pull(t.Context(), "ingest:high", 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range msgs {
		got = append(got, m.ID+" "+string(m.Body))
	}
	slices.Sort(got)
	if want := []string{"5 held", "6 back", "7 fresh", "8 new"}; !slices.Equal(got, want) {
		t.Errorf("pulled %q, want %q", got, want)
	}
	letters, _, err := q.Dead(t.Context(), queue.Validation, "", 10)
	if err != nil || len(letters) != 1 || string(letters[0].Body) != "refused" {
		t.Errorf("dead letters are %+v, %v", letters, err)
	}
	if s, err := q.Stats(t.Context()); err != nil || s[1].InFlight != 4 {
		t.Errorf("stats are %+v, %v", s, err)
	}
}

func TestWhatWasHandedBackBeforeDeathsWereCountedIsDelivered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q, closeAll := open(t, path, queue.Defaults)
	if err := q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte("back")}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Pull(t.Context(), "ingest:high", 1); err != nil {
		t.Fatal(err)
	}
	closeAll()
	db, err := sqlitedb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Durable.Exec(`ALTER TABLE r1 DROP COLUMN died`); err != nil {
		t.Fatal(err)
	}
	db.Close()
	q, _ = open(t, path, queue.Defaults)
	if msgs, err := q.Pull(t.Context(), "ingest:high", 1); err != nil || len(msgs) != 1 || msgs[0].Deliveries != 2 {
		t.Errorf("pulled %+v, %v", msgs, err)
	}
}

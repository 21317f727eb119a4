package sqlitequeue_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
)

// longEnv lets this try every byte, 210,000 files and half an hour on a disk in memory
// (make torn); without it, every byte around the borders of what SQLite writes and some
// between.
const longEnv = "PIXEL_TEST_LONG"

const (
	walHeader   = 32
	frameHeader = 24
	frame       = frameHeader + 4096
)

// contents are the bodies in a queue's file, each where it is and how often.
func contents(t *testing.T, q *sqlitequeue.Queue) string {
	t.Helper()
	var out []string
	for _, name := range []string{"ingest:high", "ingest:low"} {
		msgs, _, err := q.Peek(t.Context(), name, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range msgs {
			out = append(out, name+" "+string(m.Body))
		}
	}
	letters, _, err := q.Dead(t.Context(), queue.Validation, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		out = append(out, "dead "+string(l.Body))
	}
	books, err := q.Counts(t.Context(), 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range books {
		out = append(out, fmt.Sprintf("books %+v", c))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// torn is a queue's files after some commits, and what it held after each.
type torn struct {
	db, wal []byte
	ends    []int64  // how long the log was after each of the last commits
	held    []string // what the queue held then
}

// tear makes such files: some history, and then commits of every kind.
func tear(t *testing.T) torn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	q, closeAll := open(t, path, brief)
	defer closeAll()
	item := func(name, body string) queue.Item {
		return queue.Item{Queue: name, Body: []byte(body), Account: queue.Account{Pixel: "px", Hour: 7}}
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		ok(q.Push(t.Context(), item("ingest:high", fmt.Sprint("old ", i)), item("ingest:low", fmt.Sprint("old ", i))))
	}
	msgs, err := q.Pull(t.Context(), "ingest:high", 10)
	ok(err)
	ok(q.Bury(t.Context(), "ingest:high", "bad", msgs[0].ID))
	// Checkpointed, so that the file itself holds some and the log the rest.
	closeAll()
	q, closeAll2 := open(t, path, brief)
	defer closeAll2()
	var x torn
	note := func() {
		x.ends = append(x.ends, size(t, path+"-wal"))
		x.held = append(x.held, contents(t, q))
	}
	ok(q.Push(t.Context(), item("ingest:high", "new 1")))
	note()
	ok(q.Push(t.Context(), item("ingest:high", "new 2"), item("ingest:low", "new 3"), queue.Item{Queue: queue.Validation, Body: []byte("refused"), Reason: "bad"}))
	note()
	msgs, err = q.Pull(t.Context(), "ingest:low", 2)
	ok(err)
	note() // what is handed out is there still
	ok(q.Settle(t.Context(), "ingest:low", queue.End{Account: queue.Account{Pixel: "px", Hour: 7}, Outcome: "stored", IDs: []string{msgs[0].ID}}))
	note()
	ok(q.Bury(t.Context(), "ingest:low", "bad", msgs[1].ID))
	note()
	if x.db, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if x.wal, err = os.ReadFile(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	return x
}

// reopened is what the queue holds when it is opened on such files.
func reopened(t *testing.T, dir string, db, wal []byte) string {
	t.Helper()
	path := filepath.Join(dir, "queue.db")
	for name, b := range map[string][]byte{path: db, path + "-wal": wal} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(path + "-shm")
	q, closeAll := open(t, path, brief)
	defer closeAll()
	return contents(t, q)
}

// difference says how two contents differ.
func difference(got, want string) string {
	has := map[string]int{}
	for line := range strings.SplitSeq(want, "\n") {
		has[line]--
	}
	for line := range strings.SplitSeq(got, "\n") {
		has[line]++
	}
	var out []string
	for line, n := range has {
		if n != 0 {
			out = append(out, fmt.Sprintf("%+d × %q", n, line))
		}
	}
	return strings.Join(out, ", ")
}

// TestATornLogLosesNoCommitBeforeTheTear cuts or spoils the log at each byte of
// the last commits, as a power cut amid a write would, and compares sets.
func TestATornLogLosesNoCommitBeforeTheTear(t *testing.T) {
	x := tear(t)
	dir := t.TempDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for at := x.ends[0]; at <= int64(len(x.wal)); at++ {
		inFrame := (at - walHeader) % frame
		border := inFrame < 2 || inFrame == frame-1 || inFrame == frameHeader
		if os.Getenv(longEnv) == "" && !border && at%997 != 0 {
			continue
		}
		spoiled := slices.Clone(x.wal)
		for i := at; i < int64(len(spoiled)); i++ {
			spoiled[i] ^= 0x5a
		}
		zeroed := slices.Clone(x.wal)
		clear(zeroed[at:])
		for what, wal := range map[string][]byte{"cut": x.wal[:at], "spoiled": spoiled, "zeroed": zeroed} {
			// Whatever was committed before the first wrong byte stands; whose commit was
			// torn got no answer, and finds all or nothing of it.
			wrong := at
			for wrong < int64(len(wal)) && wal[wrong] == x.wal[wrong] {
				wrong++
			}
			last := 0
			for i, end := range x.ends {
				if end <= wrong {
					last = i
				}
			}
			if got := reopened(t, dir, x.db, wal); got != x.held[last] {
				t.Fatalf("%s at byte %d of %d, after commit %d of %v: %s", what, at, len(x.wal), last+1, x.ends, difference(got, x.held[last]))
			}
			tried++
		}
	}
	t.Logf("%d files tried, of a log of %d bytes", tried, len(x.wal))
}

// TestATornCheckpointLosesNothing spoils the file itself in the pages that the
// log has too, as a power cut amid a checkpoint would.
func TestATornCheckpointLosesNothing(t *testing.T) {
	x := tear(t)
	dir := t.TempDir()
	pages := map[uint32]bool{}
	for at := walHeader; at+frame <= len(x.wal); at += frame {
		pages[binary.BigEndian.Uint32(x.wal[at:])] = true
	}
	want := x.held[len(x.held)-1]
	for page := range maps.Keys(pages) {
		begin := int(page-1) * 4096
		if begin >= len(x.db) {
			continue
		}
		for _, at := range []int{0, 1, 100, 2048, 4095} {
			db := slices.Clone(x.db)
			for i := begin + at; i < min(begin+4096, len(db)); i++ {
				db[i] ^= 0x5a
			}
			if page == 1 && at < 100 {
				// The file's header is written whole by a disk, being a sector's start.
				copy(db[:100], x.db[:100])
			}
			if got := reopened(t, dir, db, x.wal); got != want {
				t.Fatalf("page %d spoiled from byte %d: %s", page, at, difference(got, want))
			}
		}
	}
}

package sqlitequeue_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
)

// until waits for a condition: for longer than the log may stand uncut while
// pushes go on, which is a minute.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for giveUp := time.Now().Add(3 * time.Minute); !ok(); {
		if time.Now().After(giveUp) {
			t.Fatalf("it never came that %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// noise is a body that does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func push(t *testing.T, q queue.Queue, name string, bodies ...[]byte) error {
	t.Helper()
	items := make([]queue.Item, len(bodies))
	for i, b := range bodies {
		items[i] = queue.Item{Queue: name, Body: b}
	}
	return q.Push(t.Context(), items...)
}

// done pulls and acks until the queue is empty, and returns how many there were.
func done(t *testing.T, q queue.Queue, name string) (n int) {
	t.Helper()
	for {
		msgs, err := q.Pull(t.Context(), name, 256)
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) == 0 {
			return n
		}
		n += len(msgs)
		ids := make([]string, len(msgs))
		for i, m := range msgs {
			ids[i] = m.ID
		}
		if err := q.Ack(t.Context(), name, ids...); err != nil {
			t.Fatal(err)
		}
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

var brief = queue.Options{Lease: time.Minute, MaxDeliveries: 8, Wait: time.Millisecond}

func TestTheSpaceOfWhatIsDoneIsGivenBackWhilePushesGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q, _ := open(t, path, brief)
	q.Start(slog.New(slog.DiscardHandler))
	const batches, batch = 100, 100
	for range batches {
		bodies := make([][]byte, batch)
		for i := range bodies {
			bodies[i] = noise(8000)
		}
		if err := push(t, q, "ingest:high", bodies...); err != nil {
			t.Fatal(err)
		}
	}
	if n := done(t, q, "ingest:high"); n != batches*batch {
		t.Fatalf("pulled %d", n)
	}
	full := size(t, path)
	var slowest time.Duration
	until(t, "the file is small", func() bool {
		begin := time.Now()
		if err := push(t, q, "ingest:low", []byte("meanwhile")); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(begin))
		return size(t, path) < full/8
	})
	t.Logf("from %d to %d bytes; the slowest push took %s meanwhile", full, size(t, path), slowest)
	if slowest > 2*time.Second { // a loaded machine's disk may take some itself
		t.Errorf("a push waited %s", slowest)
	}
}

func TestNothingOfWhatIsDoneStaysInTheFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queue.db")
	q, _ := open(t, path, brief)
	q.Start(slog.New(slog.DiscardHandler))
	secret := []byte("ada@example.com")
	// Alone in a segment, in a crowd, handed back, and a dead letter that is dropped.
	var bodies [][]byte
	for i := range 50 {
		bodies = append(bodies, fmt.Appendf(nil, "%s %d", secret, i))
	}
	for _, bodies := range [][][]byte{{secret}, bodies, {secret}, {secret}} {
		if err := push(t, q, "ingest:high", bodies...); err != nil {
			t.Fatal(err)
		}
	}
	msgs, err := q.Pull(t.Context(), "ingest:high", 53)
	if err != nil || len(msgs) != 53 {
		t.Fatalf("pulled %d, %v", len(msgs), err)
	}
	if err := errors.Join(
		q.Retry(t.Context(), "ingest:high", time.Now(), msgs[51].ID, msgs[7].ID),
		q.Bury(t.Context(), "ingest:high", "bad", msgs[52].ID),
	); err != nil {
		t.Fatal(err)
	}
	holds := func() bool {
		for _, name := range []string{path, path + "-wal"} {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, secret) {
				return true
			}
		}
		return false
	}
	if !holds() {
		t.Fatal("the files do not hold what waits, so this test would see nothing")
	}
	var ids []string
	for _, m := range msgs {
		ids = append(ids, m.ID)
	}
	if err := q.Ack(t.Context(), "ingest:high", ids...); err != nil {
		t.Fatal(err)
	}
	done(t, q, "ingest:high")
	if n, err := q.Drain(t.Context(), queue.Validation, "", 10); err != nil || n != 1 {
		t.Fatalf("dropped %d, %v", n, err)
	}
	until(t, "nothing of it is in the files", func() bool { return !holds() })
}

func TestBeyondItsBoundTheQueueRefusesInWordsAndGoesOnOnceThereIsRoom(t *testing.T) {
	opts := brief
	opts.MaxBytes = 2 << 20
	path := filepath.Join(t.TempDir(), "queue.db")
	q, _ := open(t, path, opts)
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = push(t, q, "ingest:high", noise(20_000))
	}
	if n--; !errors.Is(err, queue.ErrFull) || !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("after %d pushes: %v", n, err)
	}
	if s := size(t, path) + size(t, path+"-wal"); s > 10<<20 {
		t.Errorf("the files have %d bytes", s)
	}
	used, limit, err := q.Room(t.Context())
	if err != nil || limit != opts.MaxBytes || used < limit/2 || used > limit {
		t.Errorf("%d of %d bytes are used, %v", used, limit, err)
	}
	if got := done(t, q, "ingest:high"); got != n {
		t.Errorf("%d of %d were there", got, n)
	}
	if err := push(t, q, "ingest:high", noise(20_000)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// smallDisk is a file system of a few megabytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED: no file system of its own can be mounted (%v), so a full disk was not tried", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

func TestAFullDiskRefusesWholePushesAndLosesNothing(t *testing.T) {
	for _, blind := range []bool{false, true} {
		t.Run(fmt.Sprintf("blind=%t", blind), func(t *testing.T) {
			dir := smallDisk(t, "12m")
			path := filepath.Join(dir, "queue.db")
			q, closeAll := open(t, path, brief)
			if blind { // as when another takes the last bytes after we looked
				q.Blind()
			}
			acknowledged := map[string]bool{}
			both := func(i int) error {
				body := append(fmt.Appendf(nil, "%06d", i), noise(30_000)...)
				err := q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: body}, queue.Item{Queue: "ingest:low", Body: body})
				if err == nil {
					acknowledged[string(body[:6])] = true
				}
				return err
			}
			var err error
			n := 0
			for ; err == nil && n < 1000; n++ {
				err = both(n)
			}
			if !errors.Is(err, queue.ErrUnavailable) {
				t.Fatalf("after %d pushes: %v", n, err)
			}
			for i := range 20 {
				if err := both(1000 + i); err != nil && !errors.Is(err, queue.ErrUnavailable) {
					t.Errorf("on a full disk: %v", err)
				}
			}
			// A process that starts on the full disk sees the same.
			closeAll()
			check := func(q *sqlitequeue.Queue) {
				t.Helper()
				for _, name := range []string{"ingest:high", "ingest:low"} {
					found := map[string]int{}
					for cursor := ""; ; {
						msgs, next, err := q.Peek(t.Context(), name, cursor, 100)
						if err != nil {
							t.Fatal(err)
						}
						for _, m := range msgs {
							found[string(m.Body[:6])]++
						}
						if cursor = next; next == "" {
							break
						}
					}
					for id, n := range found {
						if n != 1 || !acknowledged[id] {
							t.Errorf("%s holds %s %d times; acknowledged: %t", name, id, n, acknowledged[id])
						}
					}
					if len(found) != len(acknowledged) {
						t.Errorf("%s holds %d, acknowledged were %d", name, len(found), len(acknowledged))
					}
				}
			}
			if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
				t.Fatal(err)
			}
			q, _ = open(t, path, brief)
			check(q)
			if err := both(2000); err != nil {
				t.Errorf("with room again: %v", err)
			}
			check(q)
			if n := done(t, q, "ingest:high"); n != len(acknowledged) {
				t.Errorf("%d came out, want %d", n, len(acknowledged))
			}
		})
	}
}

func TestAFullDiskLetsWhatWaitsBeWorkedOff(t *testing.T) {
	dir := smallDisk(t, "16m")
	q, _ := open(t, filepath.Join(dir, "queue.db"), brief)
	n := 0
	for ; ; n++ {
		if err := push(t, q, "ingest:high", noise(50_000)); errors.Is(err, queue.ErrFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for range n { // one by one, as each may need a page
		msgs, err := q.Pull(t.Context(), "ingest:high", 1)
		if err != nil || len(msgs) != 1 {
			t.Fatalf("pulled %d, %v", len(msgs), err)
		}
		if err := q.Ack(t.Context(), "ingest:high", msgs[0].ID); err != nil {
			t.Fatal(err)
		}
		got++
	}
	if got != n {
		t.Errorf("%d of %d came out", got, n)
	}
	if err := push(t, q, "ingest:high", noise(50_000)); err != nil {
		t.Errorf("once it is empty: %v", err)
	}
}

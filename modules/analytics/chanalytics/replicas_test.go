package chanalytics

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	process "os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/clickhousetest"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/sqlitedb"
)

// replica is what a process of TestAReplica is told.
const replica = "PIXEL_TEST_REPLICA"

func shared() ([]event.Event, []event.Sync) {
	events := analyticstest.Events(31, 900, 6*time.Hour)
	return events, analyticstest.Syncs(31, events)
}

// TestAReplica is a process that writes its part of the events in a cut of its own, a
// line to its output for each batch.
func TestAReplica(t *testing.T) {
	told := strings.Fields(os.Getenv(replica))
	if len(told) != 4 {
		t.Skip("runs as the process of another test")
	}
	number := func(i int) int {
		n, err := strconv.Atoi(told[i])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	s := opened(t, settings(told[0]))
	events, syncs := shared()
	events = slices.Clone(events[number(1):number(2)])
	r := rand.New(rand.NewPCG(uint64(number(3)), 1))
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	of := map[string][]event.Sync{}
	for _, l := range syncs {
		of[l.PixelID+l.EventID] = append(of[l.PixelID+l.EventID], l)
	}
	for chunk := range slices.Chunk(events, 20+r.IntN(60)) {
		var lines []event.Sync
		for _, e := range chunk {
			lines = append(lines, of[e.PixelID+e.ID]...)
		}
		var both sync.WaitGroup
		both.Go(func() {
			if err := s.WriteEvents(t.Context(), chunk...); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if err := s.WriteSyncs(t.Context(), lines...); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		fmt.Println("batch")
	}
}

// Processes write the same and other batches at once into one engine, and one of them is
// killed in the middle; who takes its work over writes it in another cut. Rows and series
// are those of writing each event once, which the embedded store did.
func TestReplicasThatWriteAtOnceAndDieLeaveNothingTwiceOrOut(t *testing.T) {
	t.Parallel()
	c := migrated(t, clickhousetest.DSN(t))
	begin := func(ctx context.Context, from, to, seed int) (*process.Cmd, *bufio.Scanner) {
		cmd := process.CommandContext(ctx, os.Args[0], "-test.run", "^TestAReplica$", "-test.count", "1")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d %d", replica, c.DSN, from, to, seed))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewScanner(out)
	}
	var group sync.WaitGroup
	whole := func(from, to, seed int) {
		cmd, out := begin(t.Context(), from, to, seed)
		group.Go(func() {
			var said []string
			for out.Scan() {
				said = append(said, out.Text())
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("a replica: %v\n%s", err, strings.Join(said, "\n"))
			}
		})
	}
	events, syncs := shared()
	whole(0, 600, 1)
	whole(300, 900, 2)
	// This one dies while it writes its third batch, or a later one.
	cmd, out := begin(t.Context(), 150, 750, 3)
	batches := 0
	for batches < 2 && out.Scan() {
		if out.Text() == "batch" {
			batches++
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || batches < 2 {
		t.Fatalf("the replica ended by itself after %d batches: %v", batches, err)
	}
	whole(150, 750, 4)
	group.Wait()

	s := opened(t, c)
	s.settle, s.fresh = 0, 0 // nobody writes any more
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	once, err := sqliteanalytics.New(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := once.WriteEvents(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	if err := once.WriteSyncs(t.Context(), syncs...); err != nil {
		t.Fatal(err)
	}
	engines(t, "from rows", s, once)
	for _, source := range []string{sourceEvents, sourceSyncs} {
		if _, err := s.Count(t.Context(), source); err != nil {
			t.Fatal(err)
		}
	}
	recounted(t, s)
	engines(t, "from passes", s, once)
	var n, ids, copies uint64
	if err := s.ask(t.Context(), "count", `SELECT count(), uniqExact(pixel_id, id), (SELECT count() FROM events) FROM events FINAL`, nil, func(r driver.Rows) error {
		return r.Scan(&n, &ids, &copies)
	}); err != nil || n != uint64(len(events)) || ids != n {
		t.Errorf("%d rows of %d ids, not %d, %v", n, ids, len(events), err)
	}
	t.Logf("%d events, written in %d rows", n, copies)
}

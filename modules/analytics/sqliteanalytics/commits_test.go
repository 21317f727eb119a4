package sqliteanalytics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/event"
)

// hold keeps the transaction until the others wait behind it, and lets go.
func (s *Store) hold(t *testing.T) (release func()) {
	t.Helper()
	begun, end := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- s.write(context.Background(), "hold", 1, func(*sql.Tx) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (s *Store) behind() int {
	s.commits.mu.Lock()
	defer s.commits.mu.Unlock()
	return len(s.commits.waiting)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("timed out: " + what)
		}
	}
}

func TestOfWritesThatShareATransactionOneThatFailsSpoilsNoOther(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	s.rollEvery = 64
	events := analyticstest.Events(1, 400, time.Hour)
	release := s.hold(t)
	var all sync.WaitGroup
	for part := range slices.Chunk(events, 50) {
		all.Go(func() {
			if err := s.WriteEvents(t.Context(), part...); err != nil {
				t.Error(err)
			}
		})
	}
	failure := errors.New("a full disk")
	all.Go(func() {
		err := s.write(t.Context(), "fail", 1, func(tx *sql.Tx) error {
			_, err := tx.Exec(`DELETE FROM events`)
			return errors.Join(err, failure)
		})
		if !errors.Is(err, failure) {
			t.Errorf("the one that failed: %v", err)
		}
	})
	all.Go(func() {
		defer func() {
			if p := recover(); p != "a bug" {
				t.Errorf("the one that panicked: %v", p)
			}
		}()
		_ = s.write(t.Context(), "panic", 1, func(*sql.Tx) error { panic("a bug") })
	})
	until(t, "ten wait", func() bool { return s.behind() == 10 })
	gone, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- s.WriteEvents(gone, events[0]) }()
	until(t, "one more waits", func() bool { return s.behind() == 11 })
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that left: %v", err)
	}
	release()
	all.Wait()

	page, err := s.Events(t.Context(), analytics.EventFilter{Limit: 500})
	if err != nil || len(page.Events) != len(events) {
		t.Fatalf("%d of %d are stored, %v", len(page.Events), len(events), err)
	}
	top, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "pixel_id", Since: analyticstest.Begin.Add(-time.Hour), Until: analyticstest.Begin.Add(24 * time.Hour)})
	n := 0.0
	for _, r := range top {
		n += r.Value
	}
	if err != nil || n != float64(len(events)) {
		t.Errorf("counted %v of %d, %v", n, len(events), err)
	}
}

// What is counted on the way in comes to what would be read again: with repeats, with
// transactions that were undone, and after deletions.
func TestWhatIsCountedOnTheWayInIsWhatWasStored(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	s.rollEvery = 300
	events := analyticstest.Events(2, 2000, 30*time.Hour)
	ask := func() string {
		t.Helper()
		out := ""
		for _, d := range []string{"", "country", "page_path", "name"} {
			for _, m := range []analytics.Metric{analytics.MetricEvents, analytics.MetricRevenue} {
				series, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: m, Since: analyticstest.Begin.Add(-time.Hour), Until: analyticstest.Begin.Add(48 * time.Hour), Step: "6h", GroupBy: d})
				if err != nil {
					t.Fatal(err)
				}
				out += fmt.Sprintln(d, m, series)
			}
		}
		return out
	}
	for i, part := range slices.Collect(slices.Chunk(events, 90)) {
		again := append([]event.Event(nil), part...)
		if i > 0 {
			again = append(again, events[90*i-7:90*i]...) // some came before
		}
		if err := s.WriteEvents(t.Context(), again...); err != nil {
			t.Fatal(err)
		}
		switch i % 4 {
		case 1:
			undone := errors.New("undone")
			at := position{}
			err := s.alone(t.Context(), "undo", 1, func(tx *sql.Tx) (err error) {
				if at, err = place(t.Context(), tx); err != nil {
					return err
				}
				r := newRows(s, []event.Event{analyticstest.Events(99, 1, time.Hour)[0]})
				fresh, last, err := s.insert(t.Context(), tx, r, at.used)
				if err != nil {
					return err
				}
				s.ahead.add(s, at, r, fresh, last)
				return undone
			})
			if !errors.Is(err, undone) {
				t.Fatal(err)
			}
		case 3:
			if _, err := s.Erase(t.Context(), analytics.Erasure{PixelID: part[0].PixelID, Events: []string{part[0].ID}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	counted := ask()
	// The same, worked out anew from what is stored.
	for _, q := range []string{`DELETE FROM rollups`, `DELETE FROM sums`, `DELETE FROM visitor_sets`, `UPDATE rolled SET seq = 0`} {
		if _, err := s.db.Durable.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if read := ask(); read != counted {
		t.Errorf("counted on the way in:\n%s\nread again:\n%s", counted, read)
	}
}

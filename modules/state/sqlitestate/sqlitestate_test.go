package sqlitestate_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
	"github.com/miq/pixel/modules/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	statetest.Run(t, func(t *testing.T) statetest.Backend {
		return backend(t, filepath.Join(t.TempDir(), "state.db"))
	})
}

func backend(t *testing.T, path string) statetest.Backend {
	s, closeAll := open(t, path)
	return statetest.Backend{Store: s, Reopen: func(t *testing.T) statetest.Backend {
		closeAll()
		return backend(t, path)
	}}
}

func open(t testing.TB, path string) (*sqlitestate.Store, func()) {
	t.Helper()
	db, err := sqlitedb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	closeAll := func() {
		s.Close()
		db.Close()
	}
	t.Cleanup(closeAll)
	return s, closeAll
}

func TestExpiredKeysAreSweptAndNoOthers(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "state.db"))
	var entries []state.Entry
	for i := range 2500 {
		entries = append(entries, state.Entry{Key: fmt.Sprint("short:", i), TTL: time.Minute})
	}
	entries = append(entries, state.Entry{Key: "long", TTL: time.Hour}, state.Entry{Key: "for ever"})
	if err := s.Set(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {2 * time.Minute, 2500}, {2 * time.Minute, 0}, {2 * time.Hour, 1}, {1000 * time.Hour, 0}} {
		if n, err := s.Sweep(time.Now().Add(step.after)); err != nil || n != step.want {
			t.Errorf("after %s, %d keys were swept, want %d, error %v", step.after, n, step.want, err)
		}
	}
}

func TestTheBackgroundWorkEndsWithStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, closeAll := open(t, filepath.Join(t.TempDir(), "state.db"))
		defer closeAll()
		s.Start(slog.New(slog.DiscardHandler))
		if err := s.Set(t.Context(), state.Entry{Key: "k", TTL: time.Second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		// The background has been here before us.
		if n, err := s.Sweep(time.Now()); err != nil || n != 0 {
			t.Errorf("%d expired keys were left, error %v", n, err)
		}
		s.Stop()
	})
}

// BenchmarkClaim is the worker's dedupe: a batch of 256 new event ids.
func BenchmarkClaim(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "state.db"))
	n := 0
	for b.Loop() {
		if _, err := s.Claim(b.Context(), batch(&n)...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

func BenchmarkGet(b *testing.B) {
	s, _ := open(b, filepath.Join(b.TempDir(), "state.db"))
	n := 0
	for range 400 {
		if err := s.Set(b.Context(), batch(&n)...); err != nil {
			b.Fatal(err)
		}
	}
	keys := make([]string, 256)
	at := 0
	for b.Loop() {
		for i := range keys {
			at = (at + 40_503) % n
			keys[i] = key(at + 1)
		}
		if _, err := s.Get(b.Context(), keys...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

func batch(n *int) []state.Entry {
	entries := make([]state.Entry, 256)
	for i := range entries {
		*n++
		entries[i] = state.Entry{Key: key(*n), Value: []byte("0193a1b2c3d4"), TTL: 7 * 24 * time.Hour}
	}
	return entries
}

func key(n int) string {
	return fmt.Sprintf("seen:px_demo:0193a1b2-%012x-%08x", n, uint32(n)*2654435761)
}

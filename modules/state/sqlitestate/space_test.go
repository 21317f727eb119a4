package sqlitestate_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func TestTheSpaceOfExpiredKeysIsUsedAgainAndGivenBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := sqlitedb.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	defer s.Close()
	// fill writes a key a visitor, as long as those of dedupe are.
	const keys, batch = 40_000, 500
	fill := func(round int) {
		for i := 0; i < keys; i += batch {
			entries := make([]state.Entry, batch)
			for j := range entries {
				entries[j] = state.Entry{
					Key:   fmt.Sprintf("seen:px_demo:0193%08x-%04x-7000-8000-%012x", (i+j)*2654435761&0xffffffff, round, i+j),
					Value: []byte("0193aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"), TTL: time.Minute,
				}
			}
			if err := s.Set(t.Context(), entries...); err != nil {
				t.Fatal(err)
			}
		}
	}
	size := func() int64 {
		t.Helper()
		if _, err := db.Read.ExecContext(t.Context(), `PRAGMA wal_checkpoint(PASSIVE)`); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	fill(0)
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	full := size()
	t.Logf("%d bytes a key of 51 with a value of 36", full/keys)
	if full/keys > 300 {
		t.Errorf("a key takes %d bytes", full/keys)
	}
	for round := 1; round <= 3; round++ {
		if n, err := s.Sweep(time.Now().Add(2 * time.Minute)); err != nil || n != keys {
			t.Fatalf("swept %d, %v", n, err)
		}
		fill(round)
	}
	if now := size(); now > full*3/2 {
		t.Errorf("after three generations the file has %d bytes, had %d after one", now, full)
	}
	if _, err := s.Sweep(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.Start(slog.New(slog.DiscardHandler))
	defer s.Stop()
	for giveUp := time.Now().Add(time.Minute); size() > full*2/3; {
		if time.Now().After(giveUp) {
			t.Fatalf("the file still has %d bytes, had %d when it was full", size(), full)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func TestAFullDiskMakesTheStoreUnavailable(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("SKIPPED: no file system of its own can be mounted (%v), so a full disk was not tried", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, _ := open(t, filepath.Join(dir, "state.db"))
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = s.Set(t.Context(), state.Entry{Key: fmt.Sprint(i), Value: make([]byte, 10_000)})
	}
	if !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("set: %v", err)
	}
	if _, err := s.Put(t.Context(), "pixels", state.Document{ID: "d", Body: make([]byte, 10_000)}); !errors.Is(err, state.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	if got, err := s.Get(t.Context(), "0"); err != nil || len(got[0]) != 10_000 {
		t.Errorf("what was written before is %d bytes, %v", len(got[0]), err)
	}
}

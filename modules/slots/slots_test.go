package slots

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func keys(t *testing.T) state.Keys {
	t.Helper()
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	k, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func publisher(k state.Keys, name string) *Publisher {
	return New(k, "test:", func() ([]byte, error) { return []byte(name), nil }, slog.New(slog.DiscardHandler))
}

func read(t *testing.T, k state.Keys) []string {
	t.Helper()
	values, err := Read(t.Context(), k, "test:")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	slices.Sort(out)
	return out
}

func TestASlotThatWasLostIsNotTakenBack(t *testing.T) {
	k := keys(t)
	a, b := publisher(k, "a"), publisher(k, "b")
	for _, step := range []func() error{
		func() error { return a.Publish(t.Context()) },
		func() error { return k.Delete(t.Context(), "test:0") }, // it expired
		func() error { return b.Publish(t.Context()) },          // and somebody else came
		func() error { return a.Publish(t.Context()) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, k); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v", got)
	}
}

func TestOneThatStopsTakesItsReportAway(t *testing.T) {
	k := keys(t)
	a, b := publisher(k, "a"), publisher(k, "b")
	for _, p := range []*Publisher{a, b} {
		if err := p.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.Start()
	a.Stop(t.Context())
	if got := read(t, k); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%v", got)
	}
}

func TestAFleetIsSeenWholeAndOneTooManyIsAnError(t *testing.T) {
	k := keys(t)
	for i := range count {
		if err := publisher(k, fmt.Sprint("process ", i)).Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, k); len(slices.Compact(got)) != count {
		t.Errorf("%d of %d are seen", len(got), count)
	}
	if err := publisher(k, "one more").Publish(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 128 processes") {
		t.Errorf("of one too many it says %v", err)
	}
}

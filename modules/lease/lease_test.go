package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func keys(t *testing.T) state.Keys {
	t.Helper()
	db, err := sqlitedb.Open(t.TempDir() + "/state.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	s, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOneAtATimeAndTheNextAtOnce(t *testing.T) {
	k := keys(t)
	inside := make(chan struct{})
	leave := make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- New(k, "x").Do(t.Context(), func(context.Context) error {
			close(inside)
			<-leave
			return nil
		})
	}()
	<-inside
	none := func(context.Context) error { t.Error("two at a time"); return nil }
	if err := New(k, "x").Do(t.Context(), none); !errors.Is(err, ErrHeld) {
		t.Errorf("a second one: %v", err)
	}
	if err := New(k, "y").Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("another name: %v", err)
	}
	close(leave)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	ran := false
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := New(k, "x").Await(ctx, 5*time.Millisecond, func(context.Context) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("the next one: %v", err)
	}
}

func TestWhoLosesTheLeaseIsStopped(t *testing.T) {
	k := keys(t)
	l := New(k, "x")
	l.ttl = 600 * time.Millisecond
	err := l.Do(t.Context(), func(ctx context.Context) error {
		// As if it had run out, and another had taken it.
		if err := k.Set(ctx, state.Entry{Key: l.name, Value: []byte("another"), TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
	if v, err := k.Get(t.Context(), l.name); err != nil || string(v[0]) != "another" {
		t.Errorf("the other's lease is %q, %v", v, err)
	}
}

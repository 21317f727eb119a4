package attribution

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func TestARunIsMadeEachNightAndWhenItIsAskedFor(t *testing.T) {
	db, err := sqlitedb.Open(t.TempDir() + "/state.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	keys, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	s := &shelf{paths: []analytics.PathRow{row(1, 0, "email")}, sets: []event.Credits{{PixelID: "px", EventID: "c", Model: Linear, Shares: []event.Share{{Touchpoint: event.Touchpoint{Channel: "email"}, Weight: 1}}}}}
	now := time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC)
	r := &Runner{Job: Job{s, s}, Keys: keys, Pixels: func() []string { return []string{"px"} }, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}
	runs := func(what string, want int) {
		t.Helper()
		if err := r.IfDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(s.wrote) / 2; got != want {
			t.Errorf("%s: %d runs, want %d", what, got, want)
		}
	}
	runs("the first time", 1)
	runs("the same night", 1)
	now = now.Add(2 * time.Hour) // past three
	runs("after three", 2)
	now = now.Add(20 * time.Hour)
	runs("the same day", 2)
	if err := Ask(t.Context(), keys, now); err != nil {
		t.Fatal(err)
	}
	runs("asked for", 3)
	runs("asked for once", 3)
	last, asked, err := LastRun(t.Context(), keys)
	if err != nil || asked || last == nil || len(last.Pixels) != 1 || last.Pixels[0].Conversions != 1 || last.Finished.IsZero() || last.Error != "" {
		t.Errorf("%+v, %v, %v", last, asked, err)
	}
	now = now.Add(24 * time.Hour)
	s.away = errors.New("the store is away")
	if err := r.IfDue(t.Context()); err == nil {
		t.Error("a run whose store is away ended well")
	}
	if last, _, _ = LastRun(t.Context(), keys); last == nil || last.Error == "" {
		t.Errorf("%+v", last)
	}
}

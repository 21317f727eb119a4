package logbook_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/filearchive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/archive/logbook"
	"github.com/miq/pixel/modules/event"
)

var begin = time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)

// store takes what it is given, or fails.
type store struct {
	analytics.Writer
	err error
	n   int
}

func (s *store) WriteSyncs(_ context.Context, l ...event.Sync) error    { s.n += len(l); return s.err }
func (s *store) WriteMatches(_ context.Context, l ...event.Match) error { s.n += len(l); return s.err }
func (s *store) WriteReceipts(_ context.Context, l ...event.ConsentReceipt) error {
	s.n += len(l)
	return s.err
}

func open(t *testing.T, dir string) *lake.Lake {
	t.Helper()
	l, _, err := filearchive.New(dir, lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// sample is some of each kind, over midnight.
func sample() (syncs []event.Sync, matches []event.Match, receipts []event.ConsentReceipt) {
	for i := range 50 {
		at := begin.Add(time.Duration(i) * 2 * time.Minute)
		pixel, id := []string{"px", "py"}[i%2], fmt.Sprint("e-", i/2)
		syncs = append(syncs, event.Sync{EventID: id, PixelID: pixel, Partner: "ttd", Attempt: 1, At: at, Outcome: event.Accepted, Status: 200, Latency: time.Duration(i) * time.Millisecond, Answer: "{\"ok\":\xff}"})
		matches = append(matches, event.Match{EventID: id, PixelID: pixel, Partner: "ttd", Name: "purchase", ReceivedAt: at, Grade: event.HighMatch, Keys: []string{"email"}, Missing: []string{"phone"}})
		receipts = append(receipts, event.ConsentReceipt{PixelID: pixel, Subject: fmt.Sprint("digest-", i), Seq: 1, At: at, Source: "web", SourceID: id, Hash: fmt.Sprint("h", i)})
	}
	return syncs, matches, receipts
}

type lines struct {
	syncs    []event.Sync
	matches  []event.Match
	receipts []event.ConsentReceipt
}

func read(t *testing.T, b *logbook.Book, f archive.Filter) (out lines, positions []string) {
	t.Helper()
	for l, err := range b.Read(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case l.Sync != nil:
			out.syncs = append(out.syncs, *l.Sync)
		case l.Match != nil:
			out.matches = append(out.matches, *l.Match)
		case l.Receipt != nil:
			out.receipts = append(out.receipts, *l.Receipt)
		}
		positions = append(positions, l.Position)
	}
	return out, positions
}

// TestLinesComeBackAsTheyWereWritten also where they are written again, filed and merged.
func TestLinesComeBackAsTheyWereWritten(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	b := logbook.New(l)
	s := &store{}
	w, r := logbook.Writer{Writer: s, Book: b}, logbook.ReceiptWriter{ReceiptWriter: s, Book: b}
	syncs, matches, receipts := sample()
	both := logbook.Upkeep{Upkeep: open(t, t.TempDir()), Book: b}
	for range 2 {
		for _, err := range []error{w.WriteSyncs(t.Context(), syncs...), w.WriteMatches(t.Context(), matches...), r.WriteReceipts(t.Context(), receipts...)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if backlog, err := both.Backlog(t.Context()); err != nil || backlog.Objects == 0 {
			t.Fatalf("what waits: %+v, %v", backlog, err)
		}
		if _, err := both.File(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := both.Merge(t.Context(), time.Time{}, begin.Add(48*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if s.n != 6*50 {
		t.Errorf("the store was given %d lines", s.n)
	}
	got, positions := read(t, logbook.New(open(t, dir)), archive.Filter{Filed: true})
	unfit := slices.Clone(syncs)
	for i := range unfit {
		unfit[i].Answer = "{\"ok\":\ufffd}"
	}
	byPixel := func(i int) string { return []string{"px", "py"}[i%2] }
	want := lines{}
	for _, pixel := range []string{"px", "py"} {
		for i := range syncs {
			if byPixel(i) == pixel {
				want.syncs, want.matches, want.receipts = append(want.syncs, unfit[i]), append(want.matches, matches[i]), append(want.receipts, receipts[i])
			}
		}
	}
	for name, pair := range map[string][2]any{"syncs": {got.syncs, want.syncs}, "matches": {got.matches, want.matches}, "receipts": {got.receipts, want.receipts}} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			g, w := fmt.Sprintf("%+v", pair[0]), fmt.Sprintf("%+v", pair[1])
			t.Errorf("%s: read\n%.900s\nwant\n%.900s", name, g, w)
		}
	}
	// A reading goes on where one stood.
	rest, _ := read(t, b, archive.Filter{Filed: true, After: positions[len(positions)/2]})
	if n := len(rest.syncs) + len(rest.matches) + len(rest.receipts); n != len(positions)-len(positions)/2-1 {
		t.Errorf("after the half of %d come %d", len(positions), n)
	}
	// What expires goes with the days of events.
	if n, err := both.Expire(t.Context(), "px", begin.Add(24*time.Hour)); n != 0 || err != nil {
		t.Errorf("%d days of events, %v", n, err)
	}
	for _, s := range first(read(t, b, archive.Filter{PixelID: "px"})).syncs {
		if s.At.Before(begin.Truncate(24 * time.Hour).Add(24 * time.Hour)) {
			t.Errorf("a line of %s is left", s.At)
		}
	}
}

func first(l lines, _ []string) lines { return l }

func TestAnErasureDeletesWhatIsSaidOfEventsAndLeavesReceipts(t *testing.T) {
	l := open(t, t.TempDir())
	b := logbook.New(l)
	s := &store{}
	syncs, matches, receipts := sample()
	w := logbook.Writer{Writer: s, Book: b}
	for _, err := range []error{w.WriteSyncs(t.Context(), syncs...), w.WriteMatches(t.Context(), matches...), logbook.ReceiptWriter{ReceiptWriter: s, Book: b}.WriteReceipts(t.Context(), receipts...)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	n, err := b.Erase(t.Context(), "px", func(id string) bool { return id == "e-3" || id == "e-4" })
	if err != nil || n != 4 {
		t.Errorf("%d lines were erased, %v", n, err)
	}
	got, _ := read(t, b, archive.Filter{})
	if len(got.syncs) != 48 || len(got.matches) != 48 || len(got.receipts) != 50 {
		t.Errorf("%d, %d and %d are left", len(got.syncs), len(got.matches), len(got.receipts))
	}
	for _, l := range got.syncs {
		if l.PixelID == "px" && (l.EventID == "e-3" || l.EventID == "e-4") {
			t.Errorf("a line of %s is left", l.EventID)
		}
	}
	if n, err := b.Erase(t.Context(), "px", func(id string) bool { return id == "e-3" }); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
}

// A write is answered when both have it.
func TestALineThatOneOfBothLacksIsAnError(t *testing.T) {
	l := open(t, t.TempDir())
	syncs, _, _ := sample()
	away := errors.New("away")
	w := logbook.Writer{Writer: &store{err: away}, Book: logbook.New(l)}
	if err := w.WriteSyncs(t.Context(), syncs...); !errors.Is(err, away) {
		t.Errorf("the store is away: %v", err)
	}
	l.Close()
	w.Writer = &store{}
	if err := w.WriteSyncs(t.Context(), syncs...); err == nil {
		t.Error("the archive is closed, and nobody says so")
	}
	if err := w.WriteSyncs(t.Context()); err != nil {
		t.Errorf("nothing to write: %v", err)
	}
}

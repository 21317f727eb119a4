// Package archivetest checks that an archive keeps what its port promises.
package archivetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

// Store is what is tested.
type Store interface {
	archive.Archive
	archive.Upkeep
}

// Place is somewhere that archives are kept.
type Place struct {
	// Open opens the place as a process that starts does. A test may have several
	// archives of one place open at once, as several processes would. A file holds at
	// most so many events; 0: as many as usual.
	Open func(t *testing.T, rows int) Store
}

// Begin is when the first event was received: late in an hour, and in a day.
var Begin = time.Date(2026, 11, 22, 23, 58, 7, 123_456_789, time.UTC)

// Event makes an event.
func Event(pixel, id string, at time.Time) event.Event {
	return event.Event{
		ID: id, PixelID: pixel, Name: "page_view", ReceivedAt: at.UTC(), Time: at.Add(-time.Second).UTC(), Receipt: "r",
		Source: "web", Priority: event.Standard, Verdict: event.Verdict{State: event.Full, Regime: "gdpr", Rule: "G5"},
		Subject:    event.Subject{VisitorID: "v-" + id, ClickIDs: map[string]string{"gclid": "g-" + id}},
		Order:      event.Order{ID: "o-" + id, Value: "249.95", Currency: "EUR"},
		Properties: fmt.Appendf(nil, `{"a":1,"a":"ü %s"}`, id),
	}
}

// Run checks the promises; place makes an empty place.
func Run(t *testing.T, place func(*testing.T) Place) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Place)
	}{
		{"what was written is read as it was", readsBack},
		{"a reading of what is filed goes pixel by pixel and hour by hour", inOrder},
		{"a filter selects by pixel and by time of receipt, to the nanosecond", filters},
		{"what one process wrote, the next one reads and adds to", reopens},
		{"writers side by side lose nothing", sideBySide},
		{"a reader beside a writer sees whole events", besideAWriter},
		{"an event written twice is there, and once when it is filed", twice},
		{"what could not be read back is refused, and nothing else with it is lost", refuses},
		{"a pixel id is never a path", neverAPath},
		{"an ended context ends a write and a reading", ends},
		{"a reading stops when its reader does", stops},
		{"a reading beside filing and merging misses nothing", besideUpkeep},
		{"processes that file and merge at once lose nothing", rivals},
		{"a reading goes on from a position", positions},
		{"what is too old is deleted by whole days", expires},
		{"what is rewritten away is gone, and nothing else is", rewrites},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, place(t)) })
	}
}

func write(t *testing.T, a archive.Archive, events ...event.Event) {
	t.Helper()
	if err := a.Write(t.Context(), events...); err != nil {
		t.Fatalf("write %d events: %v", len(events), err)
	}
}

func file(t *testing.T, a Store) int {
	t.Helper()
	n, err := a.File(t.Context())
	if err != nil {
		t.Fatalf("file: %v", err)
	}
	return n
}

func merge(t *testing.T, a Store) {
	t.Helper()
	if err := a.Merge(t.Context(), time.Time{}, Begin.AddDate(1, 0, 0)); err != nil {
		t.Fatalf("merge: %v", err)
	}
}

func read(t *testing.T, a archive.Archive, f archive.Filter) []event.Event {
	t.Helper()
	var got []event.Event
	for r, err := range a.Read(t.Context(), f) {
		if err != nil {
			t.Fatalf("read %+v: %v", f, err)
		}
		got = append(got, r.Event)
	}
	return got
}

func key(e event.Event) string {
	b, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// same compares as bags: what was written once must come once.
func same(t *testing.T, got, want []event.Event) {
	t.Helper()
	left := map[string]int{}
	for _, e := range want {
		left[key(e)]++
	}
	for _, e := range got {
		left[key(e)]--
	}
	for _, k := range slices.Sorted(maps.Keys(left)) {
		switch n := left[k]; {
		case n > 0:
			t.Errorf("missing: %.400s", k)
		case n < 0:
			t.Errorf("not written, or not so often: %.400s", k)
		}
	}
}

// sample is events of two pixels over four hours, around midnight.
func sample() []event.Event {
	var all []event.Event
	for i := range 200 {
		all = append(all, Event([]string{"px_demo", "0-other"}[i%2], fmt.Sprintf("e-%03d", i), Begin.Add(time.Duration(i)*time.Minute)))
	}
	return all
}

func readsBack(t *testing.T, p Place) {
	a := p.Open(t, 30)
	if got := read(t, a, archive.Filter{}); len(got) != 0 {
		t.Fatalf("an empty archive has %d events", len(got))
	}
	write(t, a)
	want := sample()
	long := Event("px_demo", "long", Begin)
	long.Properties = fmt.Appendf(nil, "%q", strings.Repeat("x", 3<<20))
	zone := Event("px_demo", "zone", Begin.In(time.FixedZone("", 5*3600+1800)))
	bare := event.Event{ID: "bare", PixelID: "px_demo", ReceivedAt: Begin}
	want = append(want, long, zone, bare)
	for batch := range slices.Chunk(want, 37) {
		write(t, a, batch...)
	}
	same(t, read(t, a, archive.Filter{}), want)
	if b, err := a.Backlog(t.Context()); err != nil || b.Objects == 0 || b.Bytes == 0 || time.Since(b.Oldest) > time.Hour {
		t.Errorf("the backlog is %+v, %v", b, err)
	}
	if n := file(t, a); n != len(want) {
		t.Errorf("%d events were filed, of %d", n, len(want))
	}
	if b, err := a.Backlog(t.Context()); err != nil || b != (archive.Backlog{}) {
		t.Errorf("after filing the backlog is %+v, %v", b, err)
	}
	same(t, read(t, a, archive.Filter{Filed: true}), want)
	merge(t, a)
	same(t, read(t, a, archive.Filter{}), want)
	merge(t, a)
	same(t, read(t, p.Open(t, 0), archive.Filter{}), want)
}

func inOrder(t *testing.T, p Place) {
	a := p.Open(t, 0)
	all := sample()
	for i := range all {
		write(t, a, all[(i*77)%len(all)])
		if i%50 == 0 {
			file(t, a)
		}
	}
	file(t, a)
	var places []string
	for _, e := range read(t, a, archive.Filter{Filed: true}) {
		places = append(places, e.PixelID+e.ReceivedAt.UTC().Format(" 2006-01-02 15"))
	}
	if len(places) != len(all) || !slices.IsSorted(places) {
		t.Errorf("read in the order %q", slices.Compact(places))
	}
}

func filters(t *testing.T, p Place) {
	a := p.Open(t, 0)
	all := sample()
	write(t, a, all...)
	hour := Begin.Truncate(time.Hour)
	for _, filed := range []bool{false, true} {
		if filed {
			file(t, a)
		}
		for _, f := range []archive.Filter{
			{PixelID: "px_demo"},
			{PixelID: "px_demo_"},
			{PixelID: "PX_DEMO"},
			{Since: all[50].ReceivedAt},
			{Since: all[50].ReceivedAt.Add(1)},
			{Until: all[50].ReceivedAt},
			{Until: all[50].ReceivedAt.Add(1)},
			{Since: hour.Add(time.Hour), Until: hour.Add(2 * time.Hour)},
			{Since: hour, Until: hour.Add(time.Hour), PixelID: "0-other"},
			{Since: all[3].ReceivedAt.In(time.FixedZone("", -9*3600)), Until: all[150].ReceivedAt, PixelID: "px_demo"},
			{Since: all[100].ReceivedAt, Until: all[10].ReceivedAt},
			{Since: all[199].ReceivedAt.Add(1)},
		} {
			var want []event.Event
			for _, e := range all {
				if (f.PixelID == "" || e.PixelID == f.PixelID) && (f.Since.IsZero() || !e.ReceivedAt.Before(f.Since)) && (f.Until.IsZero() || e.ReceivedAt.Before(f.Until)) {
					want = append(want, e)
				}
			}
			f.Filed = filed
			t.Run(fmt.Sprintf("%s %s to %s, filed: %v", f.PixelID, f.Since.Format(time.RFC3339Nano), f.Until.Format(time.RFC3339Nano), filed), func(t *testing.T) {
				same(t, read(t, a, f), want)
			})
		}
	}
}

func reopens(t *testing.T, p Place) {
	all := sample()
	for batch := range slices.Chunk(all, 50) {
		// The one before is not closed: its process was killed.
		a := p.Open(t, 0)
		write(t, a, batch...)
		file(t, a)
		write(t, a, batch[0]) // left unfiled
	}
	a := p.Open(t, 0)
	file(t, a)
	merge(t, a)
	same(t, read(t, a, archive.Filter{}), all)
}

func sideBySide(t *testing.T, p Place) {
	one, two := p.Open(t, 0), p.Open(t, 0)
	var want []event.Event
	var wg sync.WaitGroup
	for w := range 8 {
		var mine []event.Event
		for i := range 100 {
			mine = append(mine, Event([]string{"px_demo", "px_other", "px_3"}[i%3], fmt.Sprintf("w%d-%03d", w, i), Begin.Add(time.Duration(i)*time.Minute)))
		}
		want = append(want, mine...)
		wg.Go(func() {
			for batch := range slices.Chunk(mine, 10) {
				if err := []archive.Archive{one, two}[w%2].Write(t.Context(), batch...); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	same(t, read(t, one, archive.Filter{}), want)
}

func besideAWriter(t *testing.T, p Place) {
	a := p.Open(t, 0)
	var mu sync.Mutex
	done := map[string]bool{} // what Write returned for
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 60 {
			e := Event("px_demo", fmt.Sprintf("e-%d", i), Begin)
			if err := a.Write(t.Context(), e); err != nil {
				t.Error(err)
			}
			mu.Lock()
			done[e.ID] = true
			mu.Unlock()
		}
	})
	for range 20 {
		mu.Lock()
		must := maps.Clone(done)
		mu.Unlock()
		whole(t, read(t, a, archive.Filter{}), must)
	}
	wg.Wait()
}

// whole checks that events are as they were written, and that none is missing.
func whole(t *testing.T, got []event.Event, must map[string]bool) {
	t.Helper()
	for _, e := range got {
		if key(e) != key(Event(e.PixelID, e.ID, e.ReceivedAt)) {
			t.Errorf("read %s", key(e))
		}
		delete(must, e.ID)
	}
	if len(must) > 0 {
		t.Errorf("a reading did not see %d events that were written before it began", len(must))
	}
}

func twice(t *testing.T, p Place) {
	e := Event("px_demo", "e", Begin)
	write(t, p.Open(t, 0), e)
	write(t, p.Open(t, 0), e)
	a := p.Open(t, 0)
	got := read(t, a, archive.Filter{})
	if len(got) == 0 || len(got) > 2 {
		t.Fatalf("read %d events", len(got))
	}
	for _, g := range got {
		same(t, []event.Event{g}, []event.Event{e})
	}
	file(t, a)
	same(t, read(t, a, archive.Filter{}), []event.Event{e})
	write(t, a, e)
	file(t, a)
	merge(t, a)
	same(t, read(t, a, archive.Filter{}), []event.Event{e})
}

func refuses(t *testing.T, p Place) {
	a := p.Open(t, 0)
	first := Event("px_demo", "first", Begin)
	write(t, a, first)
	for name, change := range map[string]func(*event.Event){
		"no id":                    func(e *event.Event) { e.ID = "" },
		"no time of receipt":       func(e *event.Event) { e.ReceivedAt = time.Time{} },
		"before there were pixels": func(e *event.Event) { e.ReceivedAt = time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC) },
		"properties that are none": func(e *event.Event) { e.Properties = []byte("?") },
	} {
		t.Run(name, func(t *testing.T) {
			e := Event("px_demo", "e", Begin)
			change(&e)
			if err := a.Write(t.Context(), e); !errors.Is(err, archive.ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
	last := Event("px_demo", "last", Begin)
	write(t, a, last)
	same(t, read(t, a, archive.Filter{}), []event.Event{first, last})
}

func neverAPath(t *testing.T, p Place) {
	a := p.Open(t, 0)
	for _, id := range []string{"", ".", "..", "../up", "a/b", `a\b`, "/etc", "a\x00b", "_a", "-a", "a b", "pixel=a", "ä", "a\n", "a%2f", strings.Repeat("a", 65)} {
		if err := a.Write(t.Context(), Event(id, "e", Begin)); !errors.Is(err, archive.ErrInvalid) {
			t.Errorf("pixel id %q: %v", id, err)
		}
		if _, err := a.Expire(t.Context(), id, time.Now()); err == nil {
			t.Errorf("pixel id %q was expired", id)
		}
		if id == "" {
			continue
		}
		for _, err := range a.Read(t.Context(), archive.Filter{PixelID: id}) {
			if err == nil {
				t.Errorf("something was read as pixel %q", id)
			}
		}
	}
	ok := Event("0"+strings.Repeat("-", 63), "../../e", Begin)
	write(t, a, ok)
	file(t, a)
	same(t, read(t, a, archive.Filter{}), []event.Event{ok})
}

func ends(t *testing.T, p Place) {
	a := p.Open(t, 0)
	write(t, a, sample()...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Write(ctx, Event("px_demo", "late", Begin)); !errors.Is(err, context.Canceled) {
		t.Errorf("a write returned %v", err)
	}
	n := 0
	for _, err := range a.Read(ctx, archive.Filter{}) {
		n++
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a reading yielded %v", err)
		}
	}
	if n != 1 {
		t.Errorf("a reading yielded %d times, not one error", n)
	}
}

func stops(t *testing.T, p Place) {
	a := p.Open(t, 0)
	write(t, a, sample()...)
	for _, filed := range []bool{false, true} {
		if filed {
			file(t, a)
		}
		n := 0
		for _, err := range a.Read(t.Context(), archive.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			t.Errorf("read %d", n)
		}
	}
}

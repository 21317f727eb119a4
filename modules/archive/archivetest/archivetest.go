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

	"github.com/miq/pixel/modules/archive"
)

// Place is somewhere that archives are kept.
type Place struct {
	// Open opens the place as a process that starts does. A test may have several
	// archives of one place open at once, as several processes would.
	Open func(*testing.T) archive.Archive
	// Dir is the folder that files grow in; empty where files appear whole, so that
	// none can be torn.
	Dir string
}

// Begin is when the first record was received: late in an hour, and in a day.
var Begin = time.Date(2026, 11, 22, 23, 58, 7, 123_456_789, time.UTC)

// Record makes a record of what an event's JSON needs at least.
func Record(pixel, id string, at time.Time) archive.Record {
	return archive.Record{PixelID: pixel, EventID: id, ReceivedAt: at, Body: fmt.Appendf(nil,
		`{"id":%q,"pixel_id":%q,"name":"page_view","received_at":%q,"properties":{"a":1,"a":"ü %[2]s"}}`, id, pixel, at.Format(time.RFC3339Nano))}
}

// Run checks the promises; place makes an empty place.
func Run(t *testing.T, place func(*testing.T) Place) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Place)
	}{
		{"what was written is read, byte for byte", readsBack},
		{"a reading goes pixel by pixel and hour by hour", inOrder},
		{"a filter selects by pixel and by time of receipt, to the nanosecond", filters},
		{"what one process wrote, the next one reads and adds to", reopens},
		{"writers side by side lose nothing", sideBySide},
		{"a reader beside a writer sees whole records", besideAWriter},
		{"a record written twice is there", twice},
		{"what could not be read back is refused, and nothing else with it is lost", refuses},
		{"a pixel id is never a path", neverAPath},
		{"an ended context ends a write and a reading", ends},
		{"a reading stops when its reader does", stops},
		{"a write torn at any byte hides nothing before it", torn},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, place(t)) })
	}
}

func write(t *testing.T, a archive.Archive, records ...archive.Record) {
	t.Helper()
	if err := a.Write(t.Context(), records...); err != nil {
		t.Fatalf("write %d records: %v", len(records), err)
	}
}

func read(t *testing.T, a archive.Archive, f archive.Filter) []archive.Record {
	t.Helper()
	var got []archive.Record
	for r, err := range a.Read(t.Context(), f) {
		if err != nil {
			t.Fatalf("read %+v: %v", f, err)
		}
		got = append(got, r)
	}
	return got
}

func key(r archive.Record) string {
	return strings.Join([]string{r.PixelID, r.EventID, r.ReceivedAt.UTC().Format(time.RFC3339Nano), string(r.Body)}, "|")
}

// same compares as bags: where a record was written once it must come once.
func same(t *testing.T, got, want []archive.Record) {
	t.Helper()
	left := map[string]int{}
	for _, r := range want {
		left[key(r)]++
	}
	for _, r := range got {
		left[key(r)]--
	}
	for _, k := range slices.Sorted(maps.Keys(left)) {
		switch n := left[k]; {
		case n > 0:
			t.Errorf("missing: %.300s", k)
		case n < 0:
			t.Errorf("not written, or not so often: %.300s", k)
		}
	}
}

// sample is records of two pixels over four hours, around midnight.
func sample() []archive.Record {
	var all []archive.Record
	for i := range 200 {
		all = append(all, Record([]string{"px_demo", "0-other"}[i%2], fmt.Sprintf("e-%03d", i), Begin.Add(time.Duration(i)*time.Minute)))
	}
	return all
}

func readsBack(t *testing.T, p Place) {
	a := p.Open(t)
	if got := read(t, a, archive.Filter{}); len(got) != 0 {
		t.Fatalf("an empty archive has %d records", len(got))
	}
	write(t, a)
	want := sample()
	long := Record("px_demo", "long", Begin)
	long.Body = []byte(strings.Replace(string(long.Body), "page_view", strings.Repeat("x", 3<<20), 1))
	zone := Record("px_demo", "zone", Begin.In(time.FixedZone("", 5*3600+1800)))
	want = append(want, long, zone)
	for batch := range slices.Chunk(want, 37) {
		write(t, a, batch...)
	}
	same(t, read(t, a, archive.Filter{}), want)
}

func inOrder(t *testing.T, p Place) {
	a := p.Open(t)
	all := sample()
	for i := range all {
		write(t, a, all[(i*77)%len(all)])
	}
	var places []string
	for _, r := range read(t, a, archive.Filter{}) {
		places = append(places, r.PixelID+r.ReceivedAt.UTC().Format(" 2006-01-02 15"))
	}
	if len(places) != len(all) || !slices.IsSorted(places) {
		t.Errorf("read in the order %q", slices.Compact(places))
	}
}

func filters(t *testing.T, p Place) {
	a := p.Open(t)
	all := sample()
	write(t, a, all...)
	hour := Begin.Truncate(time.Hour)
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
		var want []archive.Record
		for _, r := range all {
			if (f.PixelID == "" || r.PixelID == f.PixelID) && (f.Since.IsZero() || !r.ReceivedAt.Before(f.Since)) && (f.Until.IsZero() || r.ReceivedAt.Before(f.Until)) {
				want = append(want, r)
			}
		}
		t.Run(fmt.Sprintf("%s %s to %s", f.PixelID, f.Since.Format(time.RFC3339Nano), f.Until.Format(time.RFC3339Nano)), func(t *testing.T) {
			same(t, read(t, a, f), want)
		})
	}
}

func reopens(t *testing.T, p Place) {
	all := sample()
	for batch := range slices.Chunk(all, 50) {
		// The one before is not closed: its process was killed.
		write(t, p.Open(t), batch...)
	}
	same(t, read(t, p.Open(t), archive.Filter{}), all)
}

func sideBySide(t *testing.T, p Place) {
	one, two := p.Open(t), p.Open(t)
	var want []archive.Record
	var wg sync.WaitGroup
	for w := range 8 {
		var mine []archive.Record
		for i := range 100 {
			mine = append(mine, Record([]string{"px_demo", "px_other", "px_3"}[i%3], fmt.Sprintf("w%d-%03d", w, i), Begin.Add(time.Duration(i)*time.Minute)))
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
	a := p.Open(t)
	var mu sync.Mutex
	done := map[string]bool{} // what Write returned for
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 60 {
			r := Record("px_demo", fmt.Sprintf("e-%d", i), Begin)
			if err := a.Write(t.Context(), r); err != nil {
				t.Error(err)
			}
			mu.Lock()
			done[r.EventID] = true
			mu.Unlock()
		}
	})
	for range 40 {
		mu.Lock()
		must := maps.Clone(done)
		mu.Unlock()
		for _, r := range read(t, a, archive.Filter{}) {
			if key(r) != key(Record("px_demo", r.EventID, Begin)) {
				t.Errorf("read %s", key(r))
			}
			delete(must, r.EventID)
		}
		if len(must) > 0 {
			t.Errorf("a reading did not see %d records that were written before it began", len(must))
		}
	}
	wg.Wait()
}

func twice(t *testing.T, p Place) {
	r := Record("px_demo", "e", Begin)
	write(t, p.Open(t), r)
	write(t, p.Open(t), r)
	got := read(t, p.Open(t), archive.Filter{})
	if len(got) == 0 || len(got) > 2 {
		t.Fatalf("read %d records", len(got))
	}
	for _, g := range got {
		same(t, []archive.Record{g}, []archive.Record{r})
	}
}

func refuses(t *testing.T, p Place) {
	a := p.Open(t)
	first := Record("px_demo", "first", Begin)
	write(t, a, first)
	change := func(f func(*archive.Record)) archive.Record {
		r := Record("px_demo", "e", Begin)
		f(&r)
		return r
	}
	for name, r := range map[string]archive.Record{
		"no body":                 change(func(r *archive.Record) { r.Body = nil }),
		"half an object":          change(func(r *archive.Record) { r.Body = r.Body[:len(r.Body)-1] }),
		"two objects":             change(func(r *archive.Record) { r.Body = append(slices.Clone(r.Body), r.Body...) }),
		"no object":               change(func(r *archive.Record) { r.Body = []byte(`[1]`) }),
		"two lines":               change(func(r *archive.Record) { r.Body = append(slices.Clone(r.Body), '\n') }),
		"no UTF-8":                change(func(r *archive.Record) { r.Body = []byte(strings.Replace(string(r.Body), "page", "\xFF", 1)) }),
		"another event's body":    change(func(r *archive.Record) { r.EventID = "other" }),
		"another pixel's body":    change(func(r *archive.Record) { r.PixelID = "px_other" }),
		"another time's body":     change(func(r *archive.Record) { r.ReceivedAt = r.ReceivedAt.Add(1) }),
		"no time of receipt":      Record("px_demo", "e", time.Time{}),
		"before there were pixel": Record("px_demo", "e", time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := a.Write(t.Context(), r); err == nil {
				t.Error("it was taken")
			}
		})
	}
	last := Record("px_demo", "last", Begin)
	write(t, a, last)
	same(t, read(t, a, archive.Filter{}), []archive.Record{first, last})
}

func neverAPath(t *testing.T, p Place) {
	a := p.Open(t)
	for _, id := range []string{"", ".", "..", "../up", "a/b", `a\b`, "/etc", "a\x00b", "_a", "-a", "a b", "pixel=a", "ä", "a\n", "a%2f", strings.Repeat("a", 65)} {
		if err := a.Write(t.Context(), Record(id, "e", Begin)); err == nil {
			t.Errorf("pixel id %q was taken", id)
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
	ok := Record("0"+strings.Repeat("-", 63), "../../e", Begin)
	write(t, a, ok)
	same(t, read(t, a, archive.Filter{}), []archive.Record{ok})
}

func ends(t *testing.T, p Place) {
	a := p.Open(t)
	write(t, a, sample()...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Write(ctx, Record("px_demo", "late", Begin)); !errors.Is(err, context.Canceled) {
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
	a := p.Open(t)
	write(t, a, sample()...)
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

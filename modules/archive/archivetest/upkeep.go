package archivetest

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

func besideUpkeep(t *testing.T, p Place) {
	a := p.Open(t, 40)
	var mu sync.Mutex
	written := map[string]bool{}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range 60 {
			e := Event("px_demo", fmt.Sprintf("e-%d", i), Begin)
			if err := a.Write(t.Context(), e); err != nil {
				t.Error(err)
			}
			mu.Lock()
			written[e.ID] = true
			mu.Unlock()
			if i%5 == 4 {
				if _, err := a.File(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if i%10 == 9 {
				if err := a.Merge(t.Context(), time.Time{}, Begin.Add(48*time.Hour)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	reader := p.Open(t, 0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		mu.Lock()
		must := maps.Clone(written)
		mu.Unlock()
		whole(t, read(t, reader, archive.Filter{}), must)
		if t.Failed() {
			break
		}
	}
	wg.Wait()
}

// rivals file and merge at once, as two that both believe to be the only one.
func rivals(t *testing.T, p Place) {
	one, two := p.Open(t, 16), p.Open(t, 16)
	must := map[string]bool{}
	for round := range 6 {
		for i := range 10 {
			e := Event("px_demo", fmt.Sprintf("e-%d-%d", round, i), Begin)
			write(t, one, e)
			must[e.ID] = true
		}
		var wg sync.WaitGroup
		for _, a := range []Store{one, two} {
			wg.Go(func() {
				if _, err := a.File(t.Context()); err != nil {
					t.Log("it gave up:", err)
				}
				if err := a.Merge(t.Context(), time.Time{}, Begin.Add(48*time.Hour)); err != nil {
					t.Log("it gave up:", err)
				}
			})
		}
		wg.Wait()
		whole(t, read(t, one, archive.Filter{}), maps.Clone(must))
	}
	file(t, one)
	merge(t, one)
	whole(t, read(t, two, archive.Filter{}), must)
}

func positions(t *testing.T, p Place) {
	a := p.Open(t, 12)
	all := sample()
	write(t, a, all...)
	file(t, a)
	var records []archive.Record
	for r, err := range a.Read(t.Context(), archive.Filter{Filed: true}) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	for i := 0; i < len(records); i += 7 {
		r := records[i]
		var want []event.Event
		for _, later := range records[i+1:] {
			want = append(want, later.Event)
		}
		same(t, read(t, a, archive.Filter{Filed: true, After: r.Position}), want)
		if t.Failed() {
			t.Fatalf("after %s", r.Position)
		}
	}
	// The file that it points into is merged away.
	at := records[len(records)/2]
	write(t, a, Event("px_demo", "more", all[0].ReceivedAt), Event("0-other", "more", all[1].ReceivedAt))
	file(t, a)
	merge(t, a)
	must := map[string]bool{}
	for _, r := range records[len(records)/2+1:] {
		must[r.Event.ID] = true
	}
	whole(t, read(t, a, archive.Filter{Filed: true, After: at.Position}), must)

	for _, bad := range []string{"x", "x#", "x#-1", "#"} {
		for _, err := range a.Read(t.Context(), archive.Filter{After: bad}) {
			if err == nil {
				t.Errorf("position %q was taken", bad)
			}
		}
	}
}

func expires(t *testing.T, p Place) {
	a := p.Open(t, 0)
	all := sample() // of 22 November from 23:58 on, and of the 23rd
	write(t, a, all...)
	file(t, a)
	midnight := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, before := range []time.Time{midnight.AddDate(0, 0, -1), midnight.Add(-1)} {
		if n, err := a.Expire(t.Context(), "px_demo", before); n != 0 || err != nil {
			t.Fatalf("before %s: %d days, %v", before, n, err)
		}
	}
	n, err := a.Expire(t.Context(), "px_demo", midnight.Add(23*time.Hour))
	if n != 1 || err != nil {
		t.Fatalf("%d days, %v", n, err)
	}
	var want []event.Event
	for _, e := range all {
		if e.PixelID != "px_demo" || !e.ReceivedAt.Before(midnight) {
			want = append(want, e)
		}
	}
	same(t, read(t, p.Open(t, 0), archive.Filter{}), want)
}

func rewrites(t *testing.T, p Place) {
	a := p.Open(t, 20)
	all := sample()
	write(t, a, all[:150]...)
	file(t, a)
	write(t, a, all[150:]...)
	goes := func(e *event.Event) bool { return strings.HasSuffix(e.Subject.VisitorID, "7") }
	n, err := a.Rewrite(t.Context(), archive.Filter{PixelID: "0-other"}, goes)
	if err != nil {
		t.Fatal(err)
	}
	var want []event.Event
	dropped := 0
	for _, e := range all {
		if e.PixelID == "0-other" && goes(&e) {
			dropped++
			continue
		}
		want = append(want, e)
	}
	if n != dropped || n == 0 {
		t.Errorf("%d events were dropped, of %d", n, dropped)
	}
	same(t, read(t, p.Open(t, 0), archive.Filter{}), want)
	if n, err := a.Rewrite(t.Context(), archive.Filter{}, goes); n != 0 || err != nil {
		t.Errorf("a second time: %d, %v", n, err)
	}
}

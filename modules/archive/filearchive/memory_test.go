package filearchive

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/event"
)

// grows runs do and returns by how much the heap, garbage with it, was larger in between.
func grows(do func()) uint64 {
	heap := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	runtime.GC()
	before, most := heap(), uint64(0)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, heap())
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	do()
	close(done)
	watch.Wait()
	return most - min(most, before)
}

// The process that looks after the archive has others' work to do: what a busy shop wrote
// in minutes is filed, and merged when its hour is over, in little memory, though garbage
// is collected as rarely as pixel has it.
func TestFilingAndMergingTakeLittleMemory(t *testing.T) {
	const all, most = 90_000, 300 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	a := open(t, t.TempDir(), lake.Options{})
	r := rand.New(rand.NewPCG(1, 2))
	written := 0
	more := func(n int) {
		var batch []event.Event
		for range n {
			e := real(r, written, 1)
			if written++; e.Subject.VisitorID == "" {
				t.Fatal("it is of nobody")
			}
			if batch = append(batch, e); len(batch) == 512 {
				write(t, a, batch...)
				batch = batch[:0]
			}
		}
		write(t, a, batch...)
	}
	// Small files, as most of a day makes them, and then a burst.
	more(all / 18)
	if _, err := a.File(t.Context()); err != nil {
		t.Fatal(err)
	}
	more(all / 18)
	if _, err := a.File(t.Context()); err != nil {
		t.Fatal(err)
	}
	more(all - written)
	filed := grows(func() {
		if _, err := a.File(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	merged := grows(func() {
		if err := a.Merge(t.Context(), time.Time{}, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%d events: the heap grew by %d MiB while they were filed, and by %d MiB while files were merged", all, filed>>20, merged>>20)
	if filed > most || merged > most {
		t.Errorf("more than %d MiB", most>>20)
	}
	n := 0
	for _, err := range a.Read(t.Context(), archive.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != all {
		t.Errorf("%d events are there, of %d", n, all)
	}
}

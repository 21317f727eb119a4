package lake

import (
	"cmp"
	"context"
	"crypto/sha256"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/miq/pixel/modules/event"
)

// ids are those that were seen, as digests: half of what the texts would take.
type ids map[[16]byte]struct{}

// add reports whether an id is new.
func (s ids) add(id string) bool {
	sum := sha256.Sum256([]byte(id))
	k := [16]byte(sum[:])
	if _, there := s[k]; there {
		return false
	}
	s[k] = struct{}{}
	return true
}

// pile is what is to be filed in one hour of a pixel, each event once.
type pile struct {
	place
	items []item
	ids   ids
}

type item struct {
	at  int64 // of receipt, in nanoseconds
	raw []byte
}

func newPile(p place) *pile { return &pile{place: p, ids: ids{}} }

// add takes an event, as event.Encode wrote it, unless it is there.
func (p *pile) add(e *event.Event, raw []byte) {
	if p.ids.add(e.ID) {
		p.items = append(p.items, item{e.ReceivedAt.UnixNano(), raw})
	}
}

// keep writes a pile's files, which do not count yet.
func (l *Lake) keep(ctx context.Context, p *pile, level zstd.Level) ([]file, error) {
	slices.SortStableFunc(p.items, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	return l.make(ctx, p.place, level, len(p.items), func(add func(*event.Event) error) error {
		var e event.Event // two kilobytes, used again
		for _, it := range p.items {
			if err := event.Decode(it.raw, &e); err != nil {
				return err
			}
			if err := add(&e); err != nil {
				return err
			}
		}
		return nil
	})
}

// make writes the events that give adds, in their order, into as many files as they
// need; about so many they are. The files do not count yet.
func (l *Lake) make(ctx context.Context, p place, level zstd.Level, about int, give func(add func(*event.Event) error) error) ([]file, error) {
	w, done, err := l.borrow(ctx, level)
	if err != nil {
		return nil, err
	}
	defer func() { done() }()
	w.begin(min(about, l.o.Rows))
	var made []file
	put := func() error {
		body, err := w.finish()
		if err != nil {
			return err
		}
		f := file{Name: newName() + parquetSuffix, Rows: w.n, Bytes: int64(len(body)), First: time.UnixMicro(w.first).UTC(), Last: time.UnixMicro(w.last).UTC()}
		made = append(made, f)
		done() // another may use it while the file is on its way
		done = func() {}
		return l.put(ctx, "parquet", p.folder()+"/"+f.Name, body, true)
	}
	left := about
	if err := give(func(e *event.Event) error {
		if w == nil { // the last file is full
			if w, done, err = l.borrow(ctx, level); err != nil {
				return err
			}
			w.begin(min(max(left, 0), l.o.Rows))
		}
		if err := w.add(e); err != nil {
			return err
		}
		l.breathe()
		if left--; w.n < l.o.Rows {
			return nil
		}
		err := put()
		w = nil
		return err
	}); err != nil {
		return nil, err
	}
	if w != nil && w.n > 0 {
		if err := put(); err != nil {
			return nil, err
		}
	}
	return made, ctx.Err()
}

// breathe is called for each event that upkeep takes apart, which leaves some kilobytes of
// garbage. The process lets its heap grow to a multiple of what it holds before it looks
// for garbage, which suits small requests; here it is looked for every hundred megabytes.
func (l *Lake) breathe() {
	if l.handled.Add(1)%(1<<15) == 0 {
		runtime.GC()
	}
}

// makers is how many files are made at once: each takes what memory a writer and the
// file itself are.
const makers = 2

// borrow waits for a writer, which done gives back.
func (l *Lake) borrow(ctx context.Context, level zstd.Level) (w *writer, done func(), err error) {
	select {
	case l.making <- struct{}{}:
	case <-ctx.Done():
		return nil, func() {}, ctx.Err()
	}
	pool := &l.fast
	if level != zstd.SpeedFastest {
		pool = &l.good
	}
	w, _ = pool.Get().(*writer)
	if w == nil {
		w = newWriter(level)
	}
	return w, func() {
		w.drop()
		w.out.Reset(io.Discard) // not to hold the file
		pool.Put(w)
		<-l.making
	}, nil
}

// side runs do for each of n, a few at a time, and returns the first error.
func side(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	free := make(chan struct{}, 8)
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if err := do(i); err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	wg.Wait()
	return first
}

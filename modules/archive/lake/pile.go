package lake

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/miq/pixel/modules/event"
)

// pile is what is to be filed in one hour of a pixel, each event once.
type pile struct {
	place
	items []item
	ids   map[string]struct{}
}

type item struct {
	at  int64 // of receipt, in nanoseconds
	raw []byte
}

func newPile(p place) *pile { return &pile{place: p, ids: map[string]struct{}{}} }

// add takes an event, as event.Encode wrote it, unless it is there.
func (p *pile) add(e *event.Event, raw []byte) {
	if _, there := p.ids[e.ID]; there {
		return
	}
	// The decoded id shares the memory of the whole event.
	p.ids[strings.Clone(e.ID)] = struct{}{}
	p.items = append(p.items, item{e.ReceivedAt.UnixNano(), raw})
}

// keep writes a pile's files, which do not count yet.
func (l *Lake) keep(ctx context.Context, p *pile, level zstd.Level) ([]file, error) {
	slices.SortStableFunc(p.items, func(a, b item) int { return cmp.Compare(a.at, b.at) })
	var made []file
	for part := range slices.Chunk(p.items, l.o.Rows) {
		w := newWriter(level)
		for _, it := range part {
			var e event.Event
			if err := event.Decode(it.raw, &e); err != nil {
				return nil, err
			}
			if err := w.add(&e); err != nil {
				return nil, err
			}
		}
		body, err := w.finish()
		if err != nil {
			return nil, err
		}
		f := file{Name: newName() + parquetSuffix, Rows: w.n, Bytes: int64(len(body)), First: time.UnixMicro(w.first).UTC(), Last: time.UnixMicro(w.last).UTC()}
		if err := l.put(ctx, "parquet", p.folder()+"/"+f.Name, body, true); err != nil {
			return nil, err
		}
		made = append(made, f)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return made, nil
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

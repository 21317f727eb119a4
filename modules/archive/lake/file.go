package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

// maxRound is how many packed bytes are filed at once. In memory they are five times as
// many, and the heap of a process that collects its garbage rarely grows by five times that;
// what smaller files it makes is merged within hours.
const maxRound = 8 << 20

// Backlog is what lies under wal/.
func (l *Lake) Backlog(ctx context.Context) (b archive.Backlog, err error) {
	objects, err := l.wal(ctx)
	if err != nil {
		return b, fmt.Errorf("archive: list what is not filed: %w", err)
	}
	for _, o := range objects {
		b.Objects++
		b.Bytes += o.Size
		if at := madeAt(o.Name); b.Oldest.IsZero() || at.Before(b.Oldest) {
			b.Oldest = at
		}
	}
	return b, nil
}

func (l *Lake) wal(ctx context.Context) ([]Object, error) {
	all, err := l.store.List(ctx, walFolder)
	if err != nil {
		return nil, err
	}
	out := all[:0]
	for _, o := range all {
		if strings.HasSuffix(o.Name, walSuffix) {
			out = append(out, o)
		}
	}
	return out, nil
}

// File files what lay under wal/ when it began.
func (l *Lake) File(ctx context.Context) (int, error) {
	objects, err := l.wal(ctx)
	if err != nil {
		return 0, fmt.Errorf("archive: list what is not filed: %w", err)
	}
	sum := 0
	for len(objects) > 0 {
		n, taken, err := l.fileSome(ctx, objects)
		sum += n
		if err != nil {
			return sum, fmt.Errorf("archive: file: %w", err)
		}
		objects = objects[taken:]
	}
	return sum, nil
}

// fileSome files the first of the objects, as many as fit into memory.
func (l *Lake) fileSome(ctx context.Context, objects []Object) (n, taken int, err error) {
	const atOnce = 16
	piles := map[place]*pile{}
	var order []*pile
	var size int64
	for taken < len(objects) && n < l.o.Rows && size < maxRound {
		some := objects[taken : taken+few(objects[taken:], atOnce, maxRound-size)]
		bodies := make([][]byte, len(some))
		if err := side(len(some), func(i int) (err error) {
			bodies[i], err = l.store.Get(ctx, some[i].Name)
			if errors.Is(err, ErrGone) {
				return nil // filed by another one
			}
			return err
		}); err != nil {
			return 0, 0, err
		}
		for i, body := range bodies {
			if body == nil {
				continue
			}
			var e event.Event // used again
			err := l.unpack(body, func(raw []byte) error {
				if err := event.Decode(raw, &e); err != nil {
					return err
				}
				p := piles[placeOf(&e)]
				if p == nil {
					p = newPile(placeOf(&e))
					piles[p.place], order = p, append(order, p)
				}
				p.add(&e, raw)
				l.breathe()
				n++
				return nil
			})
			if err != nil {
				return 0, 0, fmt.Errorf("%s: %w", some[i].Name, err)
			}
			size += some[i].Size
		}
		taken += len(some)
	}
	if err := side(len(order), func(i int) error {
		made, err := l.keep(ctx, order[i], level(len(order[i].items), l.o.Rows))
		if err != nil {
			return err
		}
		return l.commit(ctx, order[i].place, made, nil)
	}); err != nil {
		return 0, 0, err
	}
	names := make([]string, taken)
	for i, o := range objects[:taken] {
		names[i] = o.Name
	}
	return n, taken, l.store.Delete(ctx, names...)
}

// few is how many of the objects, one at least, are read at once.
func few(objects []Object, most int, bytes int64) (n int) {
	for n < min(most, len(objects)) && (n == 0 || bytes > objects[n].Size) {
		bytes -= objects[n].Size
		n++
	}
	return n
}

// level is how well a file of so many rows is compressed: what is large stays as it
// is, and what is small is merged within hours.
func level(rows, full int) zstd.Level {
	if rows > full/2 {
		return zstd.SpeedDefault
	}
	return zstd.SpeedFastest
}

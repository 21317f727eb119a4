package lake

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

// orphaned is how old a file that does not count must be to be deleted: its maker
// may be about to commit it.
const orphaned = 6 * time.Hour

// Merge goes through the hours that lie in [since, before).
func (l *Lake) Merge(ctx context.Context, since, before time.Time) error {
	for h, err := range l.hours(ctx, archive.Filter{Since: since, Until: before}, place{}) {
		if err == nil && h.begin().Add(time.Hour).After(before) {
			continue
		}
		if err == nil {
			err = l.mergeHour(ctx, h)
		}
		if err != nil && !errors.Is(err, errStale) {
			return fmt.Errorf("archive: merge: %w", err)
		}
	}
	return nil
}

// What is merged at once: so many files are held packed, and a page of each unpacked.
const (
	mergeFiles = 32
	mergeBytes = 32 << 20
)

// mergeHour makes one file of several small ones, and Parquet of those of older versions.
func (l *Lake) mergeHour(ctx context.Context, h hour) error {
	small := func(f file) bool { return f.Rows <= l.o.Rows/2 && f.Bytes < mergeBytes/4 }
	var stale []string
	for _, name := range h.orphans {
		if at := madeAt(name); !at.IsZero() && time.Since(at) > orphaned {
			stale = append(stale, name)
		}
	}
	if len(stale) > 0 {
		if err := l.store.Delete(ctx, stale...); err != nil {
			return err
		}
	}
	for _, o := range h.legacy {
		p := newPile(h.place)
		if err := l.each(ctx, o.Name, 0, func(_ int, e *event.Event) error {
			p.add(e, event.Encode(e))
			return nil
		}); err != nil {
			return err
		}
		made, err := l.keep(ctx, p, zstd.SpeedDefault)
		if err != nil {
			return err
		}
		if err := l.replace(ctx, &h, made, nil, o.Name); err != nil {
			return err
		}
	}
	for {
		var names []string
		rows, bytes := 0, int64(0)
		for _, f := range h.Files {
			if small(f) && len(names) < mergeFiles && (len(names) == 0 || rows+f.Rows <= l.o.Rows && bytes+f.Bytes <= mergeBytes) {
				names = append(names, f.Name)
				rows, bytes = rows+f.Rows, bytes+f.Bytes
			}
		}
		if len(names) < 2 {
			return nil
		}
		made, err := l.make(ctx, h.place, zstd.SpeedDefault, rows, func(add func(*event.Event) error) error {
			return l.inOrder(ctx, h.place, names, add)
		})
		if err != nil {
			return err
		}
		old := make([]string, len(names))
		for i, name := range names {
			old[i] = h.folder() + "/" + name
		}
		if err := l.replace(ctx, &h, made, names, old...); err != nil {
			return err
		}
	}
}

// replace makes files count in place of others of the hour, and deletes objects.
func (l *Lake) replace(ctx context.Context, h *hour, made []file, names []string, old ...string) error {
	if err := l.commit(ctx, h.place, made, names); err != nil {
		return err
	}
	h.Files = append(slices.DeleteFunc(h.Files, func(f file) bool { return slices.Contains(names, f.Name) }), made...)
	return l.store.Delete(ctx, old...)
}

// stream is a file that is being read.
type stream struct {
	next func() (*event.Event, error, bool)
	head *event.Event // nil: at its end
}

func (s *stream) advance() error {
	e, err, ok := s.next()
	if s.head = nil; ok && err == nil {
		s.head = e
	}
	return err
}

// inOrder goes through files that are each in order of receipt, in that order and each
// event once. No more of them is unpacked than a page of each.
func (l *Lake) inOrder(ctx context.Context, p place, names []string, add func(*event.Event) error) error {
	streams := make([]stream, len(names))
	for i, name := range names {
		next, stop := iter.Pull2(func(yield func(*event.Event, error) bool) {
			err := l.each(ctx, p.folder()+"/"+name, 0, func(_ int, e *event.Event) error {
				if !yield(e, nil) {
					return errStop
				}
				return nil
			})
			if err != nil && !errors.Is(err, errStop) {
				yield(nil, err)
			}
		})
		defer stop()
		streams[i].next = next
		if err := streams[i].advance(); err != nil {
			return err
		}
	}
	for seen := (ids{}); ; {
		var first *stream
		for i := range streams {
			if s := &streams[i]; s.head != nil && (first == nil || s.head.ReceivedAt.Before(first.head.ReceivedAt)) {
				first = s
			}
		}
		if first == nil {
			return nil
		}
		if seen.add(first.head.ID) {
			if err := add(first.head); err != nil {
				return err
			}
		}
		if err := first.advance(); err != nil {
			return err
		}
	}
}

// Expire deletes a pixel's whole days. A manifest goes before what it names, so that
// a reader beside it finds less, and nothing missing.
func (l *Lake) Expire(ctx context.Context, pixelID string, before time.Time) (int, error) {
	if !isPixel(pixelID) {
		return 0, fmt.Errorf("archive: expire: %w", errPixel)
	}
	dates, err := l.store.Folders(ctx, "pixel="+pixelID)
	if err != nil {
		return 0, fmt.Errorf("archive: expire: %w", err)
	}
	n := 0
	for _, date := range dates {
		day, err := time.Parse(dateDir, date)
		if err != nil || day.AddDate(0, 0, 1).After(before) {
			continue
		}
		objects, err := l.store.List(ctx, "pixel="+pixelID+"/"+date)
		if err != nil {
			return n, fmt.Errorf("archive: expire: %w", err)
		}
		var manifests, rest []string
		for _, o := range objects {
			if _, is := manifestNumber(o.Name[strings.LastIndexByte(o.Name, '/')+1:]); is {
				manifests = append(manifests, o.Name)
			} else {
				rest = append(rest, o.Name)
			}
		}
		for _, names := range [][]string{manifests, rest} {
			if err := l.store.Delete(ctx, names...); err != nil {
				return n, fmt.Errorf("archive: expire: %w", err)
			}
		}
		n++
	}
	return n, nil
}

// Rewrite files everything, and then writes each file anew that holds what is to be
// dropped.
func (l *Lake) Rewrite(ctx context.Context, filter archive.Filter, drop func(*event.Event) bool) (int, error) {
	if _, err := l.File(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	sum := 0
	for h, err := range l.hours(ctx, filter, place{}) {
		if err != nil {
			return sum, fmt.Errorf("archive: rewrite: %w", err)
		}
		n, err := l.rewriteHour(ctx, h, began, func(e *event.Event) bool { return matches(filter, e) && drop(e) })
		sum += n
		if err != nil {
			return sum, fmt.Errorf("archive: rewrite: %w", err)
		}
	}
	return sum, nil
}

// without writes a file anew that lacks what is dropped.
func (l *Lake) without(ctx context.Context, p place, name string, drop func(*event.Event) bool) ([]file, error) {
	if strings.HasSuffix(name, parquetSuffix) {
		return l.make(ctx, p, zstd.SpeedDefault, 0, func(add func(*event.Event) error) error {
			return l.each(ctx, name, 0, func(_ int, e *event.Event) error {
				if drop(e) {
					return nil
				}
				return add(e)
			})
		})
	}
	rest := newPile(p)
	if err := l.each(ctx, name, 0, func(_ int, e *event.Event) error {
		if !drop(e) {
			rest.add(e, event.Encode(e))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return l.keep(ctx, rest, zstd.SpeedDefault)
}

func (l *Lake) rewriteHour(ctx context.Context, h hour, began time.Time, drop func(*event.Event) bool) (int, error) {
	sum := 0
	names := make([]string, 0, len(h.Files)+len(h.legacy))
	for _, f := range h.Files {
		names = append(names, h.folder()+"/"+f.Name)
	}
	for _, o := range h.legacy {
		names = append(names, o.Name)
	}
	for _, name := range names {
		hits := 0
		if err := l.each(ctx, name, 0, func(_ int, e *event.Event) error {
			if drop(e) {
				hits++
			}
			return nil
		}); err != nil {
			return sum, err
		}
		if hits == 0 {
			continue
		}
		made, err := l.without(ctx, h.place, name, drop)
		if err != nil {
			return sum, err
		}
		var remove []string
		if strings.HasSuffix(name, parquetSuffix) {
			remove = []string{strings.TrimPrefix(name, h.folder()+"/")}
		}
		if err := l.commit(ctx, h.place, made, remove); err != nil {
			return sum, err
		}
		if err := l.store.Delete(ctx, name); err != nil {
			return sum, err
		}
		sum += hits
	}
	// What does not count holds events all the same. Only this process files now.
	var orphans []string
	for _, name := range h.orphans {
		if madeAt(name).Before(began) {
			orphans = append(orphans, name)
		}
	}
	if len(orphans) > 0 {
		return sum, l.store.Delete(ctx, orphans...)
	}
	return sum, nil
}

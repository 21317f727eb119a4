package lake

import (
	"context"
	"errors"
	"fmt"
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

// mergeHour makes one file of several small ones, and of those of older versions.
func (l *Lake) mergeHour(ctx context.Context, h hour) error {
	small := func(f file) bool { return f.Rows <= l.o.Rows/2 && f.Bytes < maxRound/2 }
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
	legacy := h.legacy
	for {
		var names []string
		rows := 0
		for _, f := range h.Files {
			if small(f) && (len(names) == 0 || rows+f.Rows <= l.o.Rows) {
				names = append(names, f.Name)
				rows += f.Rows
			}
		}
		if len(legacy) == 0 && len(names) < 2 {
			return nil
		}
		var old []string
		p := newPile(h.place)
		add := func(_ int, e *event.Event) error {
			p.add(e, event.Encode(e))
			return nil
		}
		for _, o := range legacy[:min(1, len(legacy))] {
			if err := l.each(ctx, o.Name, 0, add); err != nil {
				return err
			}
			old = append(old, o.Name)
		}
		for _, name := range names {
			if err := l.each(ctx, h.folder()+"/"+name, 0, add); err != nil {
				return err
			}
			old = append(old, h.folder()+"/"+name)
		}
		made, err := l.keep(ctx, p, zstd.SpeedDefault)
		if err != nil {
			return err
		}
		if err := l.commit(ctx, h.place, made, names); err != nil {
			return err
		}
		if err := l.store.Delete(ctx, old...); err != nil {
			return err
		}
		legacy = legacy[min(1, len(legacy)):]
		h.Files = append(slices.DeleteFunc(h.Files, func(f file) bool { return slices.Contains(names, f.Name) }), made...)
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
		p := newPile(h.place)
		if err := l.each(ctx, name, 0, func(_ int, e *event.Event) error {
			if !drop(e) {
				p.add(e, event.Encode(e))
			}
			return nil
		}); err != nil {
			return sum, err
		}
		made, err := l.keep(ctx, p, zstd.SpeedDefault)
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

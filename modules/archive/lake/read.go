package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

var errStop = errors.New("the reader has enough")

// Read lists what is not filed before it reads what is: what is filed in between is
// then found missing, and looked for among the files again.
func (l *Lake) Read(ctx context.Context, filter archive.Filter) iter.Seq2[archive.Record, error] {
	return func(yield func(archive.Record, error) bool) {
		r := reading{lake: l, filter: filter, yield: yield, seen: map[string]bool{}, missed: map[string]bool{}}
		if err := r.run(ctx); err != nil && !errors.Is(err, errStop) {
			yield(archive.Record{}, fmt.Errorf("read the archive: %w", err))
		}
	}
}

type reading struct {
	lake   *Lake
	filter archive.Filter
	yield  func(archive.Record, error) bool
	seen   map[string]bool // objects that were read
	missed map[string]bool // objects that were gone when they were to be read
	gone   bool            // one was, this time
}

func (r *reading) run(ctx context.Context) error {
	if id := r.filter.PixelID; id != "" && !isPixel(id) {
		return errPixel
	}
	after, row, err := parsePosition(r.filter.After)
	if err != nil {
		return err
	}
	for {
		r.gone = false
		if err := ctx.Err(); err != nil {
			return err
		}
		var wal []Object
		if !r.filter.Filed {
			var err error
			if wal, err = r.lake.wal(ctx); err != nil {
				return err
			}
		}
		begin, _ := parsePlace(after) // of what was not filed it is none: all is read again
		for h, err := range r.lake.hours(ctx, r.filter, begin) {
			if err != nil {
				return err
			}
			if err := r.hour(ctx, h, after, row); err != nil {
				return err
			}
		}
		for _, o := range wal {
			if err := r.object(ctx, o.Name, 0); err != nil {
				return err
			}
		}
		if !r.gone {
			return nil
		}
	}
}

// hour reads an hour's files, those of older versions first.
func (r *reading) hour(ctx context.Context, h hour, after string, row int) error {
	var names []string
	for _, o := range h.legacy {
		names = append(names, o.Name)
	}
	for _, f := range h.Files {
		names = append(names, h.folder()+"/"+f.Name)
	}
	from := 0
	for i, name := range names {
		if name == after {
			names, from = names[i:], row+1
			break
		}
	}
	for i, name := range names {
		if i > 0 {
			from = 0
		}
		if err := r.object(ctx, name, from); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) object(ctx context.Context, name string, from int) error {
	if r.seen[name] {
		return nil
	}
	err := r.lake.each(ctx, name, from, func(i int, e *event.Event) error {
		if matches(r.filter, e) && !r.yield(archive.Record{Event: *e, Position: name + "#" + strconv.Itoa(i)}, nil) {
			return errStop
		}
		return nil
	})
	if errors.Is(err, ErrGone) {
		if r.missed[name] {
			return fmt.Errorf("%s is missing, though its manifest names it", name)
		}
		r.missed[name], r.gone = true, true
		return nil
	}
	if err == nil {
		r.seen[name] = true
	}
	return err
}

func parsePosition(s string) (name string, row int, err error) {
	if s == "" {
		return "", 0, nil
	}
	name, digits, ok := strings.Cut(s, "#")
	if row, err = strconv.Atoi(digits); !ok || err != nil || row < 0 {
		return "", 0, fmt.Errorf("%q is no position in the archive", s)
	}
	return name, row, nil
}

// hours goes through the folders that may hold what matches, from a place on.
func (l *Lake) hours(ctx context.Context, f archive.Filter, begin place) iter.Seq2[hour, error] {
	return func(yield func(hour, error) bool) {
		fail := func(err error) { yield(hour{}, err) }
		pixels, err := l.store.Folders(ctx, "")
		if err != nil {
			fail(err)
			return
		}
		for _, pixel := range pixels {
			id, ok := strings.CutPrefix(pixel, "pixel=")
			if !ok || !isPixel(id) || f.PixelID != "" && id != f.PixelID || id < begin.pixel {
				continue
			}
			dates, err := l.store.Folders(ctx, pixel)
			if err != nil {
				fail(err)
				return
			}
			for _, date := range dates {
				day, err := time.Parse(dateDir, date)
				if err != nil || !overlaps(f, day, 24*time.Hour) || id == begin.pixel && day.Unix()/3600+23 < begin.hour {
					continue
				}
				objects, err := l.store.List(ctx, pixel+"/"+date)
				if err != nil {
					fail(err)
					return
				}
				for p, some := range byHour(objects) {
					if p.pixel != id || !overlaps(f, p.begin(), time.Hour) || id == begin.pixel && p.hour < begin.hour {
						continue
					}
					h, err := l.sort(ctx, p, some)
					if errors.Is(err, ErrGone) {
						h, err = l.look(ctx, p)
					}
					if !yield(h, err) || err != nil {
						return
					}
				}
			}
		}
	}
}

// byHour parts a day's objects, which are in order.
func byHour(objects []Object) iter.Seq2[place, []Object] {
	return func(yield func(place, []Object) bool) {
		for i := 0; i < len(objects); {
			p, ok := parsePlace(objects[i].Name)
			j := i + 1
			for ; j < len(objects); j++ {
				if q, is := parsePlace(objects[j].Name); is != ok || q != p {
					break
				}
			}
			if ok && !yield(p, objects[i:j]) {
				return
			}
			i = j
		}
	}
}

// each goes through one object's events, from the given one on.
func (l *Lake) each(ctx context.Context, name string, from int, do func(i int, e *event.Event) error) error {
	body, err := l.store.Get(ctx, name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	bounded := func(i int, e *event.Event) error {
		if i%rowsAtOnce == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		return do(i, e)
	}
	switch {
	case strings.HasSuffix(name, parquetSuffix):
		err = events(body, from, bounded)
	case strings.HasSuffix(name, legacySuffix):
		err = l.lines(body, from, bounded)
	default:
		i := 0
		err = l.unpack(body, func(raw []byte) error {
			var e event.Event
			if err := event.Decode(raw, &e); err != nil {
				return err
			}
			i++
			if i <= from {
				return nil
			}
			return bounded(i-1, &e)
		})
	}
	if err != nil && !errors.Is(err, errStop) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// lines goes through a file of versions before this one: a line of JSON an event, in
// zstd frames, of which the last may be cut short.
func (l *Lake) lines(body []byte, from int, do func(i int, e *event.Event) error) error {
	i := 0
	for frames := newFrames(bytes.NewReader(body), int64(len(body)), l.dec); ; {
		content, err := frames.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for line := range bytes.Lines(content) {
			var e event.Event
			if err := json.Unmarshal(line, &e, jsontext.AllowDuplicateNames(true)); err != nil {
				return err
			}
			i++
			if i <= from {
				continue
			}
			if err := do(i-1, &e); err != nil {
				return err
			}
		}
	}
}

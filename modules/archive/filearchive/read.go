package filearchive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miq/pixel/modules/archive"
)

const (
	suffix  = ".ndjson.zst"
	dateDir = "date=2006-01-02"
	hourDir = "hour=15"
)

// Read goes through what matches: pixels and hours in order, an hour's files by
// the start of their writer, a file from its beginning. What is written
// meanwhile may or may not be seen. Bodies are the caller's to keep.
func (a *Archive) Read(ctx context.Context, filter archive.Filter) iter.Seq2[archive.Record, error] {
	return func(yield func(archive.Record, error) bool) {
		fail := func(err error) { yield(archive.Record{}, fmt.Errorf("read the archive: %w", err)) }
		if filter.PixelID != "" && !pixelID.MatchString(filter.PixelID) {
			fail(errors.New("a pixel id must match " + pixelID.String()))
			return
		}
		for dir, err := range a.hours(filter) {
			if err != nil {
				fail(err)
				return
			}
			files, err := list(dir, "", suffix)
			if err != nil {
				fail(err)
				return
			}
			for _, name := range files {
				for r, err := range a.records(ctx, filepath.Join(dir, name)) {
					if err != nil {
						fail(err)
						return
					}
					if matches(filter, &r) && !yield(r, nil) {
						return
					}
				}
			}
		}
	}
}

func matches(f archive.Filter, r *archive.Record) bool {
	return (f.PixelID == "" || r.PixelID == f.PixelID) &&
		(f.Since.IsZero() || !r.ReceivedAt.Before(f.Since)) &&
		(f.Until.IsZero() || r.ReceivedAt.Before(f.Until))
}

// hours are the folders that may hold what matches.
func (a *Archive) hours(f archive.Filter) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		outside := func(begin time.Time, d time.Duration) bool {
			return !f.Since.IsZero() && !begin.Add(d).After(f.Since) || !f.Until.IsZero() && !begin.Before(f.Until)
		}
		pixels, err := list(a.dir, "pixel=", "")
		if err != nil {
			yield("", err)
			return
		}
		for _, pixel := range pixels {
			if f.PixelID != "" && pixel != "pixel="+f.PixelID {
				continue
			}
			dates, err := list(filepath.Join(a.dir, pixel), "date=", "")
			if err != nil {
				yield("", err)
				return
			}
			for _, date := range dates {
				day, err := time.Parse(dateDir, date)
				if err != nil || outside(day, 24*time.Hour) {
					continue
				}
				hours, err := list(filepath.Join(a.dir, pixel, date), "hour=", "")
				if err != nil {
					yield("", err)
					return
				}
				for _, hour := range hours {
					h, err := time.Parse(hourDir, hour)
					if err != nil || outside(day.Add(time.Duration(h.Hour())*time.Hour), time.Hour) {
						continue
					}
					if !yield(filepath.Join(a.dir, pixel, date, hour), nil) {
						return
					}
				}
			}
		}
	}
}

// list names a folder's entries in order. A folder that went away meanwhile has
// none: retention may delete beside a reader.
func list(dir, prefix, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, prefix) && strings.HasSuffix(n, suffix) {
			names = append(names, n)
		}
	}
	return names, err
}

// records goes through one file.
func (a *Archive) records(ctx context.Context, path string) iter.Seq2[archive.Record, error] {
	return func(yield func(archive.Record, error) bool) {
		fail := func(err error) { yield(archive.Record{}, fmt.Errorf("%s: %w", path, err)) }
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			fail(err)
			return
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			fail(err)
			return
		}
		for frames := newFrames(f, st.Size(), a.dec); ; {
			if err := ctx.Err(); err != nil {
				fail(err)
				return
			}
			content, err := frames.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				fail(err)
				return
			}
			for line := range bytes.Lines(content) {
				line = bytes.TrimSuffix(line, []byte{'\n'})
				h, err := parse(line)
				if err != nil {
					fail(err)
					return
				}
				if !yield(archive.Record{PixelID: h.PixelID, EventID: h.ID, ReceivedAt: h.ReceivedAt, Body: line[:len(line):len(line)]}, nil) {
					return
				}
			}
		}
	}
}

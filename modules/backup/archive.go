package backup

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// archive is the archive's folder in the data folder (package lake says what lies
// there). Its files appear whole and never change, but upkeep replaces them: small ones
// that were just written by filed ones, and those by larger ones.
const archive = "archive"

// tries are how often the archive may be tended while it is copied.
const tries = 50

// copyArchive copies until nothing was replaced meanwhile: then the copy is the archive
// as it was at one moment. Each time only what is new has to be copied.
func copyArchive(ctx context.Context, from, to string) error {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil // it is elsewhere
	}
	have := map[string]bool{}
	for range tries {
		before, err := files(from)
		if err != nil {
			return err
		}
		for name := range before {
			if err := ctx.Err(); err != nil {
				return err
			}
			if have[name] {
				continue
			}
			err := link(filepath.Join(from, name), filepath.Join(to, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // replaced meanwhile, which shows below
			}
			if err != nil {
				return err
			}
			have[name] = true
		}
		after, err := files(from)
		if err != nil {
			return err
		}
		if !same(before, after) {
			continue
		}
		for name := range have {
			if !before[name] {
				if err := os.Remove(filepath.Join(to, name)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return errors.New("it was tended each time before it was copied; try again, or copy it by other means")
}

// same reports whether nothing went away or was filed. What was just written may have
// come.
func same(before, after map[string]bool) bool {
	for name := range before {
		if !after[name] {
			return false
		}
	}
	for name := range maps.Keys(after) {
		if !before[name] && !justWritten(name) {
			return false
		}
	}
	return true
}

// justWritten reports whether a file lies in one of the folders of what is not filed: the
// events', and the log's.
func justWritten(name string) bool {
	name = filepath.ToSlash(name)
	return strings.HasPrefix(name, "wal/") || strings.HasPrefix(name, "log/wal/")
}

// files are the names of all that is whole.
func files(dir string) (map[string]bool, error) {
	out := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went away meanwhile
		}
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".new" {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			out[name] = true
		}
		return nil
	})
	return out, err
}

// link gives a file a second name where one disk has both, and copies it elsewhere.
func link(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Link(from, to); err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return copyFile(from, to)
}

package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
)

// Copy is the path of a file in which a process keeps the pixels as it knows them,
// so that it can start while the shared state is away. Empty: it keeps none.
//
// Only pixels are in it: no partner, and no secret.
type Copy string

const (
	// oldest is how long after a process last heard from the shared state its copy
	// is believed: somebody may have switched a pixel off since, or made its consent
	// stricter. After that nothing is known rather than something old.
	oldest = 24 * time.Hour
	// confirm is how often the copy is marked as what is still in force.
	confirm = time.Minute
)

type copied struct {
	Pixels []Pixel `json:"pixels"`
}

// write replaces the copy. A crash leaves the old one or the new one.
func (c Copy) write(pixels map[string]Pixel) error {
	in := copied{Pixels: make([]Pixel, 0, len(pixels))}
	for _, p := range pixels {
		in.Pixels = append(in.Pixels, p)
	}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(string(c)), filepath.Base(string(c))+".*") // for our eyes only
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), string(c))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// read returns the pixels that were in force when the shared state last answered.
func (c Copy) read(now time.Time) (map[string]Pixel, time.Time, error) {
	info, err := os.Stat(string(c))
	if err != nil {
		return nil, time.Time{}, err
	}
	at := info.ModTime()
	if now.Sub(at) > oldest {
		return nil, at, fmt.Errorf("the copy on the disk is of %s, and too old to be believed", at.UTC().Format(time.RFC3339))
	}
	b, err := os.ReadFile(string(c))
	if err != nil {
		return nil, at, err
	}
	var in copied
	if err := json.Unmarshal(b, &in); err != nil {
		return nil, at, fmt.Errorf("the copy on the disk cannot be read: %w", err)
	}
	out := make(map[string]Pixel, len(in.Pixels))
	for _, p := range in.Pixels {
		out[p.ID] = p
	}
	return out, at, nil
}

// Exists reports whether there is a copy, be it any good or not.
func (c Copy) Exists() bool {
	_, err := os.Stat(string(c))
	return c != "" && err == nil
}

// keep brings the copy in line with what is in force.
func (s *Store) keep(changed bool) {
	if s.copy == "" {
		return
	}
	now := time.Now()
	if !changed && now.Sub(s.confirmed) < confirm {
		return
	}
	var err error
	if changed || !s.copy.Exists() {
		err = s.copy.write(s.now.Load().pixels)
	} else {
		err = os.Chtimes(string(s.copy), now, now)
	}
	if err != nil {
		if !s.uncopied {
			s.log.Warn("the pixels could not be copied to this disk; while Redis is away this process could not start", "error", err)
		}
		s.uncopied = true
		return
	}
	s.confirmed, s.uncopied = now, false
}

// recall takes what is in force from the copy, since the shared state is away. The
// next refresh that succeeds reads everything anew.
func (s *Store) recall(away error) error {
	if s.copy == "" {
		return away
	}
	pixels, at, err := s.copy.read(time.Now())
	if err != nil {
		return errors.Join(away, err)
	}
	s.now.Store(&snapshot{pixels: pixels, pixelsVersion: -1, partnersVersion: -1})
	s.log.Warn("the settings cannot be read; the pixels of the copy on this disk are in force until they can", "pixels", len(pixels), "of", at.UTC().Truncate(time.Second), "error", away)
	return nil
}

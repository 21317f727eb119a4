package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// manifest says which Parquet files of an hour count.
type manifest struct {
	Version int    `json:"version"`
	Files   []file `json:"files"`

	number int // 0: there is none
}

// file is one of them.
type file struct {
	Name  string `json:"name"` // in the hour's folder
	Rows  int    `json:"rows"`
	Bytes int64  `json:"bytes"`
	// First and Last bound when its events were received.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

const (
	parquetSuffix = ".parquet"
	legacySuffix  = ".ndjson.zst"
)

// hour is what lies in an hour's folder.
type hour struct {
	place
	manifest
	orphans   []string // Parquet files that do not count, by full name
	legacy    []Object
	manifests []string // by full name, in order
}

func manifestName(n int) string { return fmt.Sprintf("manifest-%08d.json", n) }

func manifestNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "manifest-")
	if !ok {
		return 0, false
	}
	digits, ok = strings.CutSuffix(digits, ".json")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0
}

// look lists an hour's folder and reads its manifest.
func (l *Lake) look(ctx context.Context, p place) (hour, error) {
	for range 20 {
		objects, err := l.store.List(ctx, p.folder())
		if err != nil {
			return hour{}, err
		}
		h, err := l.sort(ctx, p, objects)
		if !errors.Is(err, ErrGone) {
			return h, err
		}
		// Another one replaced the manifest in between.
	}
	return hour{}, fmt.Errorf("the manifest of %s keeps changing", p.folder())
}

// sort reads an hour out of the list of its folder; ErrGone where its manifest is
// not there any more.
func (l *Lake) sort(ctx context.Context, p place, objects []Object) (hour, error) {
	h := hour{place: p}
	var files []Object
	for _, o := range objects {
		name := strings.TrimPrefix(o.Name, p.folder()+"/")
		n, is := manifestNumber(name)
		switch {
		case is:
			h.manifests = append(h.manifests, o.Name)
			h.number = max(h.number, n)
		case strings.HasSuffix(name, parquetSuffix):
			files = append(files, Object{name, o.Size})
		case strings.HasSuffix(name, legacySuffix):
			h.legacy = append(h.legacy, o)
		}
	}
	if h.number == 0 {
		for _, o := range files {
			h.Files = append(h.Files, file{Name: o.Name, Bytes: o.Size})
		}
		return h, nil
	}
	name := p.folder() + "/" + manifestName(h.number)
	body, err := l.store.Get(ctx, name)
	if err != nil {
		return h, fmt.Errorf("%s: %w", name, err)
	}
	if err := json.Unmarshal(body, &h.manifest); err != nil {
		return h, fmt.Errorf("%s: %w", name, err)
	}
	if h.Version != 1 {
		return h, fmt.Errorf("%s: version %d is of a newer pixel", name, h.Version)
	}
	for _, o := range files {
		if !slices.ContainsFunc(h.Files, func(f file) bool { return f.Name == o.Name }) {
			h.orphans = append(h.orphans, p.folder()+"/"+o.Name)
		}
	}
	return h, nil
}

// errStale says that a file which was to be replaced does not count any more.
var errStale = errors.New("another process has changed this hour in the meantime")

// commit makes files count, and others not any more, in one step.
func (l *Lake) commit(ctx context.Context, p place, add []file, remove []string) error {
	for range 20 {
		h, err := l.look(ctx, p)
		if err != nil {
			return err
		}
		next := manifest{Version: 1}
		left := len(remove)
		for _, f := range h.Files {
			switch {
			case slices.Contains(remove, f.Name):
				left--
			case slices.ContainsFunc(add, func(a file) bool { return a.Name == f.Name }):
			default:
				next.Files = append(next.Files, f)
			}
		}
		if left > 0 {
			return errStale
		}
		next.Files = append(next.Files, add...)
		slices.SortFunc(next.Files, func(a, b file) int { return strings.Compare(a.Name, b.Name) })
		body, err := json.Marshal(next, jsontext.WithIndent(" "))
		if err != nil {
			return err
		}
		err = l.put(ctx, "manifest", p.folder()+"/"+manifestName(h.number+1), body, true)
		if errors.Is(err, ErrExists) {
			continue
		}
		if err != nil {
			return err
		}
		// Where that fails, the next commit does it.
		_ = l.store.Delete(ctx, h.manifests...)
		return nil
	}
	return fmt.Errorf("%s: %w", p.folder(), errStale)
}

// madeAt is when an object was named.
func madeAt(name string) time.Time {
	name = name[strings.LastIndexByte(name, '/')+1:]
	if len(name) < 36 {
		return time.Time{}
	}
	id, err := uuid.Parse(name[:36])
	if err != nil || id.Version() != 7 {
		return time.Time{}
	}
	s, ns := id.Time().UnixTime()
	return time.Unix(s, ns)
}

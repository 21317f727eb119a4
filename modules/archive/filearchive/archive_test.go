package filearchive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/archivetest"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/event"
)

func open(t testing.TB, dir string, o lake.Options) *lake.Lake {
	t.Helper()
	a, _, err := New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestContract(t *testing.T) {
	archivetest.Run(t, func(t *testing.T) archivetest.Place {
		dir := filepath.Join(t.TempDir(), "data", "archive")
		return archivetest.Place{Open: func(t *testing.T, rows int) archivetest.Store { return open(t, dir, lake.Options{Rows: rows}) }}
	})
}

func files(t testing.TB, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func write(t testing.TB, a *lake.Lake, events ...event.Event) {
	t.Helper()
	if err := a.Write(context.Background(), events...); err != nil {
		t.Fatal(err)
	}
}

func ids(t testing.TB, a *lake.Lake) string {
	t.Helper()
	var ids []string
	for r, err := range a.Read(context.Background(), archive.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Event.ID)
	}
	return strings.Join(ids, " ")
}

func record(id string) event.Event { return archivetest.Event("px_demo", id, archivetest.Begin) }

func TestFilesLieByPixelDateAndHour(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, lake.Options{})
	for i := range 20 {
		write(t, a, archivetest.Event("px_demo", fmt.Sprint("e", i), archivetest.Begin.Add(time.Duration(i)*10*time.Minute)))
	}
	check := func(pattern string) {
		t.Helper()
		name := regexp.MustCompile(pattern)
		for _, p := range files(t, dir) {
			if rel, _ := filepath.Rel(dir, p); !name.MatchString(rel) {
				t.Errorf("there is a file %s", rel)
			}
		}
	}
	check(`^wal/[0-9a-f-]{36}\.wal$`)
	if _, err := a.File(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(`^pixel=px_demo/date=2026-11-2[23]/hour=(23|0[0-3])/([0-9a-f-]{36}\.parquet|manifest-00000001\.json)$`)
	if n := len(files(t, dir)); n != 2*5 {
		t.Errorf("%d files", n)
	}
}

// old is an archive as versions before Parquet left it: two frames of JSON lines.
func old(t *testing.T, dir string) (path string, whole []byte, second int) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, names := range [][]string{{"a", "b"}, {"c"}} {
		var lines []byte
		for _, id := range names {
			e := record(id)
			line, err := json.Marshal(e, jsontext.AllowDuplicateNames(true))
			if err != nil {
				t.Fatal(err)
			}
			lines = append(append(lines, line...), '\n')
		}
		second = len(whole)
		whole = enc.EncodeAll(lines, whole)
	}
	path = filepath.Join(dir, "pixel=px_demo/date=2026-11-22/hour=23/0193f0a1-7b2c-7d3e-8f40-000000000001-0001.ndjson.zst")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, path, whole)
	return path, whole, second
}

func put(t *testing.T, path string, body []byte) {
	t.Helper()
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatVersionsBeforeParquetKeptIsReadAndMergedAndATornEndHidesNothing(t *testing.T) {
	dir := t.TempDir()
	path, whole, second := old(t, dir)
	a := open(t, dir, lake.Options{})
	for cut := second; cut < len(whole); cut++ {
		put(t, path, whole[:cut])
		if got := ids(t, a); got != "a b" {
			t.Fatalf("with %d bytes of %d: %q", cut, len(whole), got)
		}
	}
	damaged := bytes.Clone(whole)
	damaged[second/2] ^= 0xFF
	put(t, path, damaged)
	failed := false
	for _, err := range a.Read(t.Context(), archive.Filter{}) {
		failed = failed || err != nil
	}
	if !failed {
		t.Error("damage in the middle of a file was read over")
	}
	put(t, path, whole)
	write(t, a, record("b"), record("d"))
	if _, err := a.File(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ids(t, a); got != "a b c b d" {
		t.Errorf("read %q", got)
	}
	if err := a.Merge(t.Context(), time.Time{}, archivetest.Begin.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	// All were received at once, so that any order is theirs.
	if got := strings.Fields(ids(t, a)); len(got) != 4 || strings.Join(slices.Sorted(slices.Values(got)), " ") != "a b c d" {
		t.Errorf("merged: %q", got)
	}
	if n := len(files(t, dir)); n != 2 {
		t.Errorf("there are %q", files(t, dir))
	}
}

// At each moment at which a process may die, what it had made so far is put back
// where a crash would leave it.
func TestACrashWhileFilingOrMergingLosesNothingAndLeavesNothingForGood(t *testing.T) {
	events := func() (all []event.Event) {
		for i := range 30 {
			all = append(all, archivetest.Event([]string{"px_demo", "px_2"}[i%2], fmt.Sprint("e", i), archivetest.Begin))
		}
		return all
	}()
	for fail := 1; ; fail++ {
		dir := t.TempDir()
		setup := open(t, dir, lake.Options{})
		for batch := range slices.Chunk(events, 10) {
			write(t, setup, batch...)
			if _, err := setup.File(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		write(t, setup, events[:4]...) // again
		f, err := NewFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := &dying{Folder: f, left: fail}
		a, err := lake.New(s, lake.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.File(t.Context())
		if err == nil {
			err = a.Merge(t.Context(), time.Time{}, archivetest.Begin.Add(time.Hour))
		}
		sorted := func() string {
			list := strings.Fields(ids(t, open(t, dir, lake.Options{})))
			slices.Sort(list)
			return strings.Join(list, " ")
		}
		list := strings.Fields(sorted())
		if n := len(slices.Compact(list)); n != len(events) {
			t.Fatalf("after %d steps %d events are there: %v", fail, n, err)
		}
		// The next process goes on.
		next := open(t, dir, lake.Options{})
		if _, err := next.File(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := next.Merge(t.Context(), time.Time{}, archivetest.Begin.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if n := len(strings.Fields(sorted())); n != len(events) {
			t.Errorf("after %d steps and a second run %d events are there", fail, n)
		}
		if err == nil {
			if fail < 12 {
				t.Errorf("only %d steps", fail)
			}
			return
		}
	}
}

// dying is a store whose process dies after so many changes.
type dying struct {
	*Folder
	mu   sync.Mutex
	left int
}

var errDead = errors.New("the process is dead")

func (d *dying) step() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left--; d.left < 0 {
		return errDead
	}
	return nil
}

func (d *dying) Put(ctx context.Context, name string, body []byte, fresh bool) error {
	if err := d.step(); err != nil {
		return err
	}
	return d.Folder.Put(ctx, name, body, fresh)
}

func (d *dying) Delete(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := d.step(); err != nil {
			return err
		}
		if err := d.Folder.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func TestADamagedFileIsAnErrorAndNoPanic(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, lake.Options{})
	write(t, a, record("a"), record("b"))
	if _, err := a.File(t.Context()); err != nil {
		t.Fatal(err)
	}
	var path string
	for _, p := range files(t, dir) {
		if strings.HasSuffix(p, ".parquet") {
			path = p
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 41 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0xFF
		put(t, path, damaged)
		for range a.Read(t.Context(), archive.Filter{}) {
		}
		put(t, path, whole[:at])
		failed := false
		for _, err := range a.Read(t.Context(), archive.Filter{}) {
			failed = failed || err != nil
		}
		if !failed {
			t.Fatalf("a file of %d bytes was read when it had %d", len(whole), at)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var last error
	for _, last = range a.Read(t.Context(), archive.Filter{}) {
	}
	if last == nil || !strings.Contains(last.Error(), "its manifest names it") {
		t.Errorf("of a file that is gone: %v", last)
	}
}

func TestAClosedArchiveTakesNothing(t *testing.T) {
	a := open(t, t.TempDir(), lake.Options{})
	write(t, a, record("a"))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(t.Context(), record("b")); err == nil {
		t.Error("it was taken")
	}
}

func TestAFolderThatCannotBeUsedIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, nil)
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		if _, err := NewFolder(dir); err == nil {
			t.Errorf("folder %q was taken", dir)
		}
	}
	f, err := NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if n := files(t, f.dir); len(n) != 0 {
		t.Errorf("the check left %s", n)
	}
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(t.Context()); err == nil {
		t.Error("a folder that is gone was healthy")
	}
}

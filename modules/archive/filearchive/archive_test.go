package filearchive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/archivetest"
)

func open(t testing.TB, dir string, o Options) *Archive {
	t.Helper()
	a, err := New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestContract(t *testing.T) {
	for name, o := range map[string]Options{"as it is": {}, "with tiny files, of which one stays open": {FileSize: 300, OpenFiles: 1}} {
		t.Run(name, func(t *testing.T) {
			archivetest.Run(t, func(t *testing.T) archivetest.Place {
				dir := filepath.Join(t.TempDir(), "data", "archive")
				o := o
				if strings.Contains(t.Name(), "torn") {
					o.FileSize = 0 // it must grow for the test to tear it
				}
				return archivetest.Place{Dir: dir, Open: func(t *testing.T) archive.Archive { return open(t, dir, o) }}
			})
		})
	}
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

func write(t testing.TB, a *Archive, records ...archive.Record) {
	t.Helper()
	if err := a.Write(context.Background(), records...); err != nil {
		t.Fatal(err)
	}
}

func ids(t testing.TB, a *Archive) string {
	t.Helper()
	var ids []string
	for r, err := range a.Read(context.Background(), archive.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.EventID)
	}
	return strings.Join(ids, " ")
}

func record(id string) archive.Record { return archivetest.Record("px_demo", id, archivetest.Begin) }

func TestFilesLieByPixelDateAndHourAndArePlainZstd(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, Options{FileSize: 200})
	want := map[string]bool{}
	for i := range 20 {
		r := archivetest.Record("px_demo", fmt.Sprint("e", i), archivetest.Begin.Add(time.Duration(i)*10*time.Minute))
		write(t, a, r)
		want[string(r.Body)] = true
	}
	name := regexp.MustCompile(`^pixel=px_demo/date=2026-11-2[23]/hour=(23|0[0-3])/[0-9a-f-]{36}-\d{4}\.ndjson\.zst$`)
	paths := files(t, dir)
	var all []byte
	for _, p := range paths {
		rel, _ := filepath.Rel(dir, p)
		if !name.MatchString(rel) {
			t.Errorf("there is a file %s", rel)
		}
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	check := func(content []byte) {
		t.Helper()
		lines := bytes.Split(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))
		if len(lines) != len(want) {
			t.Errorf("%d lines, not %d", len(lines), len(want))
		}
		for _, l := range lines {
			if !want[string(l)] {
				t.Errorf("there is a line %s", l)
			}
		}
	}
	r, err := zstd.NewReader(bytes.NewReader(all))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	check(content)

	tool, err := exec.LookPath("zstd")
	if err != nil {
		t.Log("SKIPPED: the zstd tool is not installed; the Go reader was asked alone")
		return
	}
	content, err = exec.Command(tool, append([]string{"-dc"}, paths...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	check(content)
}

func TestAFileGrowsUntilItIsFullAndIsReopenedWhenItWasClosedToSpareDescriptors(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, Options{OpenFiles: 2})
	const pixels = 10
	for i := range 5 {
		for p := range pixels {
			write(t, a, archivetest.Record(fmt.Sprint("px", p), fmt.Sprint(i), archivetest.Begin))
		}
		if a.open > 2 {
			t.Fatalf("%d files are open", a.open)
		}
	}
	if n := len(files(t, dir)); n != pixels {
		t.Errorf("%d files, not one a pixel", n)
	}
	if n := len(strings.Fields(ids(t, a))); n != 5*pixels {
		t.Errorf("%d records", n)
	}
	full := open(t, t.TempDir(), Options{FileSize: 1})
	write(t, full, record("a"))
	write(t, full, record("b"))
	if n := len(files(t, full.dir)); n != 2 {
		t.Errorf("%d files, though each was full", n)
	}
}

func TestAFileThatSomebodyTouchedIsNotAppendedTo(t *testing.T) {
	for name, touch := range map[string]func(string) error{
		"deleted":   os.Remove,
		"emptied":   func(p string) error { return os.Truncate(p, 0) },
		"cut short": func(p string) error { return os.Truncate(p, 5) },
	} {
		t.Run(name, func(t *testing.T) {
			a := open(t, t.TempDir(), Options{OpenFiles: 1})
			write(t, a, record("old"))
			path := files(t, a.dir)[0]
			write(t, a, archivetest.Record("px_other", "other", archivetest.Begin)) // closes the first
			if err := touch(path); err != nil {
				t.Fatal(err)
			}
			write(t, a, record("new"))
			if got := ids(t, a); got != "new other" {
				t.Errorf("read %q", got)
			}
		})
	}
}

func TestFilesThatAreNotNeededAnyMoreAreForgotten(t *testing.T) {
	a := open(t, t.TempDir(), Options{})
	for i := range 3 * known {
		if _, err := a.file(partition{"px_demo", int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(a.files); n > known {
		t.Errorf("%d files are remembered", n)
	}
}

func TestDamageInsideAFileIsAnErrorAndHidesNothingBeforeIt(t *testing.T) {
	a := open(t, t.TempDir(), Options{})
	var ends []int64
	for _, id := range []string{"a", "b", "c"} {
		write(t, a, record(id))
		st, err := os.Stat(files(t, a.dir)[0])
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, st.Size())
	}
	path := files(t, a.dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := ends[0]; at < ends[1]; at++ {
		for _, with := range []byte{0x00, 0xFF, whole[at] ^ 1} {
			if with == whole[at] {
				continue
			}
			damaged := bytes.Clone(whole)
			damaged[at] = with
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			var got []string
			for r, err := range a.Read(t.Context(), archive.Filter{}) {
				got = append(got, r.EventID)
				if err != nil {
					got[len(got)-1] = "error"
				}
			}
			// A bit may not matter: then all is there.
			if s := strings.Join(got, " "); s != "a error" && s != "a b c" {
				t.Errorf("byte %d set to %#x: read %q", at, with, s)
			}
		}
	}
}

func TestAClosedArchiveTakesNothing(t *testing.T) {
	a := open(t, t.TempDir(), Options{})
	write(t, a, record("a"))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Write(t.Context(), record("b")); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
	if a.open != 0 {
		t.Errorf("%d files are open", a.open)
	}
}

func TestAFolderThatCannotBeUsedIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		if _, err := New(dir, Options{}); err == nil {
			t.Errorf("folder %q was taken", dir)
		}
	}
	a := open(t, t.TempDir(), Options{})
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if n := files(t, a.dir); len(n) != 0 {
		t.Errorf("the check left %s", n)
	}
	if err := os.RemoveAll(a.dir); err != nil {
		t.Fatal(err)
	}
	if err := a.Check(t.Context()); err == nil {
		t.Error("a folder that is gone was healthy")
	}
}

func BenchmarkWrite256(b *testing.B) {
	for _, pixels := range []int{1, 8, 64} {
		b.Run(fmt.Sprint("pixels=", pixels), func(b *testing.B) {
			a := open(b, b.TempDir(), Options{})
			var batch []archive.Record
			for i := range 256 {
				r := archivetest.Record(fmt.Sprint("px", i%pixels), fmt.Sprintf("0193f0a1-7b2c-7d3e-8f40-%012x", i*7919), archivetest.Begin)
				r.Body = []byte(strings.Replace(string(r.Body), "page_view", strings.Repeat(fmt.Sprintf("word%d ", i), 120), 1))
				batch = append(batch, r)
			}
			for b.Loop() {
				write(b, a, batch...)
			}
			b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

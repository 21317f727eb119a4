package archivetest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/miq/pixel/modules/archive"
)

func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		sizes[path] = i.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes
}

// torn cuts the last write at each of its bytes, and fills it with zeros from
// there as some file systems do.
func torn(t *testing.T, p Place) {
	if p.Dir == "" {
		t.Skip("SKIPPED: files appear whole in this backend")
	}
	a := p.Open(t)
	var before, last []archive.Record
	for i := range 3 {
		before = append(before, Record("px_demo", fmt.Sprintf("before-%d", i), Begin))
		write(t, a, before[i])
	}
	was := sizes(t, p.Dir)
	for i := range 3 {
		last = append(last, Record("px_demo", fmt.Sprintf("last-%d", i), Begin))
	}
	write(t, a, last...)
	grown := ""
	for path, size := range sizes(t, p.Dir) {
		if size != was[path] {
			if grown != "" {
				t.Fatalf("one write changed %s and %s", grown, path)
			}
			grown = path
		}
	}
	if grown == "" {
		t.Fatal("no file has grown")
	}
	whole, err := os.ReadFile(grown)
	if err != nil {
		t.Fatal(err)
	}
	put := func(b []byte) {
		if err := os.WriteFile(grown, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := Record("px_demo", "next", Begin)
	for cut := int(was[grown]); cut < len(whole); cut++ {
		put(whole[:cut])
		same(t, read(t, p.Open(t), archive.Filter{}), before)
		put(append(whole[:cut:cut], make([]byte, len(whole)-cut)...))
		got := read(t, p.Open(t), archive.Filter{})
		// A frame's last bytes may be zeros by themselves.
		if len(got) != len(before)+len(last) {
			same(t, got, before)
		}
		if t.Failed() {
			t.Fatalf("with %d bytes of %d", cut, len(whole))
		}
	}
	// The next process goes on beside the torn file.
	put(whole[:len(whole)-1])
	write(t, p.Open(t), next)
	same(t, read(t, p.Open(t), archive.Filter{}), append(before, next))
	put(whole)
	same(t, read(t, p.Open(t), archive.Filter{}), append(append(before, last...), next))
}

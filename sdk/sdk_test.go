package sdk_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/miq/pixel/sdk"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGeneratingAgainGivesTheSameBytes(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "./build", "-out", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	made, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != len(kept) {
		t.Errorf("dist holds %d files, and %d are made", len(kept), len(made))
	}
	for _, f := range made {
		want, err := os.ReadFile(filepath.Join("dist", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what its sources give: run go generate ./sdk", f.Name())
		}
	}
}

func TestTheBundlesCarryTheVersion(t *testing.T) {
	for name, b := range map[string][]byte{"sdk.js": sdk.Script(), "sdk.mjs": sdk.Module()} {
		if !bytes.Contains(b, []byte(strconv.Quote(sdk.Version))) {
			t.Errorf("%s does not say %s: the define in sdk.go differs from Version", name, sdk.Version)
		}
	}
}

func TestTheTagStaysSmall(t *testing.T) {
	parts := sdk.Parts()
	core, extras := gzipped(t, sdk.Script()), gzipped(t, parts["extras"])
	for _, tc := range []struct {
		name      string
		got, most int
	}{
		{"core", core, 6144},
		{"core as a module", gzipped(t, sdk.Module()), 6144},
		{"core, autotrack and e-commerce", core + extras, 9216},
		{"visitors across domains", gzipped(t, parts["cross"]), 1536},
		{"consent: the page's platform", gzipped(t, parts["cmp"]), 2560},
		{"consent: the site's own banner", gzipped(t, parts["gcm"]), 2048},
		{"consent: our banner, in eight languages", gzipped(t, parts["banner"]), 6656},
	} {
		t.Logf("%-42s %5d bytes gzipped, at most %d", tc.name, tc.got, tc.most)
		if tc.got > tc.most {
			t.Errorf("%s: %d bytes gzipped, more than %d", tc.name, tc.got, tc.most)
		}
	}
}

// gzipped is the size of a file as it travels.
func gzipped(t *testing.T, file []byte) int {
	t.Helper()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(file); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Len()
}

func TestSnippetIsSafeWhateverTheID(t *testing.T) {
	for name, in := range map[string][2]string{
		"plain":   {"https://px.example.com", "px_demo"},
		"slash":   {"https://px.example.com/", "px_demo"},
		"hostile": {"https://px.example.com", "\"</script><script>alert(1)//'&\u2028\\"},
		"braces":  {"https://px.example.com", "{src}{img}"},
	} {
		t.Run(name, func(t *testing.T) {
			got := sdk.Snippet(in[0], in[1])
			golden := filepath.Join("testdata", "snippet", name+".html")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Count(got, "</script") != 1 || strings.Count(got, "<img") != 1 {
				t.Errorf("the id broke out:\n%s", got)
			}
		})
	}
}

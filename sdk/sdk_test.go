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
	for _, args := range generateLines(t) {
		for i, arg := range args {
			args[i] = strings.Replace(arg, "--outfile=dist", "--outfile="+dir, 1)
		}
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	for name, want := range map[string][]byte{
		"sdk.js": sdk.Script(), "sdk.mjs": sdk.Module(), "banner.js": sdk.Banner(), "sdk.d.ts": sdk.Types(),
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what its sources give: run go generate ./sdk", name)
		}
	}
}

// generateLines reads the commands out of sdk.go, so that the test runs what
// go generate runs.
func generateLines(t *testing.T) [][]string {
	t.Helper()
	source, err := os.ReadFile("sdk.go")
	if err != nil {
		t.Fatal(err)
	}
	aliases := map[string][]string{}
	var lines [][]string
	for line := range strings.Lines(string(source)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "//go:generate ")
		if !ok {
			continue
		}
		words := splitWords(t, rest)
		if words[0] == "-command" {
			aliases[words[1]] = words[2:]
			continue
		}
		if alias, ok := aliases[words[0]]; ok {
			words = append(append([]string(nil), alias...), words[1:]...)
		}
		lines = append(lines, words)
	}
	if len(lines) != 4 {
		t.Fatalf("found %d generate lines, want 4", len(lines))
	}
	return lines
}

// splitWords splits as go generate does: at blanks, with Go's quoted strings.
func splitWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if quoted, err := strconv.QuotedPrefix(line); err == nil {
			word, err := strconv.Unquote(quoted)
			if err != nil {
				t.Fatal(err)
			}
			words, line = append(words, word), line[len(quoted):]
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		words, line = append(words, word), rest
	}
	return words
}

func TestTheBundlesCarryTheVersion(t *testing.T) {
	for name, b := range map[string][]byte{"sdk.js": sdk.Script(), "sdk.mjs": sdk.Module()} {
		if !bytes.Contains(b, []byte(strconv.Quote(sdk.Version))) {
			t.Errorf("%s does not say %s: the define in sdk.go differs from Version", name, sdk.Version)
		}
	}
}

func TestTheTagStaysSmall(t *testing.T) {
	for _, tc := range []struct {
		name string
		file []byte
		most int
	}{
		{"sdk.js", sdk.Script(), 6144},
		{"sdk.mjs", sdk.Module(), 6144},
		{"banner.js", sdk.Banner(), 4096},
	} {
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if _, err := w.Write(tc.file); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes, %d gzipped, at most %d", tc.name, len(tc.file), packed.Len(), tc.most)
		if packed.Len() > tc.most {
			t.Errorf("%s: %d bytes gzipped, more than %d", tc.name, packed.Len(), tc.most)
		}
	}
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

package ops

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestEveryLinkInTheDocumentationLeadsSomewhere follows those inside the repository.
func TestEveryLinkInTheDocumentationLeadsSomewhere(t *testing.T) {
	pages := []string{"../../README.md", "../../CHANGELOG.md", "../../sdk/README.md", "../../sdk/edge/README.md", "../../bench/README.md"}
	partners, _ := filepath.Glob("../../modules/partner/*/README.md")
	pages = append(pages, partners...)
	err := filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	followed := 0
	for _, page := range pages {
		body, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(body), -1) {
			to, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(to, ":") {
				continue
			}
			followed++
			target := page
			if to != "" {
				target = filepath.Join(filepath.Dir(page), to)
			}
			there, err := os.Stat(target)
			if err != nil {
				t.Errorf("%s: %s is not there", page, m[1])
				continue
			}
			if anchor != "" && !there.IsDir() && !slugs(t, target)[anchor] {
				t.Errorf("%s: %s has no such heading", page, m[1])
			}
		}
	}
	if followed < 100 {
		t.Errorf("only %d links", followed)
	}
}

// slugs are a page's headings as GitHub makes anchors of them.
func slugs(t *testing.T, path string) map[string]bool {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(string(body), -1) {
		s := notSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(s, " ", "-")] = true
	}
	return out
}

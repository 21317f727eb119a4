package cli_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var tryable = regexp.MustCompile("(?s)```sh try\n(.*?)```")

// TestTheCommandsInTheDocumentationWork runs each block that is marked `sh try` as
// it stands, against a process with all roles.
func TestTheCommandsInTheDocumentationWork(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	p := start(t, t.TempDir(), "serve")
	env := append(os.Environ(),
		"PATH="+filepath.Dir(build(t))+":"+os.Getenv("PATH"),
		"PIXEL_ADMIN_TOKEN="+token, "PIXEL_ADMIN_PUBLIC_URL="+p.admin, "PIXEL_OPS_ADDR="+strings.TrimPrefix(p.ops, "http://"),
		"COLLECTOR="+p.collector, "OPS="+p.ops)
	var pages []string
	err := filepath.WalkDir("../../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(pages)
	ran := 0
	for _, page := range pages {
		body, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range tryable.FindAllStringSubmatch(string(body), -1) {
			ran++
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", m[1])
			cmd.Env, cmd.Dir = env, t.TempDir()
			out, err := cmd.CombinedOutput()
			cancel()
			if err != nil {
				t.Errorf("%s: %v\n%s%.1000s", page, err, m[1], out)
			}
		}
	}
	if ran < 15 {
		t.Errorf("only %d blocks", ran)
	}
}

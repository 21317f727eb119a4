package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/cli"
)

func TestCommandLines(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("role: boss\nqueue: {lease: soon}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"version", []string{"version"}, 0, "pixel 1.", ""},
		{"config prints what is in force", []string{"config", "--redis.url=redis://:hunter2@r:6379", "--secret_key=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}, 0, "url: redis://:********@r:6379", ""},
		{"every problem has a line", []string{"config", "--config", bad}, 2, "", "queue.lease: must be a duration such as 30s, 5m or 1h30m, not \"soon\"\nrole: must be all"},
		{"a bad value stops serve too", []string{"serve", "--otel.sample=7"}, 2, "", "otel.sample: must be between 0 and 1"},
		{"a named file must be there", []string{"config", "--config", "nowhere.yaml"}, 2, "", "nowhere.yaml"},
		{"an unknown flag", []string{"--rolle=all"}, 2, "", "unknown flag: --rolle"},
		{"an unknown command", []string{"frobnicate"}, 2, "", `unknown command "frobnicate"`},
		{"too many words", []string{"serve", "now"}, 2, "", `unknown command "now" for "pixel serve" (see pixel serve --help)`},
		{"a folder that is none", []string{"serve", "--data_dir", bad}, 1, "", "not a directory; it must be a folder that the user"},
		{"half an address", []string{"sandbox", "--addr", "here"}, 1, "", "--addr: cannot listen on here: "},
		{"migrate", []string{"migrate", "--data_dir", filepath.Join(dir, "data")}, 0, "is up to date", ""},
		{"backup", []string{"backup", "--data_dir", filepath.Join(dir, "data"), filepath.Join(dir, "copy")}, 0, filepath.Join(dir, "copy"), ""},
		{"restore over data", []string{"restore", "--data_dir", filepath.Join(dir, "data"), filepath.Join(dir, "copy")}, 1, "", "is not empty"},
		{"restore", []string{"restore", "--data_dir", filepath.Join(dir, "again"), filepath.Join(dir, "copy")}, 0, "are in " + filepath.Join(dir, "again"), ""},
		{"restore of nothing", []string{"restore", filepath.Join(dir, "again")}, 1, "", "is no backup"},
		{"backup to nowhere", []string{"backup"}, 2, "", "needs one argument"},
		{"health without anybody there", []string{"health", "--ops.addr=127.0.0.1:1"}, 1, "", "no pixel answers at ops.addr: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := cli.Run(c.args, &stdout, &stderr)
			if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
				t.Errorf("exit %d, want %d\nstdout: %s\nstderr: %s", code, c.code, stdout.String(), stderr.String())
			}
			if c.code == 0 && stderr.Len() > 0 {
				t.Errorf("stderr: %s", stderr.String())
			}
		})
	}
}

func TestAPortThatIsTakenIsSaidInOneLine(t *testing.T) {
	first := start(t, t.TempDir())
	var stderr bytes.Buffer
	code := cli.Run([]string{
		"serve", "--data_dir", t.TempDir(), "--log.level=error", "--collector.addr=" + strings.TrimPrefix(first.collector, "http://"),
		"--admin.addr=127.0.0.1:0", "--ops.addr=127.0.0.1:0",
	}, &bytes.Buffer{}, &stderr)
	if lines := strings.Split(strings.TrimSpace(stderr.String()), "\n"); code != 1 || len(lines) != 1 || !strings.Contains(lines[0], "collector.addr: cannot listen on "+strings.TrimPrefix(first.collector, "http://")+": bind: address already in use; end") {
		t.Errorf("exit %d:\n%s", code, stderr.String())
	}
}

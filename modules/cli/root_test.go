package cli_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestTheBinaryRunsInAnEmptyRoot runs it where there is nothing but itself, the
// CA certificates and a data folder, since that is what the image is.
func TestTheBinaryRunsInAnEmptyRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("changing the root folder needs root")
	}
	root := t.TempDir()
	copyFile(t, build(t), filepath.Join(root, "pixel"), 0o755)
	if _, err := os.Stat("/etc/ssl/certs/ca-certificates.crt"); err == nil {
		copyFile(t, "/etc/ssl/certs/ca-certificates.crt", filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"), 0o644)
	}
	if err := os.Mkdir(filepath.Join(root, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(root, "data"), 65532, 65532); err != nil {
		t.Fatal(err)
	}
	collector, ops := freeAddr(t), freeAddr(t)
	env := []string{"PIXEL_DATA_DIR=/data", "PIXEL_COLLECTOR_ADDR=" + collector, "PIXEL_OPS_ADDR=" + ops, "PIXEL_ADMIN_ADDR=" + freeAddr(t)}
	inRoot := func(args ...string) *exec.Cmd {
		cmd := exec.Command("/pixel", args...)
		cmd.Dir, cmd.Env = "/", env
		// Not root inside either, as the image's USER says, so that it can write
		// nowhere but in its data folder.
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		return cmd
	}
	out := &output{}
	p := &process{t: t, out: out, cmd: inRoot(), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })

	p.eventually("pixel health says ready", func() error {
		if out, err := inRoot("health").CombinedOutput(); err != nil {
			return &exec.Error{Name: string(out), Err: err}
		}
		return nil
	})
	resp, err := http.Get("http://" + collector + "/sdk.js")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || len(body) < 1000 {
		t.Errorf("/sdk.js answers %d with %d bytes", resp.StatusCode, len(body))
	}
	version, err := inRoot("version").Output()
	if err != nil || !strings.HasPrefix(string(version), "pixel ") {
		t.Errorf("pixel version says %q (%v)", version, err)
	}
	if err := p.terminate(); err != nil {
		t.Errorf("SIGTERM ended with %v, want exit 0\n%s", err, out)
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, mode); err != nil {
		t.Fatal(err)
	}
}

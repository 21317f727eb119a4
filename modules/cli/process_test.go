package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miq/pixel/modules/freeaddr"
)

// The tests of this package run the real binary, as its users do.

const token = "test-token"

var binary struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if binary.dir != "" {
		os.RemoveAll(binary.dir)
	}
	os.Exit(code)
}

// build makes the binary as the Dockerfile does, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "pixel-test-"); binary.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(binary.dir, "pixel"), "github.com/miq/pixel")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return filepath.Join(binary.dir, "pixel")
}

// process is a running pixel.
type process struct {
	t                     *testing.T
	cmd                   *exec.Cmd
	out                   *output
	collector, admin, ops string // base addresses
	done                  chan error
}

// output collects what a process says, and can be read while it speaks.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := freeaddr.Pick()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// start runs a command of the binary and waits until it is ready.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	collector, admin, ops := freeAddr(t), freeAddr(t), freeAddr(t)
	p := &process{t: t, out: &output{}, collector: "http://" + collector, admin: "http://" + admin, ops: "http://" + ops, done: make(chan error, 1)}
	args = append(args, "--data_dir="+dir, "--collector.addr="+collector, "--admin.addr="+admin, "--ops.addr="+ops)
	p.cmd = exec.Command(build(t), args...)
	p.cmd.Dir = t.TempDir() // no config.yaml there
	p.cmd.Env = append(os.Environ(), "PIXEL_ADMIN_TOKEN="+token)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the process said:\n%s", p.out)
		}
	})
	p.eventually("it is ready", func() error {
		select {
		case err := <-p.done:
			p.done <- err
			t.Fatalf("the process ended at start: %v\n%s", err, p.out)
		default:
		}
		resp, err := http.Get(p.ops + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %d", resp.StatusCode)
		}
		return nil
	})
	return p
}

// kill ends the process as a crash does.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.done
}

// terminate asks the process to stop, and returns how it ended.
func (p *process) terminate() error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.done:
		return err
	case <-time.After(30 * time.Second):
		p.t.Fatal("the process did not stop within 30 s of SIGTERM")
		return nil
	}
}

// eventually polls until f returns nil.
func (p *process) eventually(what string, f func() error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("not within a minute: %s: %v\n%s", what, err, p.out)
		case <-tick.C:
		}
	}
}

// api calls the console's API and decodes its answer.
func (p *process) api(method, path string, body, answer any) {
	p.t.Helper()
	if err := p.tryAPI(method, path, body, answer); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) tryAPI(method, path string, body, answer any) error {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, p.admin+"/api/v1"+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, out)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(out, answer)
}

func get(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

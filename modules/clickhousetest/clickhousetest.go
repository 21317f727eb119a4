// Package clickhousetest runs a real ClickHouse engine for tests: the server in
// its folder server, which speaks ClickHouse's HTTP interface and its native protocol
// and has chDB do the work. Engine and driver are real, and what speaks between them is
// ours. A user's own server is taken where PIXEL_TEST_CLICKHOUSE_DSN names one, by the
// protocol of its address; tests that kill the server need ours.
package clickhousetest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miq/pixel/modules/freeaddr"
)

// Server is a running engine.
type Server struct {
	Port       string // of HTTP
	NativePort string

	dir   string
	args  []string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   output
}

// output is what a process says.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// script finds the server's, above the test's folder.
func script() (string, error) {
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		path := filepath.Join(dir, "modules/clickhousetest/server/run")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("modules/clickhousetest/server/run is not above the test")
}

var prepared = sync.OnceValues(func() (path string, err error) {
	if path, err = script(); err != nil {
		return "", err
	}
	if out, err := exec.Command(path, "--prepare").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return path, nil
})

// need skips the test, aloud, where the engine cannot be had.
func need(t testing.TB) string {
	t.Helper()
	path, err := prepared()
	if err != nil {
		t.Skipf("SKIPPED: there is no ClickHouse engine, so nothing here was checked on a real one: %v", err)
	}
	return path
}

// Start starts a server that ends with the test. Its data are in dir; empty: in a
// folder of its own. More arguments are the server's (server/README.md).
func Start(t testing.TB, dir string, args ...string) *Server {
	t.Helper()
	need(t)
	if dir == "" {
		dir = folder(t)
	}
	s := &Server{dir: dir, args: args}
	t.Cleanup(s.Kill)
	s.Restart(t)
	return s
}

func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "clickhouse-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Restart starts the server again on what is in its folder, at the same port.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	if err := s.start(need(t)); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) start(path string) error {
	for _, port := range []*string{&s.Port, &s.NativePort} {
		if *port == "" {
			addr, err := freeaddr.Pick()
			if err != nil {
				return err
			}
			_, *port, _ = strings.Cut(addr, ":")
		}
	}
	ready := filepath.Join(s.dir, "port")
	os.Remove(ready)
	s.cmd = exec.Command(path, append([]string{"--port", s.Port, "--native-port", s.NativePort, "--port-file", ready, "--path", s.dir, "--exit-with-stdin"}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.WaitDelay = time.Second
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			return nil
		}
		if s.cmd.Process.Signal(syscall.Signal(0)) != nil {
			break
		}
	}
	s.Kill()
	return fmt.Errorf("the ClickHouse engine does not start:\n%s", s.log.String())
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.stdin.Close()
		s.cmd = nil
	}
}

// Pause stops the server where it is, as if its machine hung, until Resume.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatalf("pause the ClickHouse engine: %v", err)
	}
}

// Resume lets it go on.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatalf("resume the ClickHouse engine: %v", err)
	}
}

// Addr is its host and port.
func (s *Server) Addr() string { return "127.0.0.1:" + s.Port }

// DSN is the address of one of its databases.
func (s *Server) DSN(database string) string { return "http://" + s.Addr() + "/" + database }

// NativeDSN is its address by the native protocol.
func (s *Server) NativeDSN(database string) string {
	return "clickhouse://127.0.0.1:" + s.NativePort + "/" + database
}

// database makes an empty one, which goes with the test.
func (s *Server) database(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	s.Exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if s.cmd != nil {
			s.Exec(t, "DROP DATABASE IF EXISTS "+name+" SYNC")
		}
	})
	return name
}

// Exec runs a statement.
func (s *Server) Exec(t testing.TB, statement string) {
	t.Helper()
	s.Query(t, statement)
}

// Query runs a question and returns the lines of its answer, with tabs between what
// is in one.
func (s *Server) Query(t testing.TB, query string) []string {
	t.Helper()
	lines, err := s.Ask(query)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// Ask is Query where the server may not be well.
func (s *Server) Ask(query string) ([]string, error) {
	r, err := http.Post("http://"+s.Addr()+"/", "text/plain", strings.NewReader(query))
	if err != nil {
		return nil, fmt.Errorf("%.80s: %w", query, err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%.80s: %w %s", query, err, body)
	}
	if len(body) == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"), nil
}

// shared is one server for all of a process's tests. It ends with the process,
// whose end closes its standard input.
var shared struct {
	once sync.Once
	s    *Server
	err  error
}

// DSN is the address of an empty database: on the user's own server where
// PIXEL_TEST_CLICKHOUSE_DSN names one, else by HTTP on an engine that the process's
// tests share.
func DSN(t testing.TB) string {
	t.Helper()
	if own := os.Getenv("PIXEL_TEST_CLICKHOUSE_DSN"); own != "" {
		return withDatabase(t, own)
	}
	s := theShared(t)
	return s.DSN(s.database(t))
}

// NativeDSN is DSN by the native protocol.
func NativeDSN(t testing.TB) string {
	t.Helper()
	if own := os.Getenv("PIXEL_TEST_CLICKHOUSE_DSN"); own != "" {
		if !strings.HasPrefix(own, "clickhouse://") {
			t.Skip("SKIPPED: PIXEL_TEST_CLICKHOUSE_DSN is an address of HTTP, so the native protocol was not tried")
		}
		return withDatabase(t, own)
	}
	s := theShared(t)
	return s.NativeDSN(s.database(t))
}

// Protocols run a test on an empty database by each protocol; the address of one of the
// user's own has one.
func Protocols(t *testing.T, do func(t *testing.T, dsn func(testing.TB) string)) {
	t.Helper()
	if os.Getenv("PIXEL_TEST_CLICKHOUSE_DSN") != "" {
		do(t, DSN)
		return
	}
	t.Run("http", func(t *testing.T) { do(t, DSN) })
	t.Run("native", func(t *testing.T) { do(t, NativeDSN) })
}

// theShared starts the engine that tests share.
func theShared(t testing.TB) *Server {
	t.Helper()
	path := need(t)
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "clickhouse-test-")
		if err != nil {
			shared.err = err
			return
		}
		// The folder outlives the process that made it; the next one clears it up.
		sweep(dir)
		shared.s = &Server{dir: dir}
		shared.err = shared.s.start(path)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.s
}

// sweep removes what earlier processes left. The owner of each is in its name's
// file "pid".
func sweep(own string) {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), "clickhouse-test-*", "pid"))
	for _, path := range old {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + strings.TrimSpace(string(b))); os.IsNotExist(err) {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	os.WriteFile(filepath.Join(own, "pid"), fmt.Appendln(nil, os.Getpid()), 0o600)
}

// withDatabase gives the test a database name of its own; `pixel migrate` makes
// the database. It stays behind on a user's server, to be looked at.
func withDatabase(t testing.TB, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("PIXEL_TEST_CLICKHOUSE_DSN: %v", err)
	}
	u.Path = "/pixel_test_" + strings.ToLower(rand.Text()[:12])
	return u.String()
}

// Package redistest runs a real redis-server for tests, each on its own folder
// and socket.
package redistest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a running redis-server.
type Server struct {
	// Addr is the path of its socket.
	Addr string

	dir  string
	args []string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// Start starts a server that keeps an append-only file, with more arguments if
// need be, and skips the test, aloud, where none is installed. The server ends
// with the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("SKIPPED: redis-server is not installed, so nothing here was checked on a real one")
	}
	// A socket's path may have about a hundred bytes, which t.TempDir may pass.
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: filepath.Join(dir, "s"), dir: dir, args: args}
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
	})
	s.Restart(t)
	return s
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// Pause stops the server where it is, as if its machine hung, until Resume.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatalf("pause redis-server: %v", err)
	}
}

// Resume lets it go on.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatalf("resume redis-server: %v", err)
	}
}

// Restart starts the server again on what is in its folder.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	os.Remove(s.Addr)
	s.cmd = exec.Command("redis-server", append([]string{
		"--port", "0", "--unixsocket", s.Addr, "--dir", s.dir, "--save", "", "--appendonly", "yes",
	}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.Addr, MaxRetries: -1})
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		// Until the socket is there and the append-only file is read.
		if conn, err := net.Dial("unix", s.Addr); err == nil {
			conn.Close()
			if c.Ping(ctx).Err() == nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.Kill()
			t.Fatalf("redis-server does not answer:\n%s", s.log.String())
		}
	}
}

// Client returns a client that is closed with the test.
func (s *Server) Client(t testing.TB) redis.UniversalClient {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.Addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { c.Close() })
	return c
}

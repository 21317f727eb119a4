// Package redistest runs real Redis servers for tests: one alone, a cluster, a
// master with replicas and sentinels, one that speaks TLS. Each has its own
// folder, and ends with the test.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/freeaddr"
)

// Server is a running redis-server.
type Server struct {
	// Network and Addr are where it listens: a socket unless told otherwise.
	Network, Addr string

	dir  string
	bus  string // its port among its cluster
	args []string
	ask  *redis.Options // how to ask whether it is up
	cmd  *exec.Cmd
	log  output
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

// need skips the test, aloud, where a program is not installed.
func need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip("SKIPPED: " + program + " is not installed, so nothing here was checked on a real one")
	}
}

// folder makes one for a server. A socket's path may have about a hundred bytes,
// which t.TempDir may pass.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FreeAddr is an address that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := freeaddr.Pick()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Start starts a server that listens on a socket and keeps an append-only file,
// with more arguments if need be.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	need(t, "redis-server")
	dir := folder(t)
	addr := filepath.Join(dir, "s")
	s := &Server{Network: "unix", Addr: addr, dir: dir, args: append([]string{"--port", "0", "--unixsocket", addr}, args...), ask: &redis.Options{Network: "unix", Addr: addr}}
	t.Cleanup(s.Kill)
	s.Restart(t)
	return s
}

// StartTCP starts one that listens on a port of this machine.
func StartTCP(t testing.TB, args ...string) *Server {
	t.Helper()
	need(t, "redis-server")
	s := tcp(t, args...)
	s.Restart(t)
	return s
}

func tcp(t testing.TB, args ...string) *Server {
	t.Helper()
	addr := FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	s := &Server{Network: "tcp", Addr: addr, dir: folder(t), args: append([]string{"--port", port, "--bind", "127.0.0.1"}, args...), ask: &redis.Options{Addr: addr}}
	t.Cleanup(s.Kill)
	return s
}

// Port is its port.
func (s *Server) Port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// Kill ends the server as kill -9 does.
func (s *Server) Kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// Written waits until the server has handed everything that it answered to the
// operating system. With appendfsync everysec it answers before that while an fsync
// takes long, and what it then holds dies with it.
func (s *Server) Written(t testing.TB) {
	t.Helper()
	c := s.Client(t)
	await(t, "redis-server does not write its log", s.log.String, func(ctx context.Context) error {
		info, err := c.Info(ctx, "persistence").Result()
		if err != nil {
			return err
		}
		for _, want := range []string{"aof_buffer_length:0\r", "aof_pending_bio_fsync:0\r"} {
			if !strings.Contains(info, want) {
				return errors.New("it does not say " + strings.TrimSpace(want))
			}
		}
		return nil
	})
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
	if s.Network == "unix" {
		os.Remove(s.Addr)
	}
	s.cmd = exec.Command("redis-server", append([]string{
		"--dir", s.dir, "--save", "", "--appendonly", "yes",
	}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	o := *s.ask
	o.MaxRetries, o.DialerRetries = -1, 1
	c := redis.NewClient(&o)
	defer c.Close()
	// Until it listens and the append-only file is read.
	await(t, "redis-server does not answer", s.log.String, func(ctx context.Context) error {
		conn, err := net.Dial(s.Network, s.Addr)
		if err != nil {
			return err // asked so, the client would log it
		}
		conn.Close()
		return c.Ping(ctx).Err()
	})
}

// await tries until there is no error.
func await(t testing.TB, what string, said func() string, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v\n%s", what, err, said())
		}
	}
}

// Client returns a client that is closed with the test.
func (s *Server) Client(t testing.TB) redis.UniversalClient {
	o := *s.ask
	o.ContextTimeoutEnabled, o.DialerRetries = true, 1
	c := redis.NewClient(&o)
	t.Cleanup(func() { c.Close() })
	return c
}

// Fresh is Client, after everything was deleted.
func (s *Server) Fresh(t testing.TB) redis.UniversalClient {
	t.Helper()
	c := s.Client(t)
	if err := c.FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(fmt.Errorf("empty the server: %w", err))
	}
	return c
}

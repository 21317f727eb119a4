package direct

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pair is a connection, ours and the peer's end of it.
func pair(t *testing.T) (ours, peer *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); in.Close() })
	return in.(*net.TCPConn), c.(*net.TCPConn)
}

// seen is what a call returned, without the ports.
func seen(n int, err error) string {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return fmt.Sprint(n, " ", err)
	}
	return fmt.Sprintf("%d %s %s %t %v timeout:%t closed:%t late:%t", n, op.Op, op.Net, op.Addr != nil && op.Source != nil, op.Err,
		op.Timeout(), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded))
}

func TestADirectConnectionReturnsWhatATCPConnectionDoes(t *testing.T) {
	read := func(c net.Conn) (int, error) { return c.Read(make([]byte, 8)) }
	for name, try := range map[string]func(t *testing.T, c net.Conn, ours, peer *net.TCPConn) (int, error){
		"what is there": func(t *testing.T, c net.Conn, _, peer *net.TCPConn) (int, error) {
			_, _ = peer.Write([]byte("abc"))
			return read(c)
		},
		"what comes later": func(t *testing.T, c net.Conn, _, peer *net.TCPConn) (int, error) {
			time.AfterFunc(20*time.Millisecond, func() { _, _ = peer.Write([]byte("abc")) })
			return read(c)
		},
		"into nothing": func(t *testing.T, c net.Conn, _, _ *net.TCPConn) (int, error) { return c.Read(nil) },
		"of nothing":   func(t *testing.T, c net.Conn, _, _ *net.TCPConn) (int, error) { return c.Write(nil) },
		"its end": func(t *testing.T, c net.Conn, _, peer *net.TCPConn) (int, error) {
			_ = peer.CloseWrite()
			return read(c)
		},
		"reset while it reads": func(t *testing.T, c net.Conn, _, peer *net.TCPConn) (int, error) {
			_ = peer.SetLinger(0)
			peer.Close()
			return read(c)
		},
		"reset before it writes": func(t *testing.T, c net.Conn, _, peer *net.TCPConn) (int, error) {
			_ = peer.SetLinger(0)
			peer.Close()
			_, _ = read(c)
			return c.Write([]byte("abc"))
		},
		"past its deadline": func(t *testing.T, c net.Conn, _, _ *net.TCPConn) (int, error) {
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			return read(c)
		},
		"deadline over before": func(t *testing.T, c net.Conn, _, _ *net.TCPConn) (int, error) {
			_ = c.SetWriteDeadline(time.Now().Add(-time.Second))
			return c.Write([]byte("abc"))
		},
		"closed": func(t *testing.T, c net.Conn, ours, _ *net.TCPConn) (int, error) {
			ours.Close()
			return read(c)
		},
		"closed while it reads": func(t *testing.T, c net.Conn, ours, _ *net.TCPConn) (int, error) {
			time.AfterFunc(20*time.Millisecond, func() { ours.Close() })
			return read(c)
		},
		"half closed before it writes": func(t *testing.T, c net.Conn, ours, _ *net.TCPConn) (int, error) {
			_ = ours.CloseWrite()
			return c.Write([]byte("abc"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours, peer := pair(t)
			n, err := try(t, ours, ours, peer)
			want := seen(n, err)
			ours, peer = pair(t)
			n, err = try(t, Conn(ours), ours, peer)
			if got := seen(n, err); got != want {
				t.Errorf("%s, and a TCP connection %s", got, want)
			}
		})
	}
	ours, _ := pair(t)
	ours.Close()
	if _, err := Conn(ours).Write([]byte("abc")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("of a closed one: %v", err)
	}
}

// A deadline that is taken back or moved rings all the same, unheard, also for who looks at the
// socket by itself, as go-redis does before each command.
func TestADirectConnectionOutlivesDeadlinesThatWereMoved(t *testing.T) {
	ours, peer := pair(t)
	c := Conn(ours)
	sys, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, later := range map[string]time.Time{"taken back": {}, "moved": time.Now().Add(time.Minute)} {
		_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
		_ = c.SetDeadline(later)
		time.AfterFunc(60*time.Millisecond, func() { _, _ = peer.Write([]byte("ab")) })
		b := make([]byte, 1)
		if n, err := c.Read(b); n != 1 || err != nil {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
		_ = c.SetDeadline(later)
		<-time.After(40 * time.Millisecond)
		called := false
		if err := sys.Read(func(uintptr) bool { called = true; return true }); err != nil || !called {
			t.Errorf("%s: called back: %t, %v", name, called, err)
		}
		if n, err := c.Write(b); n != 1 || err != nil {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if n, err := c.Read(b); n != 1 || err != nil {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	if err := sys.Control(func(uintptr) {}); err != nil {
		t.Error(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if err := sys.Read(func(uintptr) bool { return false }); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past its deadline: %v", err)
	}
}

// More than the sockets' buffers hold, to a peer that takes it in pieces and rests.
func TestADirectConnectionMovesAllOfWhatItsPeerTakesSlowly(t *testing.T) {
	ours, peer := pair(t)
	c := Conn(ours)
	sent := make([]byte, 16<<20)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	var wrote int
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		wrote, failed = c.Write(sent)
	}()
	var got bytes.Buffer
	for got.Len() < len(sent) {
		if _, err := io.CopyN(&got, peer, min(3<<20, int64(len(sent)-got.Len()))); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Millisecond)
	}
	<-done
	if wrote != len(sent) || failed != nil || !bytes.Equal(got.Bytes(), sent) {
		t.Fatalf("%d of %d bytes, %v; what came is the same: %t", wrote, len(sent), failed, bytes.Equal(got.Bytes(), sent))
	}
	// Who takes nothing any more is cut off, and it is said how much had gone.
	_ = c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	n, err := c.Write(sent)
	if n == 0 || n >= len(sent) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Several writers and readers, as net.Conn allows: what one writes stays together.
func TestADirectConnectionIsForSeveralAtOnce(t *testing.T) {
	ours, peer := pair(t)
	c := Conn(ours)
	const writers, each = 8, 200
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range each {
				if _, err := c.Write(bytes.Repeat([]byte{byte('a' + w)}, 1000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		b := make([]byte, 1000)
		for range writers * each {
			if _, err := io.ReadFull(peer, b); err != nil {
				t.Error(err)
				return
			}
			if bytes.Count(b, b[:1]) != len(b) {
				t.Error("two writers in one piece")
				return
			}
			if _, err := peer.Write(b[:1]); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var mu sync.Mutex
	back := map[byte]int{}
	for range writers {
		all.Go(func() {
			b := make([]byte, 1)
			for range each {
				if _, err := c.Read(b); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				back[b[0]]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for w := range writers {
		if n := back[byte('a'+w)]; n != each {
			t.Errorf("%d of %d came back to writer %d", n, each, w)
		}
	}
}

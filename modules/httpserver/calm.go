package httpserver

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// calm listens for a server whose handlers go on when a client has gone: what a page sent
// while it closed is stored all the same. So nobody need watch a connection while its request
// is answered, for which net/http starts a goroutine that reads one byte, and has to be
// stopped, by deadlines, before the next request; where a request waits for a store, that is a
// system call and two switches of goroutines a request. And of the deadlines that net/http sets,
// half a dozen a request, those that come later than the one before cost no timer.
//
// A client that hangs up is noticed when he is answered, or asks no more. How bytes are moved: direct.
type calm struct{ net.Listener }

func (l calm) Accept() (net.Conn, error) {
	in, err := l.Listener.Accept()
	tcp, ok := in.(*net.TCPConn)
	if !ok {
		return in, err
	}
	c := &calmConn{Conn: direct(tcp), tcp: tcp}
	c.read.set, c.write.set = tcp.SetReadDeadline, tcp.SetWriteDeadline
	return c, nil
}

// calmConn is a connection of such a server.
type calmConn struct {
	net.Conn    // and no more of tcp, which would write behind our back
	tcp         *net.TCPConn
	read, write lazy
	asked       atomic.Bool // for a single byte, and nothing was read or written since
}

// CloseWrite lets a client that still sends read its answer.
func (c *calmConn) CloseWrite() error { return c.tcp.CloseWrite() }

// Read reads nothing where it is asked for a single byte, for so asks who watches; all others
// read into buffers. A buffer that a long header has filled but for one byte asks so too, and
// asks again when it got nothing: then it gets its byte.
func (c *calmConn) Read(p []byte) (int, error) {
	single := len(p) == 1
	if again := c.asked.Swap(single); single && !again {
		return 0, nil
	}
	for {
		n, err := c.Conn.Read(p)
		if n > 0 || err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || c.read.passed() {
			return n, err
		}
	}
}

func (c *calmConn) Write(p []byte) (n int, err error) {
	c.asked.Store(false)
	for {
		m, err := c.Conn.Write(p[n:])
		if n += m; err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || c.write.passed() {
			return n, err
		}
	}
}

func (c *calmConn) SetReadDeadline(t time.Time) error  { return c.read.until(t) }
func (c *calmConn) SetWriteDeadline(t time.Time) error { return c.write.until(t) }

func (c *calmConn) SetDeadline(t time.Time) error {
	return errors.Join(c.read.until(t), c.write.until(t))
}

// lazy is a deadline whose timer is set anew when it would ring too late. One that rings too
// early is set anew by whoever it woke.
type lazy struct {
	set func(time.Time) error

	mu         sync.Mutex
	end, rings time.Time // zero: never
}

func (d *lazy) until(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end = t
	if t.IsZero() || !d.rings.IsZero() && !t.Before(d.rings) {
		return nil
	}
	d.rings = t
	return d.set(t)
}

// passed reports whether the deadline is over, after its timer has rung.
func (d *lazy) passed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.end.IsZero() && !time.Now().Before(d.end) {
		return true
	}
	d.rings = d.end
	return d.set(d.end) != nil
}

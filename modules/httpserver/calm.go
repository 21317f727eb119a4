package httpserver

import (
	"net"
	"sync/atomic"

	"github.com/miq/pixel/modules/direct"
)

// calm listens for a server whose handlers go on when a client has gone: what a page sent
// while it closed is stored all the same. So nobody need watch a connection while its request
// is answered, for which net/http starts a goroutine that reads one byte, and has to be
// stopped, by deadlines, before the next request; where a request waits for a store, that is a
// system call and two switches of goroutines a request.
//
// A client that hangs up is noticed when he is answered, or asks no more.
type calm struct{ net.Listener }

func (l calm) Accept() (net.Conn, error) {
	in, err := l.Listener.Accept()
	tcp, ok := in.(*net.TCPConn)
	if !ok {
		return in, err
	}
	return &calmConn{Conn: direct.Conn(tcp), tcp: tcp}, nil
}

// calmConn is a connection of such a server.
type calmConn struct {
	net.Conn // and no more of tcp, which would write behind our back
	tcp      *net.TCPConn
	asked    atomic.Bool // for a single byte, and nothing was read or written since
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
	return c.Conn.Read(p)
}

func (c *calmConn) Write(p []byte) (int, error) {
	c.asked.Store(false)
	return c.Conn.Write(p)
}

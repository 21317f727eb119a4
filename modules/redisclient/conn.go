package redisclient

import (
	"context"
	"net"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/direct"
)

// dialer connects as go-redis does, without TLS.
func dialer(timeout time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial := redis.NewDialer(&redis.Options{DialTimeout: timeout})
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: direct.Conn(c)}, nil
	}
}

// fresh is how long after an answer a connection counts as alive without a look.
const fresh = time.Second

// conn is a connection whose answers are direct. Before each command go-redis looks by a system
// call of its own whether the server has hung up, so that what it left in the pool is not found
// out by commands that fail. One that answered a moment ago is spared that: it was 4 % of what a
// collector does, docs/decisions/0024.
type conn struct {
	net.Conn
	answered time.Time
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.answered = time.Now()
	}
	return n, err
}

// SyscallConn is what go-redis looks by.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if time.Since(c.answered) < fresh {
		return unseen{}, nil
	}
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return unseen{}, nil
	}
	return s.SyscallConn()
}

// unseen has nobody look.
type unseen struct{ syscall.RawConn }

func (unseen) Read(func(fd uintptr) bool) error { return nil }

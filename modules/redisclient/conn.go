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
		s, ok := direct.Conn(c).(socket)
		if !ok {
			return c, nil // and go-redis does not look at it either
		}
		return &conn{socket: s}, nil
	}
}

type socket interface {
	net.Conn
	syscall.Conn
}

// fresh is how long after an answer a connection counts as alive without a look.
const fresh = time.Second

// conn is a connection whose answers are direct. Before each command go-redis looks by a system
// call of its own whether the server has hung up, so that what it left in the pool is not found
// out by commands that fail. One that answered a moment ago is spared that: docs/decisions/0024.
type conn struct {
	socket
	answered time.Time
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.socket.Read(p)
	if n > 0 {
		c.answered = time.Now()
	}
	return n, err
}

// SyscallConn is what go-redis looks by.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.socket.SyscallConn()
	if err == nil && time.Since(c.answered) < fresh {
		raw = unseen{raw}
	}
	return raw, err
}

// unseen has nobody look: who is not called back finds nothing wrong.
type unseen struct{ syscall.RawConn }

func (unseen) Read(func(fd uintptr) bool) error { return nil }

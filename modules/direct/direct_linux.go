// Package direct spares a connection that much goes through what Go's runtime does for any.
//
// The scheduler is told of a system call because that may block, and takes away the processor of
// one that lasts some twenty microseconds. A socket's never blocks; but whom the bytes wake, a
// Redis or a client on the same machine, often runs at once, in the writer's place. Then each
// write was followed by a change of threads, there and back, for nothing: docs/decisions/0024.
// And a deadline that is moved with each request costs a timer each time: docs/decisions/0020.
package direct

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Conn is c, a connection of TCP or a Unix socket, without that. What its methods return is what
// those of c do. Any other connection is returned as it is.
func Conn(c net.Conn) net.Conn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c // which is closed, and says so itself
	}
	d := &conn{Conn: c}
	d.in = way{name: "read", call: syscall.SYS_READ, wait: raw.Read, lazy: lazy{set: c.SetReadDeadline}}
	d.out = way{name: "write", call: syscall.SYS_WRITE, wait: raw.Write, lazy: lazy{set: c.SetWriteDeadline}}
	d.in.try, d.out.try = d.in.move, d.out.move
	d.raw = &patient{raw, d}
	return d
}

type conn struct {
	net.Conn
	raw     syscall.RawConn
	in, out way
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.in.until(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.until(t) }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.in.until(t), c.out.until(t))
}

// SyscallConn is for who looks whether the other end is still there.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// patient is a conn's RawConn, which knows its deadlines.
type patient struct {
	syscall.RawConn
	c *conn
}

func (p *patient) Read(f func(fd uintptr) bool) error  { return p.c.in.when(f) }
func (p *patient) Write(f func(fd uintptr) bool) error { return p.c.out.when(f) }

func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.in.all(p)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, c.told(&c.in, err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.out.all(p)
	return n, c.told(&c.out, err)
}

// told dresses an error as the net package does, by which others know it.
func (c *conn) told(w *way, err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case syscall.Errno:
		err = os.NewSyscallError(w.name, e)
	case *net.OpError:
		err = e.Err // of "raw-read": closed, or past its deadline
	}
	return &net.OpError{Op: w.name, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// way is one direction. Its callback is made once: a closure for each call would be garbage.
type way struct {
	name string
	call uintptr                           // the system call
	wait func(func(fd uintptr) bool) error // calls back until the answer is true, and waits in between
	try  func(fd uintptr) bool             // move
	lazy

	one   sync.Mutex // at a time
	p     []byte
	n     int // bytes moved
	errno syscall.Errno
}

// all moves p, or of what is read as much as is there.
func (w *way) all(p []byte) (int, error) {
	w.one.Lock()
	defer w.one.Unlock()
	w.p, w.n, w.errno = p, 0, 0
	err := w.when(w.try)
	w.p = nil
	if err == nil && w.errno != 0 {
		err = w.errno
	}
	return w.n, err
}

// when waits for as long as there is time.
func (w *way) when(f func(fd uintptr) bool) error {
	for {
		err := w.wait(f)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || w.passed() {
			return err
		}
	}
}

// move reports whether there is nothing to wait for.
func (w *way) move(fd uintptr) bool {
	for w.n < len(w.p) {
		rest := w.p[w.n:]
		n, _, errno := syscall.RawSyscall(w.call, fd, uintptr(unsafe.Pointer(&rest[0])), uintptr(len(rest)))
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case 0:
			w.n += int(n)
		}
		if w.errno = errno; errno != 0 || w.call == syscall.SYS_READ {
			return true
		}
	}
	return true
}

package httpserver

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// direct reads and writes a connection without telling Go's scheduler. It is told of a system
// call because that may block, and takes away the processor of one that lasts some twenty
// microseconds. A socket's never blocks; but whom an answer wakes often runs at once, in the
// writer's place, so that of many answers written one after another each was followed by a
// change of threads, back and forth, for nothing: docs/decisions/0024.
func direct(tcp *net.TCPConn) net.Conn {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return tcp // which is closed, and says so itself
	}
	s := &socket{Conn: tcp}
	s.in = way{name: "read", call: syscall.SYS_READ, when: raw.Read}
	s.out = way{name: "write", call: syscall.SYS_WRITE, when: raw.Write}
	s.in.try, s.out.try = s.in.move, s.out.move
	return s
}

// socket is such a connection. What it returns is what a net.TCPConn would.
type socket struct {
	net.Conn
	in, out way
}

func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.in.all(p)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, s.told(&s.in, err)
}

func (s *socket) Write(p []byte) (int, error) {
	n, err := s.out.all(p)
	return n, s.told(&s.out, err)
}

// told dresses an error as the net package does, by which net/http knows it.
func (s *socket) told(w *way, err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case syscall.Errno:
		err = os.NewSyscallError(w.name, e)
	case *net.OpError:
		err = e.Err // of "raw-read": closed, or past its deadline
	}
	return &net.OpError{Op: w.name, Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

// way is one direction. Its callback is made once: a closure for each call would be garbage.
type way struct {
	name string
	call uintptr                           // the system call
	when func(func(fd uintptr) bool) error // waits until the callback has done what it can
	try  func(fd uintptr) bool             // move

	mu    sync.Mutex
	p     []byte
	n     int // bytes moved
	errno syscall.Errno
}

// all moves p, or of what is read as much as is there.
func (w *way) all(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.p, w.n, w.errno = p, 0, 0
	err := w.when(w.try)
	w.p = nil
	if err == nil && w.errno != 0 {
		err = w.errno
	}
	return w.n, err
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

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// line is one connection, with at most one request under way.
type line struct {
	number int32
	fd     int // -1: not connected
	poll   int
	due    time.Time // when the request under way should have been sent; zero: none is
	buffer [16 << 10]byte
	have   int
}

// dial connects, and leaves the connection to us alone, without Go's own poller.
func (l *line) dial(host string) error {
	c, err := net.DialTimeout("tcp", host, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	if ctl := raw.Control(func(fd uintptr) { l.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }); ctl != nil || err != nil {
		return errors.Join(ctl, err)
	}
	l.have = 0
	// The copy shares what the original set: it does not block, nor gather small writes.
	return unix.EpollCtl(l.poll, unix.EPOLL_CTL_ADD, l.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: l.number})
}

func (l *line) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
		l.fd = -1
	}
}

// write sends a request whole: what is under way fits into the socket's buffer,
// as the one before was answered.
func (l *line) write(request []byte, host string) error {
	if l.fd < 0 {
		if err := l.dial(host); err != nil {
			return err
		}
	}
	l.have = 0
	n, err := unix.Write(l.fd, request)
	if err == nil && n < len(request) {
		return fmt.Errorf("only %d of %d bytes could be written", n, len(request))
	}
	return err
}

// read reads what is there, and reports whether the answer is whole.
func (l *line) read() (status int, whole bool, err error) {
	if l.have == len(l.buffer) {
		return 0, false, fmt.Errorf("an answer of more than %d bytes", l.have)
	}
	n, err := unix.Read(l.fd, l.buffer[l.have:])
	switch {
	case err == unix.EAGAIN:
		return 0, false, nil
	case err != nil:
		return 0, false, err
	case n == 0:
		return 0, false, io.ErrUnexpectedEOF
	}
	l.have += n
	return answered(l.buffer[:l.have])
}

var (
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("\r\nContent-Length: ") // as Go writes it
)

// answered reads as much of an answer as says whether it is whole.
func answered(b []byte) (status int, whole bool, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return 0, false, nil
	}
	head := b[:end+2]
	if len(head) < len("HTTP/1.1 200") {
		return 0, false, errors.New("no HTTP")
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, false, err
	}
	at := bytes.Index(head, contentLength)
	if at < 0 {
		return 0, false, errors.New("an answer without a length")
	}
	digits := head[at+len(contentLength):]
	length, err := strconv.Atoi(string(digits[:bytes.IndexByte(digits, '\r')]))
	if err != nil {
		return 0, false, err
	}
	return status, len(b) >= end+len(headEnd)+length, nil
}

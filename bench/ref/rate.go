package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// constantRate is an open loop: a request is due at its time, whether the one
// before was answered or not, and its latency counts from then. So it sees the
// wait for a target that is too slow, which wrk's closed loop hides. It writes and
// reads HTTP by itself, since it shares the machine with what it measures, and a
// client of comfort costs more than that.
func constantRate(target, format, header string, rate, batch, conns int, d time.Duration) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	head := " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: " + userAgent + "\r\n"
	for _, line := range strings.Split(header, "|") {
		if line != "" {
			head += line + "\r\n"
		}
	}
	var n atomic.Uint64
	run := uint64(time.Now().UnixNano())
	request := func(to *bytes.Buffer) {
		to.Reset()
		if format == "pixel" {
			to.WriteString("GET " + u.Path + query(run, n.Add(1)) + head + "\r\n")
			return
		}
		b := body(run, n.Add(uint64(batch)), batch)
		to.WriteString("POST " + u.Path + head + "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(b)) + "\r\n\r\n")
		to.Write(b)
	}

	total := int(d.Seconds() * float64(rate))
	due := make(chan time.Time, total)
	start := time.Now()
	go func() {
		defer close(due)
		for i := range total {
			at := start.Add(time.Duration(float64(i) / float64(rate) * float64(time.Second)))
			if wait := time.Until(at); wait > 0 {
				time.Sleep(wait)
			}
			// Up to two milliseconds are how coarse an idle process sleeps, and not
			// the target's; more is a machine that is too busy to ask in time.
			if now := time.Now(); now.Sub(at) < 2*time.Millisecond {
				at = now
			}
			due <- at
		}
	}()
	lines := make([]line, conns)
	var all sync.WaitGroup
	for i := range lines {
		all.Go(func() { lines[i].serve(u.Host, due, request) })
	}
	all.Wait()
	took := time.Since(start)

	var sum line
	for i := range lines {
		sum.latencies = append(sum.latencies, lines[i].latencies...)
		sum.refused, sum.broken = sum.refused+lines[i].refused, sum.broken+lines[i].broken
	}
	slices.Sort(sum.latencies)
	us := func(q float64) int64 {
		if len(sum.latencies) == 0 {
			return 0
		}
		return sum.latencies[min(len(sum.latencies)-1, int(q*float64(len(sum.latencies))))].Microseconds()
	}
	fmt.Printf("RESULT requests=%d dur_us=%d errs=%d bad=%d p50_us=%d p99_us=%d p999_us=%d max_us=%d offered=%d\n",
		total, took.Microseconds(), sum.refused, sum.broken, us(.5), us(.99), us(.999), us(1), rate)
	return nil
}

// line is one connection and what it saw.
type line struct {
	conn            net.Conn
	read            *bufio.Reader
	latencies       []time.Duration
	refused, broken int
}

// serve sends what is due until nothing is any more.
func (l *line) serve(host string, due <-chan time.Time, request func(*bytes.Buffer)) {
	var out bytes.Buffer
	for at := range due {
		request(&out)
		status, err := l.ask(host, out.Bytes())
		switch {
		case err != nil:
			l.broken++
			if l.conn != nil {
				l.conn.Close()
				l.conn = nil
			}
		case status < 200 || status > 299:
			l.refused++
		}
		l.latencies = append(l.latencies, time.Since(at))
	}
	if l.conn != nil {
		l.conn.Close()
	}
}

// ask sends a request and reads its answer.
func (l *line) ask(host string, request []byte) (status int, err error) {
	if l.conn == nil {
		if l.conn, err = net.DialTimeout("tcp", host, 5*time.Second); err != nil {
			return 0, err
		}
		l.read = bufio.NewReader(l.conn)
	}
	if _, err := l.conn.Write(request); err != nil {
		return 0, err
	}
	first, err := l.read.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(first) < len("HTTP/1.1 200") {
		return 0, errors.New("no HTTP")
	}
	if status, err = strconv.Atoi(string(first[9:12])); err != nil {
		return 0, err
	}
	length := -1
	for {
		header, err := l.read.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		header = bytes.TrimRight(header, "\r\n")
		if len(header) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(header, []byte(":")); ok && http.CanonicalHeaderKey(string(name)) == "Content-Length" {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("an answer without a length")
	}
	_, err = io.CopyN(io.Discard, l.read, int64(length))
	return status, err
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// constantRate is an open loop: a request is due at its time, whether the one
// before was answered or not, and its latency counts from then. So it sees the
// wait for a target that is too slow, which wrk's closed loop hides.
//
// It shares two cores with what it measures, and stands for clients that are elsewhere and
// have processors of their own. So it is one thread that comes before all others, where it
// may (see first), but disturbs them as little as can be: it looks every half millisecond what
// is due and what was answered (wrk2, which is made for this, every millisecond), and sleeps
// in between. Were it woken by each answer, whoever wrote that would have to stand aside
// for it at once. What it cost a request is printed, how late it was itself, as lag, and how
// long it was ready and had no processor: where lag is as large as the latencies, they are
// the machine's.
func constantRate(target, format, header string, rate, batch, conns int, d time.Duration) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	if rate < 1 || conns < 1 || d <= 0 {
		return errors.New("-rate, -conns and -secs must be at least 1")
	}
	p := &pace{
		host: u.Host, pages: pages(u, format, header, batch),
		every: float64(time.Second) / float64(rate), total: int(d.Seconds() * float64(rate)),
	}
	p.latencies, p.lags = make([]time.Duration, 0, p.total), make([]time.Duration, 0, p.total)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ahead := first()
	waited := ownWait()
	took, err := p.run(conns)
	waited = ownWait() - waited
	if err != nil {
		return err
	}
	slices.Sort(p.latencies)
	slices.Sort(p.lags)
	us := func(sorted []time.Duration, q float64) int64 {
		if len(sorted) == 0 {
			return 0
		}
		return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Microseconds()
	}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		return err
	}
	fmt.Printf("RESULT requests=%d dur_us=%d errs=%d bad=%d p50_us=%d p99_us=%d p999_us=%d max_us=%d lag_p99_us=%d own_cpu_us=%d own_wait_us=%d first=%d offered=%d\n",
		p.total, took.Microseconds(), p.refused, p.broken,
		us(p.latencies, .5), us(p.latencies, .99), us(p.latencies, .999), us(p.latencies, 1), us(p.lags, .99),
		(own.Utime.Nano()+own.Stime.Nano())/int64(max(1, p.total))/1000, waited.Microseconds()/int64(max(1, p.total)), ahead, rate)
	return nil
}

// first lets this thread run whenever it is ready, before whatever else is, and returns 1
// where that was allowed. It sleeps most of the time, and the kernel leaves a twentieth of
// each second to the others whatever it does.
func first() int {
	attr := unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: 1}
	if unix.SchedSetAttr(0, &attr, 0) != nil {
		return 0
	}
	return 1
}

// ownWait is how long this thread was ready to run and had no processor; 0 where the
// kernel does not say.
func ownWait() time.Duration {
	b, err := os.ReadFile("/proc/thread-self/schedstat")
	if err != nil {
		return 0
	}
	var ran, waited int64
	if _, err := fmt.Sscan(string(b), &ran, &waited); err != nil {
		return 0
	}
	return time.Duration(waited)
}

// pace is what is due, and what was seen.
type pace struct {
	host  string
	pages []page
	every float64 // nanoseconds between two requests
	total int

	start           time.Time
	sent, answered  int
	lines           []*line
	free            []*line // those that have no request under way
	made            uint64  // events
	latencies, lags []time.Duration
	refused, broken int
}

// lastAnswer is how long after the last request its answer is waited for.
const lastAnswer = 30 * time.Second

// tick is how often it is looked what is due, and what was answered. What waits for the
// next tick is late, and counts as latency: up to two ticks of it are the tool's.
const tick = 500 * time.Microsecond

func (p *pace) due(n int) time.Duration { return time.Duration(float64(n) * p.every) }

// run sends all requests, and returns once all are answered.
func (p *pace) run(conns int) (time.Duration, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return 0, err
	}
	defer unix.Close(poll)
	for i := range conns {
		l := &line{number: int32(i), fd: -1, poll: poll}
		defer l.close()
		if err := l.dial(p.host); err != nil {
			return 0, err
		}
		p.lines, p.free = append(p.lines, l), append(p.free, l)
	}
	events := make([]unix.EpollEvent, conns)
	p.start = time.Now()
	for p.answered < p.total {
		n, err := unix.EpollWait(poll, events, 0)
		if err != nil && err != unix.EINTR {
			return 0, err
		}
		full := len(p.free) == 0
		for _, e := range events[:max(0, n)] {
			p.receive(p.lines[e.Fd])
		}
		for p.sent < p.total && len(p.free) > 0 && time.Since(p.start) >= p.due(p.sent) {
			p.send(!full)
		}
		now := time.Since(p.start)
		if now > p.due(p.total)+lastAnswer {
			p.broken += p.total - p.answered
			break
		}
		rest := unix.NsecToTimespec(int64(tick - now%tick))
		if err := unix.Nanosleep(&rest, nil); err != nil && err != unix.EINTR {
			return 0, err
		}
	}
	return time.Since(p.start), nil
}

// send sends the request that is due; ours says that it could have been sent before.
func (p *pace) send(ours bool) {
	l := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	l.due = p.start.Add(p.due(p.sent))
	g := &p.pages[p.sent%len(p.pages)]
	p.sent++
	for _, at := range g.holes {
		p.made++
		strconv.AppendUint(g.request[at:at], 1<<44|p.made, 16) // twelve digits, as the hole has
	}
	if ours { // else it may be late since the target is
		p.lags = append(p.lags, time.Since(l.due))
	}
	if err := l.write(g.request, p.host); err != nil {
		p.done(l, 0, err)
	}
}

// receive reads what came of an answer.
func (p *pace) receive(l *line) {
	status, whole, err := l.read()
	if l.due.IsZero() { // nothing was asked: the target closes the line
		l.close()
		return
	}
	if whole || err != nil {
		p.done(l, status, err)
	}
}

func (p *pace) done(l *line, status int, err error) {
	switch {
	case err != nil:
		p.broken++
		l.close()
	case status < 200 || status > 299:
		p.refused++
	}
	p.latencies = append(p.latencies, time.Since(l.due))
	p.answered++
	l.due = time.Time{}
	p.free = append(p.free, l)
}

// page is a request with holes for the numbers of its events.
type page struct {
	request []byte
	holes   []int
}

// pages are the requests of the 64 pages of a shop.
func pages(u *url.URL, format, header string, batch int) []page {
	head := " HTTP/1.1\r\nHost: " + u.Host + "\r\nUser-Agent: " + userAgent + "\r\n"
	for _, line := range strings.Split(header, "|") {
		if line != "" {
			head += line + "\r\n"
		}
	}
	run := uint64(time.Now().UnixNano())
	out := make([]page, 64)
	for i := range out {
		if format == "pixel" {
			out[i].request = []byte("GET " + u.Path + query(run, i) + head + "\r\n")
		} else {
			b := body(run, i, batch)
			out[i].request = []byte("POST " + u.Path + head + "Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(b)) + "\r\n\r\n" + b)
		}
		for from := 0; ; {
			at := bytes.Index(out[i].request[from:], []byte(hole))
			if at < 0 {
				break
			}
			out[i].holes = append(out[i].holes, from+at)
			from += at + len(hole)
		}
	}
	return out
}

// Package simulate makes traffic as web shops have it: visitors who come back, campaigns,
// what they agree to, robots, the hours of the day. It sends it to collectors at a chosen
// rate and checks afterwards that what went in came out. It also plans: what so many
// events a day need, by what an event was measured to cost.
//
// The same seed makes the same visits, whatever machine they run on and however fast they
// are sent; ids alone are new each time, so that a second run is no repeat of the first.
package simulate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Options say what traffic is made, and where it goes.
type Options struct {
	Seed       uint64
	Collectors []string // base addresses, taken in turn
	Rate       float64  // events a second on average
	Length     time.Duration
	Events     int // ends it earlier, after about so many; 0: no bound
	// Day is how long a simulated day takes, whose hours are as busy as shops' are; 0: the
	// rate is the same all the time.
	Day      time.Duration
	Shops    []Shop
	Visitors int     // of each shop
	Robots   float64 // the share of visits
	// Patience is how long a request that is not answered is sent again.
	Patience time.Duration
	// Every is how often Tell hears how it goes; nil: nobody.
	Every time.Duration
	Tell  func(Moment)

	prefix string
}

// Moment is how it went since the one before.
type Moment struct {
	At       time.Duration // since the beginning
	Events   int
	Failed   int     // requests that were not answered at first
	Rate     float64 // events a second
	P50, P99 time.Duration
}

// fate is what became of an event.
type fate uint8

const (
	open       fate = iota // nobody answered for it
	accepted               // it is durable
	suppressed             // there was no consent to keep it
	rejected               // it was not as it should be
)

// Run is what was sent, event by event.
type Run struct {
	Began, Ended time.Time
	Requests     int // the repeats too
	Failed       int // of them, those that were not answered well at first
	Why          map[string]int
	Events       int
	Conversions  int
	Latency      Latency

	prefix string
	shops  []Shop
	mu     sync.Mutex
	fates  []fate
	since  Moment
	recent Latency
}

// Count is how many events had a fate.
func (r *Run) count(f fate) (n int) {
	for _, x := range r.fates[:r.Events] {
		if x == f {
			n++
		}
	}
	return n
}

// atOnce is how many requests are on their way at most, so that a stuck server does not
// exhaust us.
const atOnce = 1024

// Send makes the traffic and sends it, in an open loop: what is due is sent whatever the
// answers before, and a wait counts from when it was due. It ends when the time is over
// or ctx is, and all that was sent is answered or given up.
func Send(ctx context.Context, o Options) (*Run, error) {
	if len(o.Collectors) == 0 || o.Rate <= 0 || len(o.Shops) == 0 || o.Visitors < 1 {
		return nil, errors.New("simulate: a collector, a rate, a shop and a visitor are needed")
	}
	if o.Patience <= 0 {
		o.Patience = time.Minute
	}
	if o.Every <= 0 {
		o.Every = 10 * time.Second
	}
	began := time.Now()
	o.prefix = fmt.Sprintf("sim-%x-%s-", o.Seed, strconv.FormatInt(began.UnixMilli(), 36))
	r := &Run{Began: began, Why: map[string]int{}, prefix: o.prefix, shops: o.Shops}
	// A connection is given up before the collector does it: who meets that moment gets no answer.
	s := &sender{Run: r, o: o, client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxConnsPerHost: 512, IdleConnTimeout: time.Minute}}}
	defer s.client.CloseIdleConnections()

	c := newCrowd(o)
	gaps := rand.New(rand.NewPCG(o.Seed, 0x9a95))
	slots := make(chan struct{}, atOnce) // what waits for one counts
	var all sync.WaitGroup
	ctx, stop := context.WithTimeout(ctx, o.Length)
	defer stop()
	telling := make(chan struct{})
	go func() {
		defer close(telling)
		tick := time.NewTicker(o.Every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.tell()
			}
		}
	}()
	due := began
	for turn := 0; ctx.Err() == nil && (o.Events == 0 || c.events < o.Events); turn++ {
		if wait := time.Until(due); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
			if ctx.Err() != nil {
				break
			}
		}
		q := c.next(due.UTC())
		s.made(q)
		url, at := o.Collectors[turn%len(o.Collectors)], due
		held := true
		select {
		case slots <- struct{}{}:
		case <-ctx.Done(): // all are taken at the end: the last goes without, and gives none back
			held = false
		}
		all.Go(func() {
			if held {
				defer func() { <-slots }()
			}
			s.deliver(q, url, at)
			if q.again {
				s.deliver(q, url, time.Now())
			}
		})
		due = due.Add(time.Duration(gaps.ExpFloat64() * float64(q.events) / s.rate(due) * float64(time.Second)))
	}
	stop()
	all.Wait()
	<-telling
	s.tell()
	r.Ended = time.Now()
	return r, nil
}

// rate is how many events a second are due at a moment.
func (s *sender) rate(at time.Time) float64 {
	if s.o.Day <= 0 {
		return s.o.Rate
	}
	passed := time.Duration(float64(at.Sub(s.Began)) * float64(24*time.Hour) / float64(s.o.Day))
	return s.o.Rate * Season(s.Began.Add(passed))
}

func (s *sender) tell() {
	s.mu.Lock()
	m := Moment{At: time.Since(s.Began), Events: s.Events - s.since.Events, Failed: s.Failed - s.since.Failed, P50: s.recent.Quantile(0.5), P99: s.recent.Quantile(0.99)}
	m.Rate = float64(m.Events) / max(time.Millisecond, m.At-s.since.At).Seconds()
	s.since = Moment{At: m.At, Events: s.Events, Failed: s.Failed}
	s.recent = Latency{}
	s.mu.Unlock()
	if s.o.Tell != nil && m.Events > 0 {
		s.o.Tell(m)
	}
}

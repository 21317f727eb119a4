// Package stopwatch times the parts of what is done with each event. Such a part takes
// less than a microsecond, and looking at the clock a tenth of one: so it is done for one
// event in 64.
package stopwatch

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sample is how many events come for one whose parts are timed.
const sample = 64

// Sampled is a histogram of what each enrichment takes, in seconds.
type Sampled struct {
	*prometheus.HistogramVec
	turn atomic.Uint32
}

// New returns one with the parts that it will be told of: they are there from the start,
// since which event is timed is chance.
func New(name, help string, parts ...string) *Sampled {
	s := &Sampled{HistogramVec: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets: []float64{1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3},
	}, []string{"enrichment"})}
	for _, p := range parts {
		s.WithLabelValues(p)
	}
	return s
}

// Watch times the parts of one event, if it is its turn. The zero value times nothing.
type Watch struct {
	of    *Sampled
	last  time.Time
	spent []spent
}

type spent struct {
	part string
	time time.Duration
}

// Start begins with an event.
func (s *Sampled) Start() Watch {
	if s.turn.Add(1)%sample != 0 {
		return Watch{}
	}
	return Watch{of: s, last: time.Now()}
}

// Done notes that what was done since was for a part, which may be done bit by bit.
func (w *Watch) Done(part string) {
	if w.of == nil {
		return
	}
	now := time.Now()
	took := now.Sub(w.last)
	w.last = now
	for i := range w.spent {
		if w.spent[i].part == part {
			w.spent[i].time += took
			return
		}
	}
	w.spent = append(w.spent, spent{part, took})
}

// End observes what each part took.
func (w *Watch) End() {
	for _, s := range w.spent {
		w.of.WithLabelValues(s.part).Observe(s.time.Seconds())
	}
}

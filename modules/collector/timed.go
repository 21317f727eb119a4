package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What is done to events before they are accepted that a pixel can see the time of.
const (
	ofClock    = "clock"
	ofCleaning = "cleaning"
)

// sample is how many events come for one whose parts are timed.
const sample = 64

func newSeconds() *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "pixel_collector_enrichment_seconds", Help: "Time that setting a clock right and taking personal data out of the properties took for one event, of every 64th event.",
		Buckets: []float64{1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3},
	}, []string{"enrichment"})
	v.WithLabelValues(ofClock)
	v.WithLabelValues(ofCleaning)
	return v
}

// stopwatch times the parts of one event, if it is its turn.
type stopwatch struct {
	m    *metrics
	last time.Time
}

func (m *metrics) stopwatch() stopwatch {
	if m.turn.Add(1)%sample != 0 {
		return stopwatch{}
	}
	return stopwatch{m, time.Now()}
}

// done notes that a part is made.
func (w *stopwatch) done(of string) {
	if w.m == nil {
		return
	}
	now := time.Now()
	w.m.enrichment.WithLabelValues(of).Observe(now.Sub(w.last).Seconds())
	w.last = now
}

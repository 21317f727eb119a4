package enrich

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sample is how many events are enriched for one whose parts are timed.
const sample = 64

// metrics are the enricher's. Labels are bounded: kinds and reasons are ours.
type metrics struct {
	seconds *prometheus.HistogramVec
	missing *prometheus.CounterVec
	bots    *prometheus.CounterVec
	turn    atomic.Uint32
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pixel_enrichment_seconds", Help: "Time that one enrichment took for one event, of every 64th event.",
			Buckets: []float64{1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 1e-3},
		}, []string{"enrichment"}),
		missing: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_enrichment_value_missing_total", Help: "Orders without a value in the base currency, by why.",
		}, []string{"reason"}),
		bots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_enrichment_machines_total", Help: "Events of machines, by what gave them away.",
		}, []string{"by"}),
	}
	// There from the start, since which event is timed is chance.
	for _, kind := range enrichments {
		m.seconds.WithLabelValues(kind)
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{m.seconds, m.missing, m.bots} {
			if err := reg.Register(c); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// watch times the parts of one event's enrichment, if it is its turn.
type watch struct {
	m     *metrics
	last  time.Time
	spent []spent
}

type spent struct {
	kind string
	time time.Duration
}

func (m *metrics) watch() watch {
	if m.turn.Add(1)%sample != 0 {
		return watch{}
	}
	return watch{m: m, last: time.Now(), spent: make([]spent, 0, len(enrichments))}
}

// done notes that what was done since was for an enrichment; one may have several parts.
func (w *watch) done(kind string) {
	if w.m == nil {
		return
	}
	now := time.Now()
	took := now.Sub(w.last)
	w.last = now
	for i := range w.spent {
		if w.spent[i].kind == kind {
			w.spent[i].time += took
			return
		}
	}
	w.spent = append(w.spent, spent{kind, took})
}

// end counts what each enrichment took.
func (w *watch) end() {
	for _, s := range w.spent {
		w.m.seconds.WithLabelValues(s.kind).Observe(s.time.Seconds())
	}
}

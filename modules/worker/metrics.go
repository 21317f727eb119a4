package worker

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the worker's.
type Metrics struct {
	steps   *prometheus.HistogramVec
	events  *prometheus.CounterVec
	batches *prometheus.CounterVec
	panics  *prometheus.CounterVec
	repeats *prometheus.CounterVec

	crossings *prometheus.CounterVec
}

// NewMetrics registers the worker's metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pixel_worker_step_seconds", Help: "Time a step took for a batch.",
			Buckets: []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"step"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_worker_events_total", Help: "Events that the worker is done with, by what became of them.",
		}, []string{"outcome"}),
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_worker_batches_total", Help: "Batches: done, handed back untried, or done again one by one.",
		}, []string{"result"}),
		repeats: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_worker_duplicates_total", Help: "Events that came before, by what told so (the event's id, or the order's of a purchase) and by the way this copy came.",
		}, []string{"by", "source"}),
		crossings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_worker_crossings_total", Help: "Events by whose cross-domain token a visitor was known again (linked), or was not: another browser had used it (used), or its visitor no longer allows it (consent).",
		}, []string{"outcome"}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_worker_panics_total", Help: "Panics of a step.",
		}, []string{"step"}),
	}
	for _, c := range []prometheus.Collector{m.steps, m.events, m.batches, m.panics, m.repeats, m.crossings} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	for _, s := range new(Worker).list() {
		m.steps.WithLabelValues(s.name)
		m.panics.WithLabelValues(s.name) // so that the first is an increase
	}
	// All outcomes are there from the start, so that a rate over them is one.
	for _, o := range []string{stored, duplicate, repeated, revoked, suppressed, undecodable, poisoned} {
		m.events.WithLabelValues(o)
	}
	return m, nil
}

package lake

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are of what is written to the store.
type Metrics struct {
	seconds *prometheus.HistogramVec
	bytes   *prometheus.CounterVec
	failed  *prometheus.CounterVec
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pixel_archive_write_seconds", Help: "Time that a write to the archive's store took: wal (before an event's end), parquet, manifest.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"kind"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_archive_written_bytes_total", Help: "Bytes that were written to the archive's store.",
		}, []string{"kind"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_archive_write_failures_total", Help: "Writes that the archive's store refused or did not answer.",
		}, []string{"kind"}),
	}
	for _, c := range []prometheus.Collector{m.seconds, m.bytes, m.failed} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	for _, kind := range []string{"wal", "parquet", "manifest"} {
		m.seconds.WithLabelValues(kind)
		m.failed.WithLabelValues(kind)
	}
	return m, nil
}

// Observe is for Options. A nil Metrics observes nothing.
func (m *Metrics) Observe(kind string, bytes int, took time.Duration, err error) {
	switch {
	case m == nil || errors.Is(err, ErrExists):
		return
	case err != nil:
		m.failed.WithLabelValues(kind).Inc()
		return
	}
	m.seconds.WithLabelValues(kind).Observe(took.Seconds())
	m.bytes.WithLabelValues(kind).Add(float64(bytes))
}

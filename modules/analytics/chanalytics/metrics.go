package chanalytics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count what goes between us and ClickHouse.
type Metrics struct {
	seconds *prometheus.HistogramVec
	rows    *prometheus.CounterVec
	errors  *prometheus.CounterVec
	retries *prometheus.CounterVec
	parts   prometheus.Gauge
	gap     prometheus.Gauge
	passes  *prometheus.CounterVec
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pixel_clickhouse_seconds", Help: "How long ClickHouse took, by what was asked: an insert's table, or a question.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"what"}),
		rows:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pixel_clickhouse_rows_total", Help: "Rows brought to ClickHouse and confirmed, by table."}, []string{"table"}),
		errors:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pixel_clickhouse_errors_total", Help: "What ClickHouse failed at, by what was asked."}, []string{"what"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pixel_clickhouse_retries_total", Help: "Inserts done again after the connection broke, by table."}, []string{"table"}),
		parts:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "pixel_clickhouse_parts", Help: "Active parts of the partition that has most."}),
		gap:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "pixel_clickhouse_gap_seconds", Help: "The pause between two inserts into a table."}),
		passes:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pixel_clickhouse_passes_total", Help: "Hours and days whose series were counted, by source, unit and outcome."}, []string{"source", "unit", "outcome"}),
	}
	r.MustRegister(m.seconds, m.rows, m.errors, m.retries, m.parts, m.gap, m.passes)
	return m
}

func (m *Metrics) inserted(table string, rows int, took time.Duration, err error) {
	m.seconds.WithLabelValues("insert " + table).Observe(took.Seconds())
	if err != nil {
		m.errors.WithLabelValues("insert " + table).Inc()
		return
	}
	m.rows.WithLabelValues(table).Add(float64(rows))
}

func (m *Metrics) asked(what string, took time.Duration, err error) {
	m.seconds.WithLabelValues(what).Observe(took.Seconds())
	if err != nil {
		m.errors.WithLabelValues(what).Inc()
	}
}

package dispatcher

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the dispatcher's.
type Metrics struct {
	deliveries *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	breaker    *prometheus.GaugeVec
}

// NewMetrics registers the dispatcher's metrics.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_delivery_total", Help: "Deliveries by partner and by what became of the attempt.",
		}, []string{"partner", "outcome"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pixel_delivery_seconds", Help: "Time until a partner answered a request.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30},
		}, []string{"partner"}),
		breaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_breaker_state", Help: "A partner's breaker: 0 closed, 0.5 half-open, 1 open.",
		}, []string{"partner"}),
	}
	for _, c := range []prometheus.Collector{m.deliveries, m.latency, m.breaker} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

package dispatcher

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
)

// Metrics are the dispatcher's.
type Metrics struct {
	deliveries *prometheus.CounterVec
	latency    *prometheus.HistogramVec
	breaker    *prometheus.GaugeVec
	parallel   *prometheus.GaugeVec
	perSecond  *prometheus.GaugeVec
	paused     *prometheus.GaugeVec
	mode       *prometheus.GaugeVec
	renewals   *prometheus.CounterVec
	tokenEnds  *prometheus.GaugeVec
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
		}, []string{"partner", "account"}),
		parallel: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_delivery_parallel", Help: "How many requests at a time this process allows itself at a partner, as learned.",
		}, []string{"partner", "account"}),
		perSecond: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_delivery_per_second", Help: "How many requests a second all processes together allow themselves at a partner, as stated or learned from its 429s; 0: as many as may be.",
		}, []string{"partner", "account"}),
		paused: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_delivery_paused", Help: "1 while nothing is sent until somebody acts, as after credentials were refused; the partner's page says why.",
		}, []string{"partner", "account"}),
		mode: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_delivery_switch", Help: "A partner's switch: 1 on, 0.5 on hold, 0 off.",
		}, []string{"partner"}),
		renewals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_token_renewals_total", Help: "Access tokens that a partner was asked for, by result: renewed, refused (somebody must act), failed (tried again).",
		}, []string{"partner", "result"}),
		tokenEnds: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_token_expires_timestamp_seconds", Help: "When the access token that this process got last ends. One is renewed when it is needed, so at a quiet partner this may lie in the past.",
		}, []string{"partner"}),
	}
	for _, c := range []prometheus.Collector{m.deliveries, m.latency, m.breaker, m.parallel, m.perSecond, m.paused, m.mode, m.renewals, m.tokenEnds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// renewed counts an access token that was asked for. All results, and those of
// deliveries, are there from the start, so that the first failure is an increase.
func (m *Metrics) renewed(partner string) func(time.Time, error) {
	for _, result := range []string{"renewed", "refused", "failed"} {
		m.renewals.WithLabelValues(partner, result)
	}
	for _, o := range []event.Outcome{event.Accepted, event.Rejected, event.Retry, event.NotSent} {
		m.deliveries.WithLabelValues(partner, string(o))
	}
	return func(ends time.Time, err error) {
		result := "failed"
		if err == nil {
			result = "renewed"
			m.tokenEnds.WithLabelValues(partner).Set(float64(ends.Unix()))
		} else if _, ok := errors.AsType[*delivery.Disconnected](err); ok {
			result = "refused"
		}
		m.renewals.WithLabelValues(partner, result).Inc()
	}
}

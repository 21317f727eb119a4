package enrich

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/stopwatch"
)

// metrics are the enricher's. Labels are bounded: kinds and reasons are ours.
type metrics struct {
	seconds *stopwatch.Sampled
	missing *prometheus.CounterVec
	bots    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		seconds: stopwatch.New("pixel_enrichment_seconds", "Time that one enrichment took for one event, of every 64th event.", enrichments[:]...),
		missing: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_enrichment_value_missing_total", Help: "Orders without a value in the base currency, by why.",
		}, []string{"reason"}),
		bots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_enrichment_machines_total", Help: "Events of machines, by what gave them away.",
		}, []string{"by"}),
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{m.seconds.HistogramVec, m.missing, m.bots} {
			if err := reg.Register(c); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

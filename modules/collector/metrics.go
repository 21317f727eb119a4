package collector

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/stopwatch"
)

// What is done to events before they are accepted that a pixel can see the time of.
const (
	ofClock    = "clock"
	ofCleaning = "cleaning"
)

// metrics are what the collector counts. Labels are bounded: pixels are those
// that exist, codes and rules are ours.
type metrics struct {
	events       *prometheus.CounterVec
	suppressions *prometheus.CounterVec
	rejections   *prometheus.CounterVec
	consent      *prometheus.CounterVec
	lostRefusals prometheus.Counter
	edge         *prometheus.CounterVec
	cleaned      *prometheus.CounterVec
	violations   *prometheus.CounterVec
	crossings    *prometheus.CounterVec
	parts        *stopwatch.Sampled // of what is done to an event
	seconds      prometheus.Histogram
	group        prometheus.Histogram
	commit       prometheus.Histogram

	// accepted has the counters of accepted events by priority, found once.
	accepted [len(event.Priorities)]prometheus.Counter
	verdicts sync.Map // of verdictKind to its counter
}

func newMetrics(reg prometheus.Registerer, r *room) *metrics {
	m := &metrics{
		parts: stopwatch.New("pixel_collector_enrichment_seconds", "Time that setting a clock right and taking personal data out of the properties took for one event, of every 64th event.", ofClock, ofCleaning),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_collector_events_total", Help: "Events that came in, by status and, of the accepted, by priority.",
		}, []string{"status", "priority"}),
		suppressions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_collector_suppressed_total", Help: "Events that consent did not allow to keep, by pixel and rule of the decision table.",
		}, []string{"pixel", "rule"}),
		rejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_collector_rejected_total", Help: "Events and requests that were wrong, by door and code.",
		}, []string{"source", "code"}),
		consent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_collector_consent_total", Help: "Events that were right, by what consent allowed and the regime that it was decided under.",
		}, []string{"state", "regime"}),
		lostRefusals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pixel_collector_dead_letters_lost_total", Help: "Refusals that were not written to the validation dead letters: too many at once, too many there already, or the queue was busy.",
		}),
		violations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_collector_schema_violations_total", Help: "Events whose properties are not as their schema demands, by pixel, event (own: one without a built-in schema) and what became of them: taken all the same, or refused.",
		}, []string{"pixel", "event", "result"}),
		crossings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_collector_crossings_total", Help: "Cross-domain tokens that were made and brought, by what came of it: ok, consent, referrer (the page before was on none of the pixel's other domains), expired, forged, error.",
		}, []string{"what", "result"}),
		cleaned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_collector_cleaned_total", Help: "Events out of whose address or properties personal data was taken, by its kinds.",
		}, []string{"kinds"}),
		edge: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_collector_edge_requests_total", Help: "Requests that came with an edge's word, by what its signature was worth: only the valid are believed.",
		}, []string{"outcome"}),
		group: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pixel_collector_group_requests", Help: "Requests that shared a durable write.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
		}),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pixel_collector_commit_seconds", Help: "Time that a durable write took.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 5},
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pixel_collector_accept_seconds", Help: "Time from a decoded request until its events are durable.",
			Buckets: []float64{.0005, .001, .002, .003, .005, .0075, .01, .02, .05, .1, .25, .5, 1, 5},
		}),
	}
	for i, p := range event.Priorities {
		m.accepted[i] = m.events.WithLabelValues(accepted, string(p))
	}
	// From the start, so that the first is an increase.
	m.events.WithLabelValues(rejected, "")
	m.events.WithLabelValues(suppressed, "")
	if reg != nil {
		reg.MustRegister(m.events, m.suppressions, m.rejections, m.consent, m.lostRefusals, m.edge, m.cleaned, m.violations, m.crossings, m.parts.HistogramVec, m.seconds, m.group, m.commit,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "pixel_collector_waiting_bytes", Help: "Bytes of requests that are being read or wait to be durable.",
			}, func() float64 { return float64(r.used.Load()) }))
	}
	return m
}

func (m *metrics) rejected(source, code string) {
	m.rejections.WithLabelValues(source, code).Inc()
}

func (m *metrics) suppressed(pixel, rule string) {
	m.suppressions.WithLabelValues(pixel, rule).Inc()
}

// committed counts a durable write.
func (m *metrics) committed(requests int, took time.Duration, _ error) {
	m.group.Observe(float64(requests))
	m.commit.Observe(took.Seconds())
}

// answered counts what became of a request's events, once that is certain.
func (m *metrics) answered(a *answer, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	for i, n := range a.priorities {
		if n > 0 {
			m.accepted[i].Add(float64(n))
		}
	}
	if n := a.accepted + a.suppressed; n > 0 {
		m.allowed(a.verdict.State, a.verdict.Regime).Add(float64(n))
	}
	if a.rejected > 0 {
		m.events.WithLabelValues(rejected, "").Add(float64(a.rejected))
	}
	if a.suppressed > 0 {
		m.events.WithLabelValues(suppressed, "").Add(float64(a.suppressed))
	}
}

// allowed is the counter of events with such a verdict, of which there are a dozen: to find
// it by its labels costs more.
func (m *metrics) allowed(state event.State, regime string) prometheus.Counter {
	k := verdictKind{state, regime}
	found, ok := m.verdicts.Load(k)
	if !ok {
		found, _ = m.verdicts.LoadOrStore(k, m.consent.WithLabelValues(string(state), regime))
	}
	return found.(prometheus.Counter)
}

type verdictKind struct {
	state  event.State
	regime string
}

// rank is a priority's place among event.Priorities.
func rank(p event.Priority) int {
	switch p {
	case event.High:
		return 0
	case event.Standard:
		return 1
	}
	return 2
}

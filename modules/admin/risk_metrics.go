package admin

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/atrisk"
)

// riskEvery is how often the metrics of what is at risk are made anew. That reads
// up to atrisk.MaxScan messages of each queue.
const riskEvery = time.Minute

// maxCurrencies bounds the series: a site can send any three letters.
const maxCurrencies = 10

// riskMetrics tell what is at risk, and when tokens for the API end, to whoever
// alerts.
type riskMetrics struct {
	value, expired, count, deadline *prometheus.GaugeVec
	failed                          prometheus.Counter
	token                           prometheus.Gauge

	stop context.CancelFunc
	done sync.WaitGroup
}

func newRiskMetrics(reg prometheus.Registerer) (*riskMetrics, error) {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &riskMetrics{
		value:    gauge("pixel_at_risk_value", "Value of the orders whose deliveries are dead, waiting or held, and still taken by the partner: of the ten currencies with most of it, and of at most 5,000 messages a queue.", "partner", "state", "currency"),
		expired:  gauge("pixel_at_risk_expired_value", "The same of those that the partner takes no more: what is lost unless it is told by hand.", "partner", "state", "currency"),
		count:    gauge("pixel_at_risk_conversions", "Deliveries with an order's value that are dead, waiting or held.", "partner", "state"),
		deadline: gauge("pixel_at_risk_first_deadline_timestamp_seconds", "When the first of them is taken by the partner no more; 0: none is left to lose.", "partner", "state"),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pixel_at_risk_look_failures_total", Help: "Looks at what is at risk that failed; meanwhile its gauges are absent.",
		}),
		token: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pixel_admin_token_expires_timestamp_seconds", Help: "When the next of the console's API tokens ends; 0: none of those there are will.",
		}),
	}
	for _, c := range []prometheus.Collector{m.value, m.expired, m.count, m.deadline, m.failed, m.token} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// watchRisk looks again and again until it is stopped.
func (a *Admin) watchRisk() {
	m := a.riskMetrics
	if m == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.done.Go(func() {
		tick := time.NewTicker(riskEvery)
		defer tick.Stop()
		for {
			a.measureRisk(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

func (m *riskMetrics) end() {
	if m != nil && m.stop != nil {
		m.stop()
		m.done.Wait()
	}
}

func (a *Admin) measureRisk(ctx context.Context) {
	m := a.riskMetrics
	ctx, cancel := context.WithTimeout(ctx, riskEvery/2)
	defer cancel()
	r, err := a.atRiskNow(ctx)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	m.value.Reset()
	m.expired.Reset()
	m.count.Reset()
	m.deadline.Reset()
	if err != nil {
		m.failed.Inc()
	} else {
		m.show(r)
	}
	if tokens, err := a.people.listTokens(ctx); err == nil {
		m.token.Set(soonest(tokens, a.now()))
	}
}

// show sets the gauges. The sums come with the greatest value first.
func (m *riskMetrics) show(r atrisk.Report) {
	currencies := map[string]bool{}
	counts, deadlines := map[[2]string]int{}, map[[2]string]time.Time{}
	for _, s := range r.Sums {
		k := [2]string{s.Partner, s.State}
		counts[k] += s.Count
		if first := deadlines[k]; !s.First.IsZero() && (first.IsZero() || s.First.Before(first)) {
			deadlines[k] = s.First
		}
		if !currencies[s.Currency] && len(currencies) == maxCurrencies {
			continue
		}
		currencies[s.Currency] = true
		all, _ := strconv.ParseFloat(s.Value, 64)
		gone, _ := strconv.ParseFloat(s.Expired, 64)
		m.value.WithLabelValues(s.Partner, s.State, s.Currency).Set(all - gone)
		m.expired.WithLabelValues(s.Partner, s.State, s.Currency).Set(gone)
	}
	for k, n := range counts {
		m.count.WithLabelValues(k[0], k[1]).Set(float64(n))
		at := 0.0
		if t := deadlines[k]; !t.IsZero() {
			at = float64(t.Unix())
		}
		m.deadline.WithLabelValues(k[0], k[1]).Set(at)
	}
}

// soonest is when the first token that works ends.
func soonest(tokens []token, now time.Time) float64 {
	var first time.Time
	for _, t := range tokens {
		if t.ExpiresAt.After(now) && (first.IsZero() || t.ExpiresAt.Before(first)) {
			first = t.ExpiresAt
		}
	}
	if first.IsZero() {
		return 0
	}
	return float64(first.Unix())
}

package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/miq/pixel/modules/atrisk"
)

func TestMoneyAtRiskIsToldApartFromMoneyLost(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := newRiskMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	r := atrisk.Report{Sums: []atrisk.Sum{
		{Partner: "ttd", State: "dead", Currency: "EUR", Count: 3, Value: "120.50", Expired: "20.50", First: time.Unix(2_000_000_000, 0)},
		{Partner: "ttd", State: "dead", Currency: "GBP", Count: 1, Value: "5.00", Expired: "0.00", First: time.Unix(1_900_000_000, 0)},
	}}
	// Whoever sends other three letters makes no series.
	for i := range 500 {
		r.Sums = append(r.Sums, atrisk.Sum{Partner: "ttd", State: "dead", Currency: fmt.Sprintf("X%c%c", 'A'+i/26, 'A'+i%26), Count: 1, Value: "0.01", Expired: "0.01"})
	}
	m.show(r)
	if n := testutil.CollectAndCount(m.value); n != maxCurrencies {
		t.Errorf("%d series of value, want %d", n, maxCurrencies)
	}
	for _, c := range []struct {
		got, want float64
	}{
		{testutil.ToFloat64(m.value.WithLabelValues("ttd", "dead", "EUR")), 100},
		{testutil.ToFloat64(m.expired.WithLabelValues("ttd", "dead", "EUR")), 20.5},
	} {
		if c.got != c.want {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	want := `
# HELP pixel_at_risk_conversions Deliveries with an order's value that are dead, waiting or held.
# TYPE pixel_at_risk_conversions gauge
pixel_at_risk_conversions{partner="ttd",state="dead"} 504
# HELP pixel_at_risk_first_deadline_timestamp_seconds When the first of them is taken by the partner no more; 0: none is left to lose.
# TYPE pixel_at_risk_first_deadline_timestamp_seconds gauge
pixel_at_risk_first_deadline_timestamp_seconds{partner="ttd",state="dead"} 1.9e+09
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "pixel_at_risk_conversions", "pixel_at_risk_first_deadline_timestamp_seconds"); err != nil {
		t.Error(err)
	}
}

func TestTheNextTokenToEndIsTold(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	if got := soonest([]token{{}, {ExpiresAt: now.Add(-time.Hour)}}, now); got != 0 {
		t.Errorf("%v, want 0", got)
	}
	if got := soonest([]token{{ExpiresAt: now.Add(3 * time.Hour)}, {ExpiresAt: now.Add(-time.Hour)}, {ExpiresAt: now.Add(time.Hour)}}, now); got != float64(now.Add(time.Hour).Unix()) {
		t.Errorf("%v", got)
	}
}

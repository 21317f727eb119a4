package collector

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestClocksAndCleaningAreTimedForOneInSixtyFourEvents(t *testing.T) {
	r := prometheus.NewRegistry()
	m := newMetrics(r, &room{})
	for range 2 * sample {
		w := m.stopwatch()
		w.done(ofClock)
		w.done(ofCleaning)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, f := range families {
		if f.GetName() == "pixel_collector_enrichment_seconds" {
			for _, one := range f.GetMetric() {
				counts[one.GetLabel()[0].GetValue()] = one.GetHistogram().GetSampleCount()
			}
		}
	}
	if counts["clock"] != 2 || counts["cleaning"] != 2 || len(counts) != 2 {
		t.Errorf("%v", counts)
	}
}

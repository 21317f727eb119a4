package stopwatch

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestThePartsOfOneInSixtyFourEventsAreTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New("seconds", "Seconds.", "device", "bot", "geo")
		for range 2 * sample {
			w := s.Start()
			time.Sleep(time.Second)
			w.Done("device")
			time.Sleep(2 * time.Second)
			w.Done("bot")
			time.Sleep(4 * time.Second)
			w.Done("device") // its other half
			w.End()
		}
		r := prometheus.NewRegistry()
		r.MustRegister(s)
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		type times struct {
			events  uint64
			seconds float64
		}
		got := map[string]times{}
		for _, m := range families[0].GetMetric() {
			got[m.GetLabel()[0].GetValue()] = times{m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()}
		}
		for part, want := range map[string]times{"device": {2, 10}, "bot": {2, 4}, "geo": {}} {
			if got[part] != want {
				t.Errorf("%s: %+v, want %+v", part, got[part], want)
			}
		}
	})
}

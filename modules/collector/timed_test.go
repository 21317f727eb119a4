package collector

import (
	"net/http"
	"strings"
	"testing"
)

func TestClocksAndCleaningAreTimedForOneInSixtyFourEvents(t *testing.T) {
	f := newFixture(t)
	for range 4 {
		event := `{"name":"page_view"}`
		if r := f.post(`{"pixel_id":"px_demo","events":[` + strings.Repeat(event+",", 31) + event + `]}`); r.Code != http.StatusAccepted {
			t.Fatal(r.Code, r.Body)
		}
	}
	for _, part := range []string{ofClock, ofCleaning} {
		if series := `pixel_collector_enrichment_seconds_count{enrichment="` + part + `"} 2`; !f.counted(series) {
			t.Errorf("there is no %s in\n%s", series, f.metricsText())
		}
	}
}

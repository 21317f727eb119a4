package chanalytics

import (
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/clickhousetest"
	"github.com/miq/pixel/modules/event"
)

func TestWhatIsErasedIsGoneFromRowsSeriesAndParts(t *testing.T) {
	t.Parallel()
	s := opened(t, migrated(t, clickhousetest.DSN(t)))
	s.settle, s.fresh = 0, 0
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	var events []event.Event
	var syncs []event.Sync
	var matches []event.Match
	for v := range 12 {
		for i := range 10 {
			for _, pixel := range []string{"px", "py"} {
				e := event.Event{
					ID: fmt.Sprintf("e-%d-%d", v, i), PixelID: pixel, Name: "purchase", ReceivedAt: at.Add(time.Duration(v*10+i) * time.Minute),
					Subject: event.Subject{VisitorID: fmt.Sprintf("v-%d", v)}, Order: event.Order{ID: fmt.Sprint("o-", v, i), Value: "10", Currency: "EUR"},
				}
				e.Time = e.ReceivedAt
				events = append(events, e)
				syncs = append(syncs, event.Sync{EventID: e.ID, PixelID: pixel, Partner: "ttd", At: e.ReceivedAt, Outcome: event.Accepted})
				matches = append(matches, event.Match{EventID: e.ID, PixelID: pixel, Partner: "ttd", ReceivedAt: e.ReceivedAt, Name: "purchase", Grade: event.HighMatch})
			}
		}
	}
	for _, err := range []error{
		s.WriteEvents(t.Context(), events...), s.WriteSyncs(t.Context(), syncs...), s.WriteMatches(t.Context(), matches...),
		s.WriteIdentities(t.Context(), analytics.Identity{PixelID: "px", VisitorID: "v-3", ProfileID: "p", Version: 1}),
		s.WriteTouches(t.Context(), event.Touchpoint{ID: "t", PixelID: "px", VisitorID: "v-3", At: at, Kind: event.CampaignVisit, Channel: "email"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func() {
		t.Helper()
		for _, source := range []string{sourceEvents, sourceSyncs} {
			if _, err := s.Count(t.Context(), source); err != nil {
				t.Fatal(err)
			}
		}
	}
	sums := func(when string, px, py float64) {
		t.Helper()
		for pixel, want := range map[string]float64{"px": px, "py": py} {
			for _, step := range []analytics.Step{analytics.Day, analytics.Hour, analytics.Minute} {
				q := analytics.SeriesQuery{Metric: analytics.MetricEvents, PixelID: pixel, Since: at.Truncate(24 * time.Hour), Until: at.Truncate(24 * time.Hour).Add(24 * time.Hour), Step: step}
				series, err := s.Series(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				sum := 0.0
				for _, p := range series[0].Points {
					sum += p.Value
				}
				if sum != want {
					t.Errorf("%s, %s has %v events by %s, not %v", when, pixel, sum, step, want)
				}
			}
		}
	}
	count()
	sums("before", 120, 120)

	what := analytics.Erasure{PixelID: "px", Visitors: []string{"v-3", "v-7", "nobody"}, Events: []string{"e-9-1"}}
	want := analytics.Erased{Events: 21, Syncs: 21, Matches: 21, Credits: 1, Identities: 1}
	if kept, err := s.Kept(t.Context(), what); err != nil || kept != want {
		t.Errorf("kept before: %+v, %v", kept, err)
	}
	if done, err := s.Erase(t.Context(), what); err != nil || done != want {
		t.Errorf("erased: %+v, %v", done, err)
	}
	sums("at once", 99, 120)
	count()
	sums("counted again", 99, 120)
	recounted(t, s)
	for name, f := range map[string]func() (analytics.Erased, error){
		"kept":  func() (analytics.Erased, error) { return s.Kept(t.Context(), what) },
		"again": func() (analytics.Erased, error) { return s.Erase(t.Context(), what) },
	} {
		if n, err := f(); err != nil || n != (analytics.Erased{}) {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	// Not only masked: no part that is read holds them.
	var left uint64
	err := s.ask(t.Context(), "look behind the mask", `SELECT count() FROM events WHERE pixel_id = 'px' AND visitor_id IN ('v-3', 'v-7') SETTINGS apply_deleted_mask = 0`, nil, func(r driver.Rows) error { return r.Scan(&left) })
	if err != nil || left != 0 {
		t.Errorf("%d rows are only masked, %v", left, err)
	}
}

package analyticstest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// Eraser is a store that can erase.
type Eraser interface {
	analytics.Store
	analytics.Eraser
}

// Erase checks that what is erased is gone with all that was said of it, that the rest
// is untouched, and that sums are as if it had never been there.
func Erase(t *testing.T, s Eraser) {
	at := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	const visitors = 40
	var events []event.Event
	var syncs []event.Sync
	var matches []event.Match
	for v := range visitors {
		for i := range 30 {
			e := event.Event{
				ID: fmt.Sprintf("e-%d-%d", v, i), PixelID: "px", Name: "purchase", ReceivedAt: at.Add(time.Duration(v*30+i) * time.Second),
				Subject: event.Subject{VisitorID: fmt.Sprintf("v-%d", v), AnonymousID: fmt.Sprintf("v-%d", v)}, Verdict: event.Verdict{State: event.Full},
				Order: event.Order{ID: fmt.Sprintf("o-%d-%d", v, i), Value: "10", Currency: "EUR"},
			}
			e.Time = e.ReceivedAt
			other := e
			other.PixelID = "py"
			events = append(events, e, other)
			syncs = append(syncs, event.Sync{EventID: e.ID, PixelID: "px", Partner: "ttd", At: e.ReceivedAt, Outcome: event.Accepted})
			matches = append(matches, event.Match{EventID: e.ID, PixelID: "px", Partner: "ttd", ReceivedAt: e.ReceivedAt, Name: "purchase", Grade: event.HighMatch})
		}
	}
	for some := range slices.Chunk(events, 200) {
		must(t, s.WriteEvents(t.Context(), some...))
	}
	must(t, s.WriteSyncs(t.Context(), syncs...))
	must(t, s.WriteMatches(t.Context(), matches...))
	must(t, s.WriteIdentities(t.Context(), analytics.Identity{PixelID: "px", VisitorID: "v-3", ProfileID: "p", Version: 1}))
	what := analytics.Erasure{PixelID: "px", Visitors: []string{"v-3", "v-7", "nobody"}, Events: []string{"e-9-1", "e-3-2"}}
	want := analytics.Erased{Events: 61, Syncs: 61, Matches: 61, Identities: 1}
	same := func(what string, got analytics.Erased, err error, want analytics.Erased) {
		t.Helper()
		must(t, err)
		if got != want {
			t.Errorf("%s: %+v instead of %+v", what, got, want)
		}
	}
	kept, err := s.Kept(t.Context(), what)
	same("kept before", kept, err, want)
	early := what
	early.Until = at.Add(90 * time.Second) // one second after what v-2 did last
	none, err := s.Kept(t.Context(), early)
	same("kept of before", none, err, analytics.Erased{Identities: 1})
	gone, err := s.Erase(t.Context(), what)
	same("erased", gone, err, want)
	kept, err = s.Kept(t.Context(), what)
	same("kept afterwards", kept, err, analytics.Erased{})
	again, err := s.Erase(t.Context(), what)
	same("erased again", again, err, analytics.Erased{})

	for pixel, n := range map[string]float64{"px": visitors*30 - 61, "py": visitors * 30} {
		for _, m := range []struct {
			metric analytics.Metric
			want   float64
		}{{analytics.MetricEvents, n}, {analytics.MetricRevenue, 10 * n}, {analytics.MetricVisitors, map[string]float64{"px": visitors - 2, "py": visitors}[pixel]}} {
			// A day, which roll-ups may answer, and odd minutes, which they may not.
			series, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: m.metric, PixelID: pixel, Since: at.Truncate(24 * time.Hour), Until: at.Truncate(24 * time.Hour).Add(24 * time.Hour), Step: analytics.Day})
			must(t, err)
			if got := series[0].Points[0].Value; got != m.want {
				t.Errorf("%s of %s: %v instead of %v", m.metric, pixel, got, m.want)
			}
		}
	}
	if _, err := s.Event(t.Context(), "px", "e-3-0"); err == nil {
		t.Error("an erased event is there")
	}
}

// Expire checks that whole days go, with what is counted of them.
func Expire(t *testing.T, s interface {
	analytics.Store
	analytics.Expirer
}) {
	day := time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	var events []event.Event
	var syncs []event.Sync
	for d := range 4 {
		for i := range 50 {
			e := event.Event{
				ID: fmt.Sprintf("e-%d-%d", d, i), PixelID: "px", Name: "purchase", ReceivedAt: day.AddDate(0, 0, d).Add(time.Duration(i) * 28 * time.Minute),
				Subject: event.Subject{VisitorID: fmt.Sprintf("v-%d", i)}, Verdict: event.Verdict{State: event.Full}, Order: event.Order{Value: "10", Currency: "EUR"},
			}
			other := e
			other.PixelID = "py"
			events = append(events, e, other)
			syncs = append(syncs, event.Sync{EventID: e.ID, PixelID: "px", Partner: "ttd", At: e.ReceivedAt, Outcome: event.Accepted})
		}
	}
	for some := range slices.Chunk(events, 100) {
		must(t, s.WriteEvents(t.Context(), some...))
	}
	must(t, s.WriteSyncs(t.Context(), syncs...))
	gone, err := s.Expire(t.Context(), "px", day.AddDate(0, 0, 2), day.AddDate(0, 0, 1))
	must(t, err)
	if want := (analytics.Erased{Events: 100, Syncs: 50}); gone != want {
		t.Errorf("expired %+v instead of %+v", gone, want)
	}
	for pixel, want := range map[string][4]float64{"px": {0, 0, 50, 50}, "py": {50, 50, 50, 50}} {
		for _, m := range []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors} {
			series, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: m, PixelID: pixel, Since: day, Until: day.AddDate(0, 0, 4), Step: analytics.Day})
			must(t, err)
			for d, p := range series[0].Points {
				if p.Value != want[d] {
					t.Errorf("%s of %s on day %d: %v instead of %v", m, pixel, d, p.Value, want[d])
				}
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

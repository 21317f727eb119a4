package analyticstest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// profiles checks that the visitors of a profile count as one, from the moment that
// this is written, and that of several writes the one of the greatest version stands.
func profiles(t *testing.T, s analytics.Store) {
	var events []event.Event
	add := func(pixel, visitor, name string) {
		i := len(events)
		events = append(events, event.Event{
			ID: fmt.Sprintf("event-%02d", i), PixelID: pixel, Name: name, ReceivedAt: Begin.Add(time.Duration(i) * time.Minute),
			Subject: event.Subject{VisitorID: visitor, AnonymousID: visitor},
		})
	}
	for _, visitor := range []string{"a", "b", "c", "d", "", "a"} {
		add("px_1", visitor, "page_view")
	}
	add("px_1", "b", "purchase")
	add("px_2", "a", "page_view")
	add("px_2", "b", "page_view")
	writeEvents(t, s, events...)
	write := func(list ...analytics.Identity) {
		t.Helper()
		if err := s.WriteIdentities(t.Context(), list...); err != nil {
			t.Fatal(err)
		}
	}
	visitors := func(want map[string]float64) {
		t.Helper()
		rows, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricVisitors, Dimension: "pixel_id"})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, r := range rows {
			got[r.Group] = r.Value
		}
		if !maps.Equal(got, want) {
			t.Errorf("visitors by pixel: %v, want %v", got, want)
		}
		series, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: analytics.MetricVisitors, PixelID: "px_1", Since: Begin.Truncate(time.Hour), Until: Begin.Add(time.Hour), Step: analytics.Day})
		if err != nil {
			t.Fatal(err)
		}
		var sum float64
		for _, p := range series[0].Points {
			sum += p.Value
		}
		if sum != want["px_1"] {
			t.Errorf("%v visitors of px_1 in a series, want %v", sum, want["px_1"])
		}
	}
	found := func(profile string, want ...string) {
		t.Helper()
		var got []string
		for _, e := range allEvents(t, s, analytics.EventFilter{ProfileID: profile, Limit: 2}) {
			got = append(got, e.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("the events of %s are %v, want %v", profile, got, want)
		}
	}
	is := func(visitor, profile string, version int64) analytics.Identity {
		return analytics.Identity{PixelID: "px_1", VisitorID: visitor, ProfileID: profile, Version: version}
	}

	write()
	visitors(map[string]float64{"px_1": 4, "px_2": 2})
	found("p_1")
	write(is("a", "p_1", 1), is("b", "p_1", 1))
	visitors(map[string]float64{"px_1": 3, "px_2": 2})
	found("p_1", "event-00", "event-01", "event-05", "event-06")
	write(is("c", "p_2", 5), is("d", "p_2", 2), is("a", "p_1", 1)) // some again
	visitors(map[string]float64{"px_1": 2, "px_2": 2})
	write(is("b", "p_2", 3), is("c", "p_1", 4)) // the second is late
	visitors(map[string]float64{"px_1": 2, "px_2": 2})
	found("p_1", "event-00", "event-05")
	found("p_2", "event-01", "event-02", "event-03", "event-06")
	write(is("b", "", 4), is("b", "p_2", 2), is("a", "", 9), is("a", "p_1", 8))
	visitors(map[string]float64{"px_1": 3, "px_2": 2})
	found("p_1")
	found("p_2", "event-02", "event-03")
	found("' OR 1=1 --")
	// What comes later belongs to the profile too.
	e := events[2]
	e.ID, e.ReceivedAt = "event-99", e.ReceivedAt.Add(time.Minute)
	writeEvents(t, s, e)
	found("p_2", "event-02", "event-03", "event-99")
}

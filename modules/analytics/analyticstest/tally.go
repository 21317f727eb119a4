package analyticstest

import (
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// tallyRecounted asks for a few hours, and for all of them.
func tallyRecounted(t *testing.T, s analytics.Store, d *data) {
	for _, c := range []struct {
		name         string
		since, until time.Time
	}{
		{"all", Begin.Add(-time.Hour), Begin.Add(Span + time.Hour)},
		{"hours in the middle", Begin.Add(10 * time.Hour), Begin.Add(14 * time.Hour)},
		{"no hour", Begin.Add(10 * time.Hour), Begin.Add(10 * time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, end := c.since.Truncate(time.Hour), c.until.Truncate(time.Hour)
			want := map[analytics.Tally]int64{}
			type id struct{ pixel, event string }
			hours := map[id]time.Time{}
			for _, e := range d.events {
				if hour := e.ReceivedAt.UTC().Truncate(time.Hour); !hour.Before(first) && hour.Before(end) {
					hours[id{e.PixelID, e.ID}] = hour
					want[analytics.Tally{PixelID: e.PixelID, Hour: hour}]++
				}
			}
			counted := map[event.Sync]bool{}
			for _, l := range d.syncs {
				hour, there := hours[id{l.PixelID, l.EventID}]
				once := event.Sync{PixelID: l.PixelID, EventID: l.EventID, Partner: l.Partner}
				if l.Outcome == event.Accepted && there && !counted[once] {
					counted[once] = true
					want[analytics.Tally{PixelID: l.PixelID, Hour: hour, Partner: l.Partner}]++
				}
			}
			got, err := s.Tally(t.Context(), c.since, c.until)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range got {
				n := g.N
				g.N = 0
				if n == 0 || want[g] != n {
					t.Errorf("%+v: %d, want %d", g, n, want[g])
				}
				delete(want, g)
			}
			if len(want) > 0 {
				t.Errorf("not tallied: %v", want)
			}
		})
	}
}

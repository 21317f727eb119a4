package analyticstest

import (
	"context"
	"maps"
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
			want := map[analytics.Tally]analytics.Tally{}
			type id struct{ pixel, event string }
			hours := map[id]time.Time{}
			for _, e := range d.events {
				if hour := e.ReceivedAt.UTC().Truncate(time.Hour); !hour.Before(first) && hour.Before(end) {
					hours[id{e.PixelID, e.ID}] = hour
					k := analytics.Tally{PixelID: e.PixelID, Hour: hour}
					v := want[k]
					v.N++
					want[k] = v
				}
			}
			accepted, sent := map[event.Sync]bool{}, map[event.Sync]bool{}
			for _, l := range d.syncs {
				hour, there := hours[id{l.PixelID, l.EventID}]
				if !there {
					continue
				}
				k, once := analytics.Tally{PixelID: l.PixelID, Hour: hour, Partner: l.Partner}, event.Sync{PixelID: l.PixelID, EventID: l.EventID, Partner: l.Partner}
				v := want[k]
				if l.Outcome == event.Accepted && !accepted[once] {
					accepted[once] = true
					v.N++
				}
				if l.Attempt > 0 && l.Outcome != event.NotSent && l.Outcome != event.Dry && !sent[once] {
					sent[once] = true
					v.Sent++
				}
				if v != (analytics.Tally{}) {
					want[k] = v
				}
			}
			for _, m := range d.matches {
				if hour := m.ReceivedAt.UTC().Truncate(time.Hour); !hour.Before(first) && hour.Before(end) {
					k := analytics.Tally{PixelID: m.PixelID, Hour: hour, Partner: m.Partner}
					v := want[k]
					v.Routed++
					want[k] = v
				}
			}
			for what, ask := range map[string]func(context.Context, time.Time, time.Time) ([]analytics.Tally, error){"tallied": s.Tally, "stored": s.Stored} {
				got, err := ask(t.Context(), c.since, c.until)
				if err != nil {
					t.Fatal(err)
				}
				left := maps.Clone(want)
				for _, g := range got {
					k := analytics.Tally{PixelID: g.PixelID, Hour: g.Hour, Partner: g.Partner}
					figures := analytics.Tally{N: g.N, Routed: g.Routed, Sent: g.Sent}
					if figures == (analytics.Tally{}) || left[k] != figures {
						t.Errorf("%s: %+v: want %+v", what, g, left[k])
					}
					delete(left, k)
				}
				if len(left) > 0 {
					t.Errorf("not %s: %v", what, left)
				}
			}
		})
	}
}

package analyticstest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// matchesCounted checks matches against a plain recount of what was written.
func matchesCounted(t *testing.T, s analytics.Store) {
	ctx := t.Context()
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	keys := [][]string{{}, {"email"}, {"email", "phone"}, {"dclid"}}
	var all []event.Match
	for i := range 240 {
		all = append(all, event.Match{
			EventID: "e-" + string(rune('a'+i%12)) + string(rune('a'+i/12)), PixelID: []string{"px_1", "px_2"}[i%2],
			Partner: []string{"ttd", "amazon", "dv360"}[i%3], Name: []string{"purchase", "sign_up"}[i/7%2],
			ReceivedAt: start.Add(time.Duration(i) * time.Minute), Grade: event.Grades[i/5%4], Keys: keys[i/3%4], Missing: keys[(i+2)%4],
		})
	}
	if err := s.WriteMatches(ctx); err != nil {
		t.Fatalf("nothing to write: %v", err)
	}
	for chunk := range slices.Chunk(all, 50) {
		if err := s.WriteMatches(ctx, chunk...); err != nil {
			t.Fatal(err)
		}
	}
	// Again, and one of them otherwise: a later write replaces.
	all[7].Grade, all[7].Keys = event.HighMatch, []string{"email", "phone"}
	if err := s.WriteMatches(ctx, all[:20]...); err != nil {
		t.Fatal(err)
	}
	for _, q := range []analytics.ReadinessQuery{
		{}, {PixelID: "px_1"}, {Partner: "ttd"}, {Name: "purchase"}, {PixelID: "px_2", Partner: "amazon", Name: "sign_up"}, {PixelID: "px_3"},
		{Since: start.Add(30 * time.Minute), Until: start.Add(90 * time.Minute)}, {Until: start}, {Since: start.Add(239 * time.Minute)},
	} {
		var c analytics.ReadinessCount
		for _, m := range all {
			if (q.PixelID == "" || q.PixelID == m.PixelID) && (q.Partner == "" || q.Partner == m.Partner) && (q.Name == "" || q.Name == m.Name) &&
				(q.Since.IsZero() || !m.ReceivedAt.Before(q.Since)) && (q.Until.IsZero() || m.ReceivedAt.Before(q.Until)) {
				c.Add(m, 1)
			}
		}
		got, err := s.Readiness(ctx, q)
		if err != nil || !reflect.DeepEqual(got, c.Rows()) {
			t.Errorf("%+v: %+v, %v, want %+v", q, got, err, c.Rows())
		}
	}
	one := all[7]
	got, err := s.Matches(ctx, one.PixelID, one.EventID)
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], one) {
		t.Errorf("one event's: %+v, %v, want %+v", got, err, one)
	}
	second := one
	second.Partner = "a_first"
	if err := s.WriteMatches(ctx, second); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Matches(ctx, one.PixelID, one.EventID); err != nil || len(got) != 2 || got[0].Partner != "a_first" {
		t.Errorf("by partner: %+v, %v", got, err)
	}
	if got, err := s.Matches(ctx, "px_3", one.EventID); err != nil || got == nil || len(got) != 0 {
		t.Errorf("another pixel's event of that id: %+v, %v", got, err)
	}
	if _, err := s.Readiness(ctx, analytics.ReadinessQuery{Since: start, Until: start.Add(-time.Second)}); err == nil {
		t.Error("a time that ends before it begins is taken")
	}
}

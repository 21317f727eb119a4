package analyticstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// fact is what a metric counts, of an event or a sync.
type fact struct {
	at      time.Time
	group   string
	visitor string
	value   *big.Rat
}

// facts are what a question is about.
func (d *data) facts(m analytics.Metric, dimension, pixel, name, partner string, since, until time.Time) (facts []fact) {
	if m == analytics.MetricSyncs {
		for _, l := range d.syncs {
			if (pixel == "" || l.PixelID == pixel) && (partner == "" || l.Partner == partner) && within(since, until, l.At) {
				facts = append(facts, fact{at: l.At, group: map[string]string{"pixel_id": l.PixelID, "partner": l.Partner, "outcome": string(l.Outcome), "code": l.Code}[dimension]})
			}
		}
		return facts
	}
	for i := range d.events {
		e := &d.events[i]
		if pixel != "" && e.PixelID != pixel || name != "" && e.Name != name || !within(since, until, e.ReceivedAt) || m == analytics.MetricRevenue && e.Name != "purchase" {
			continue
		}
		v, ok := new(big.Rat).SetString(string(e.Order.Value))
		if !ok {
			v = new(big.Rat)
		}
		facts = append(facts, fact{at: e.ReceivedAt, group: group(e, dimension), visitor: e.Subject.VisitorID, value: v})
	}
	return facts
}

// group is written out again, so that analytics.Value is checked too.
func group(e *event.Event, dimension string) string {
	x := e.Enrichment
	path := strings.TrimPrefix(e.Context.Page.URL, "https://shop.example.com")
	if !strings.HasPrefix(path, "/products/") {
		path = analytics.Value(e, "page_path") // hostile ones
	}
	path, _, _ = strings.Cut(path, "?")
	return map[string]string{
		"pixel_id": e.PixelID, "name": e.Name, "consent": string(e.Verdict.State), "device": x.Device.Class, "browser": x.Device.Browser, "os": x.Device.OS,
		"country": analytics.Value(e, "country"), "region": analytics.Value(e, "region"), "city": x.Place.City, "network": x.Place.Network, "referrer_kind": x.Referrer.Kind, "referrer_host": x.Referrer.Host, "utm_source": x.Campaign.Source, "utm_medium": x.Campaign.Medium,
		"utm_campaign": x.Campaign.Name, "page_path": path, "currency": e.Order.Currency, "source": e.Source,
	}[dimension]
}

func value(m analytics.Metric, facts []fact) float64 {
	switch m {
	case analytics.MetricVisitors:
		seen := map[string]bool{}
		for _, f := range facts {
			if f.visitor != "" {
				seen[f.visitor] = true
			}
		}
		return float64(len(seen))
	case analytics.MetricRevenue:
		sum := new(big.Rat)
		for _, f := range facts {
			sum.Add(sum, f.value)
		}
		v, _ := sum.Float64()
		return v
	}
	return float64(len(facts))
}

func top(m analytics.Metric, facts []fact, limit int) []analytics.TopRow {
	groups := map[string][]fact{}
	for _, f := range facts {
		groups[f.group] = append(groups[f.group], f)
	}
	var rows []analytics.TopRow
	for g, f := range groups {
		if v := value(m, f); v != 0 {
			rows = append(rows, analytics.TopRow{Group: g, Value: v})
		}
	}
	slices.SortFunc(rows, func(a, b analytics.TopRow) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Group, b.Group))
	})
	return rows[:min(limit, len(rows))]
}

// near allows for the last digits of a sum of money in a float.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

var metrics = []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors, analytics.MetricRevenue, analytics.MetricSyncs}

func dimensions(m analytics.Metric) []string {
	if m == analytics.MetricSyncs {
		return analytics.SyncDimensions
	}
	return analytics.EventDimensions
}

func topRecounted(t *testing.T, s analytics.Store, d *data) {
	for _, m := range metrics {
		for _, dim := range dimensions(m) {
			questions := []analytics.TopQuery{
				{Limit: 1000},
				{},
				{PixelID: "px_other", Since: Begin.Add(time.Hour), Until: Begin.Add(20 * time.Hour), Limit: 3},
				{Since: Begin.Add(20 * time.Hour), Limit: 1},
				{Until: Begin},
			}
			if m == analytics.MetricSyncs {
				questions = append(questions, analytics.TopQuery{Partner: "ttd"}, analytics.TopQuery{Partner: hostile[0]})
			} else {
				questions = append(questions, analytics.TopQuery{Name: "purchase", PixelID: "px_demo"}, analytics.TopQuery{Name: "page_view"}, analytics.TopQuery{Name: hostile[0]})
			}
			for i, q := range questions {
				t.Run(fmt.Sprintf("%s by %s %d", m, dim, i), func(t *testing.T) {
					q.Metric, q.Dimension = m, dim
					got, err := s.Top(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					want := top(m, d.facts(m, dim, q.PixelID, q.Name, q.Partner, q.Since, q.Until), cmp.Or(q.Limit, 10))
					if len(got) != len(want) {
						t.Fatalf("%d groups, not %d", len(got), len(want))
					}
					for i := range got {
						if got[i].Group != want[i].Group || !near(got[i].Value, want[i].Value) {
							t.Errorf("%d: %q has %v, not %q %v", i, short(got[i].Group), got[i].Value, short(want[i].Group), want[i].Value)
						}
					}
				})
			}
		}
	}
}

func seriesRecounted(t *testing.T, s analytics.Store, d *data) {
	hour := Begin.Truncate(time.Hour)
	for _, m := range metrics {
		for _, dim := range append([]string{""}, dimensions(m)...) {
			questions := []analytics.SeriesQuery{
				{Since: hour, Until: hour.Add(52 * time.Hour), Step: time.Hour},
				{Since: Begin.Add(90 * time.Minute), Until: Begin.Add(7 * time.Hour), Step: 15 * time.Minute, PixelID: "px_demo"},
				{Since: Begin.Add(-time.Hour), Until: Begin.Add(99 * time.Hour), Step: 24 * time.Hour},
				{Since: Begin.Add(time.Hour), Until: Begin.Add(time.Hour + time.Microsecond), Step: time.Minute},
				{Since: Begin.AddDate(-30, 0, 0), Until: Begin.AddDate(1, 0, 0), Step: 7 * 24 * time.Hour},
			}
			if m == analytics.MetricSyncs {
				questions = append(questions, analytics.SeriesQuery{Since: hour, Until: hour.Add(52 * time.Hour), Step: time.Hour, Partner: "amazon"})
			} else {
				questions = append(questions, analytics.SeriesQuery{Since: hour, Until: hour.Add(52 * time.Hour), Step: 5 * time.Hour, Name: "purchase"})
			}
			for i, q := range questions {
				t.Run(fmt.Sprintf("%s by %s %d", m, cmp.Or(dim, "nothing"), i), func(t *testing.T) {
					q.Metric, q.GroupBy = m, dim
					checkSeries(t, s, d, q)
				})
			}
		}
	}
}

func checkSeries(t *testing.T, s analytics.Store, d *data, q analytics.SeriesQuery) {
	got, err := s.Series(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	facts := d.facts(q.Metric, q.GroupBy, q.PixelID, q.Name, q.Partner, q.Since, q.Until)
	groups := []analytics.TopRow{{}}
	if q.GroupBy != "" {
		groups = top(q.Metric, facts, 20)
	}
	if len(got) != len(groups) {
		t.Fatalf("%d series, not %d", len(got), len(groups))
	}
	type cell struct {
		group string
		step  int64
	}
	cells := map[cell][]fact{}
	for _, f := range facts {
		c := cell{f.group, f.at.Truncate(q.Step).UnixMicro()}
		cells[c] = append(cells[c], f)
	}
	for i, g := range groups {
		if got[i].Group != g.Group {
			t.Fatalf("series %d is of %q, not %q", i, short(got[i].Group), short(g.Group))
		}
		at := q.Since.Truncate(q.Step)
		for j, p := range got[i].Points {
			if !p.Time.Equal(at) {
				t.Fatalf("step %d begins at %s, not %s", j, p.Time, at)
			}
			if want := value(q.Metric, cells[cell{g.Group, at.UnixMicro()}]); !near(p.Value, want) {
				t.Errorf("%q at %s: %v, not %v", short(g.Group), at, p.Value, want)
			}
			at = at.Add(q.Step)
		}
		if at.Before(q.Until) || !at.Add(-q.Step).Before(q.Until) {
			t.Errorf("the steps end at %s, for a question until %s", at, q.Until)
		}
	}
}

func refusals(t *testing.T, s analytics.Store, _ *data) {
	ask := func(name, says string, f func(context.Context) error) {
		t.Run(name, func(t *testing.T) {
			err := f(t.Context())
			if !errors.Is(err, analytics.ErrInvalid) || !strings.Contains(err.Error(), says) || len(err.Error()) > 500 {
				t.Errorf("got %v, which should be ErrInvalid and say %q", err, says)
			}
		})
	}
	events := func(name, says string, f analytics.EventFilter) {
		ask("events: "+name, says, func(ctx context.Context) error { _, err := s.Events(ctx, f); return err })
	}
	syncs := func(name, says string, f analytics.SyncFilter) {
		ask("syncs: "+name, says, func(ctx context.Context) error { _, err := s.Syncs(ctx, f); return err })
	}
	events("limit too high", "limit must be 1 to 1000", analytics.EventFilter{Limit: 1001})
	events("limit below nothing", "limit must be 1 to 1000", analytics.EventFilter{Limit: -1})
	events("made-up cursor", "cursor", analytics.EventFilter{Cursor: "'; DROP TABLE events"})
	events("made-up after", "after", analytics.EventFilter{After: "-\x00-"})
	events("after and cursor", "exclude", analytics.EventFilter{After: "1", Cursor: "1.1"})
	events("until before since", "until", analytics.EventFilter{Since: Begin, Until: Begin.Add(-1)})
	syncs("limit too high", "limit must be 1 to 1000", analytics.SyncFilter{Limit: 1001})
	syncs("limit below nothing", "limit must be 1 to 1000", analytics.SyncFilter{Limit: -1})
	syncs("made-up cursor", "cursor", analytics.SyncFilter{Cursor: strings.Repeat("z", 1000)})
	syncs("until before since", "until", analytics.SyncFilter{Since: Begin, Until: Begin.Add(-1)})

	series := func(name, says string, change func(*analytics.SeriesQuery)) {
		q := analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: Begin, Until: Begin.Add(time.Hour), Step: time.Minute}
		change(&q)
		ask("series: "+name, says, func(ctx context.Context) error { _, err := s.Series(ctx, q); return err })
	}
	series("no metric", "events, visitors, revenue, syncs", func(q *analytics.SeriesQuery) { q.Metric = "" })
	series("unknown metric", "count(*)", func(q *analytics.SeriesQuery) { q.Metric = "count(*)" })
	series("step too short", "at least 1m0s", func(q *analytics.SeriesQuery) { q.Step = time.Minute - 1 })
	series("no step", "at least 1m0s", func(q *analytics.SeriesQuery) { q.Step = 0 })
	series("step of half seconds", "whole number of seconds", func(q *analytics.SeriesQuery) { q.Step = time.Minute + time.Second/2 })
	series("too many steps", "2000 steps", func(q *analytics.SeriesQuery) { q.Until = q.Since.Add(2001 * time.Minute) })
	series("too many steps of an hour", "2000 steps", func(q *analytics.SeriesQuery) { q.Step, q.Until = time.Hour, q.Since.AddDate(1, 0, 0) })
	series("all of history", "hundred years", func(q *analytics.SeriesQuery) { q.Since, q.Step = time.Unix(-1<<40, 0), 8760*time.Hour })
	series("no since", "since and until", func(q *analytics.SeriesQuery) { q.Since = time.Time{} })
	series("no until", "since and until", func(q *analytics.SeriesQuery) { q.Until = time.Time{} })
	series("until is since", "until must lie after since", func(q *analytics.SeriesQuery) { q.Until = q.Since })
	series("unknown dimension", "one of pixel_id, name, consent, device", func(q *analytics.SeriesQuery) { q.GroupBy = "id; DROP TABLE events" })
	series("endless dimension", "one of pixel_id", func(q *analytics.SeriesQuery) { q.GroupBy = strings.Repeat("ä", 1<<20) })
	series("a dimension of syncs for events", "one of pixel_id, name", func(q *analytics.SeriesQuery) { q.GroupBy = "partner" })
	series("a dimension of events for syncs", "one of pixel_id, partner, outcome, code", func(q *analytics.SeriesQuery) { q.Metric, q.GroupBy = analytics.MetricSyncs, "name" })
	series("events of a partner", "partner", func(q *analytics.SeriesQuery) { q.Partner = "ttd" })
	series("syncs of a name", "name", func(q *analytics.SeriesQuery) { q.Metric, q.Name = analytics.MetricSyncs, "purchase" })

	top := func(name, says string, change func(*analytics.TopQuery)) {
		q := analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "name"}
		change(&q)
		ask("top: "+name, says, func(ctx context.Context) error { _, err := s.Top(ctx, q); return err })
	}
	top("unknown metric", "events, visitors, revenue, syncs", func(q *analytics.TopQuery) { q.Metric = "money" })
	top("no dimension", "pixel_id, name, consent", func(q *analytics.TopQuery) { q.Dimension = "" })
	top("unknown dimension", "pixel_id, name, consent", func(q *analytics.TopQuery) { q.Dimension = "body" })
	top("limit too high", "limit must be 1 to 1000", func(q *analytics.TopQuery) { q.Limit = 1001 })
	top("limit below nothing", "limit must be 1 to 1000", func(q *analytics.TopQuery) { q.Limit = -5 })
	top("until before since", "until", func(q *analytics.TopQuery) { q.Since, q.Until = Begin, Begin.Add(-1) })
	top("events of a partner", "partner", func(q *analytics.TopQuery) { q.Partner = "ttd" })

	// Right at the bounds, it is answered.
	if got, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: Begin.Truncate(time.Minute), Until: Begin.Truncate(time.Minute).Add(2000 * time.Minute), Step: time.Minute}); err != nil || len(got[0].Points) != 2000 {
		t.Errorf("2,000 steps: %v", err)
	}
}

func endedContext(t *testing.T, s analytics.Store, _ *data) {
	for name, ask := range map[string]func(context.Context) error{
		"events": func(ctx context.Context) error { _, err := s.Events(ctx, analytics.EventFilter{}); return err },
		"event":  func(ctx context.Context) error { _, err := s.Event(ctx, "", "no-such-id"); return err },
		"syncs":  func(ctx context.Context) error { _, err := s.Syncs(ctx, analytics.SyncFilter{}); return err },
		"series": func(ctx context.Context) error {
			_, err := s.Series(ctx, analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: Begin, Until: Begin.Add(Span), Step: time.Hour})
			return err
		},
		"top": func(ctx context.Context) error {
			_, err := s.Top(ctx, analytics.TopQuery{Metric: analytics.MetricVisitors, Dimension: "page_path"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := ask(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: got %v", err)
			}
			ctx, cancel = context.WithDeadline(t.Context(), Begin.AddDate(-1, 0, 0))
			defer cancel()
			if err := ask(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("past its deadline: got %v", err)
			}
			if err := ask(t.Context()); err != nil && !isNotFound(err) {
				t.Errorf("the next question: %v", err)
			}
		})
	}
}

func endedWrite(t *testing.T, s analytics.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	events := Events(9, 10, time.Hour)
	if err := s.WriteEvents(ctx, events...); !errors.Is(err, context.Canceled) {
		t.Errorf("events: %v", err)
	}
	if err := s.WriteSyncs(ctx, event.Sync{EventID: "e", PixelID: "p", At: Begin}); !errors.Is(err, context.Canceled) {
		t.Errorf("syncs: %v", err)
	}
	writeEvents(t, s, events...)
	sameEvents(t, allEvents(t, s, analytics.EventFilter{}), events)
}

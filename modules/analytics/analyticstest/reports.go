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
func (d *data) facts(m analytics.Metric, dimension, pixel, name, partner string, where []analytics.Condition, since, until time.Time) (facts []fact) {
	if m == analytics.MetricSyncs {
		for _, l := range d.syncs {
			of := map[string]string{"pixel_id": l.PixelID, "partner": l.Partner, "outcome": string(l.Outcome), "code": l.Code}
			if (pixel == "" || l.PixelID == pixel) && (partner == "" || l.Partner == partner) && within(since, until, l.At) && holds(where, func(d string) string { return of[d] }) {
				facts = append(facts, fact{at: l.At, group: of[dimension]})
			}
		}
		return facts
	}
	for i := range d.events {
		e := &d.events[i]
		if pixel != "" && e.PixelID != pixel || name != "" && e.Name != name || !within(since, until, e.ReceivedAt) || (m == analytics.MetricRevenue || m == analytics.MetricBaseRevenue) && e.Name != "purchase" ||
			!holds(where, func(d string) string { return group(e, d) }) {
			continue
		}
		amount := e.Order.Value
		if m == analytics.MetricBaseRevenue {
			amount = e.Enrichment.Value.Amount
		}
		v, ok := new(big.Rat).SetString(string(amount))
		if !ok {
			v = new(big.Rat)
		}
		facts = append(facts, fact{at: e.ReceivedAt, group: group(e, dimension), visitor: d.person(e), value: v})
	}
	return facts
}

// holds is the port's definition of conditions.
func holds(where []analytics.Condition, of func(dimension string) string) bool {
	for _, c := range where {
		if slices.Contains(c.Values, of(c.Dimension)) == c.Not {
			return false
		}
	}
	return true
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
	case analytics.MetricRevenue, analytics.MetricBaseRevenue:
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

var metrics = []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors, analytics.MetricRevenue, analytics.MetricBaseRevenue, analytics.MetricSyncs}

func dimensions(m analytics.Metric) []string {
	if m == analytics.MetricSyncs {
		return analytics.SyncDimensions
	}
	return analytics.EventDimensions
}

func topRecounted(t *testing.T, s analytics.Store, d *data) {
	for mi, m := range metrics {
		for di, dim := range dimensions(m) {
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
				if !d.asked(mi + di + i) {
					continue
				}
				t.Run(fmt.Sprintf("%s by %s %d", m, dim, i), func(t *testing.T) {
					q.Metric, q.Dimension = m, dim
					got, err := s.Top(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					want := top(m, d.facts(m, dim, q.PixelID, q.Name, q.Partner, q.Where, q.Since, q.Until), cmp.Or(q.Limit, 10))
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
	for mi, m := range metrics {
		for di, dim := range append([]string{""}, dimensions(m)...) {
			questions := []analytics.SeriesQuery{
				{Since: hour, Until: hour.Add(52 * time.Hour), Step: analytics.Hour},
				{Since: Begin.Add(90 * time.Minute), Until: Begin.Add(7 * time.Hour), Step: "15m", PixelID: "px_demo"},
				{Since: Begin.Add(-time.Hour), Until: Begin.Add(99 * time.Hour), Step: analytics.Day},
				{Since: Begin.Add(time.Hour), Until: Begin.Add(time.Hour + time.Microsecond), Step: analytics.Minute},
				{Since: Begin.AddDate(-4, 0, 0), Until: Begin.AddDate(1, 0, 0), Step: analytics.Week, Zone: "Europe/London"},
			}
			if m == analytics.MetricSyncs {
				questions = append(questions, analytics.SeriesQuery{Since: hour, Until: hour.Add(52 * time.Hour), Step: analytics.Hour, Zone: "Asia/Kolkata", Partner: "amazon"})
			} else {
				questions = append(questions, analytics.SeriesQuery{Since: hour, Until: hour.Add(52 * time.Hour), Step: "6h", Zone: "America/St_Johns", Name: "purchase"})
			}
			for i, q := range questions {
				if dim != "" && !d.asked(mi+di+i) {
					continue
				}
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
	facts := d.facts(q.Metric, q.GroupBy, q.PixelID, q.Name, q.Partner, q.Where, q.Since, q.Until)
	groups := []analytics.TopRow{{}}
	if q.GroupBy != "" {
		groups = top(q.Metric, facts, 20)
	}
	if len(got) != len(groups) {
		t.Fatalf("%d series, not %d", len(got), len(groups))
	}
	starts, err := q.Starts()
	if err != nil {
		t.Fatal(err)
	}
	type cell struct {
		group string
		step  int
	}
	cells := map[cell][]fact{}
	for _, f := range facts {
		step := 0
		for step+1 < len(starts) && !starts[step+1].After(f.at) {
			step++
		}
		c := cell{f.group, step}
		cells[c] = append(cells[c], f)
	}
	for i, g := range groups {
		if got[i].Group != g.Group {
			t.Fatalf("series %d is of %q, not %q", i, short(got[i].Group), short(g.Group))
		}
		if len(got[i].Points) != len(starts) {
			t.Fatalf("%d steps, not %d", len(got[i].Points), len(starts))
		}
		for j, p := range got[i].Points {
			if !p.Time.Equal(starts[j]) {
				t.Fatalf("step %d begins at %s, not %s", j, p.Time, starts[j])
			}
			if want := value(q.Metric, cells[cell{g.Group, j}]); !near(p.Value, want) {
				t.Errorf("%q at %s: %v, not %v", short(g.Group), p.Time, p.Value, want)
			}
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
		q := analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: Begin, Until: Begin.Add(time.Hour), Step: analytics.Minute}
		change(&q)
		ask("series: "+name, says, func(ctx context.Context) error { _, err := s.Series(ctx, q); return err })
	}
	series("no metric", "events, visitors, revenue, base_revenue, syncs", func(q *analytics.SeriesQuery) { q.Metric = "" })
	series("unknown metric", "count(*)", func(q *analytics.SeriesQuery) { q.Metric = "count(*)" })
	for _, step := range []analytics.Step{"", "0m", "-1h", "90s", "7m", "5h", "2d", "60m", "24h", "01h", "1", "m", "1M", "hour", "9999999999999999999m"} {
		series(fmt.Sprintf("step %q", step), "step must be minute, hour, day, week or month", func(q *analytics.SeriesQuery) { q.Step = step })
	}
	for _, zone := range []string{"Local", "Mars/Olympus", "../../etc/passwd", "Europe/London\x00", strings.Repeat("Z", 1<<20)} {
		series(fmt.Sprintf("zone %.20q", zone), "zone must be", func(q *analytics.SeriesQuery) { q.Zone = zone })
	}
	series("a condition on what is no dimension", "one of pixel_id, name", func(q *analytics.SeriesQuery) { q.Where = []analytics.Condition{analytics.Is("id; --", "x")} })
	series("a condition without a value", "needs 1 to 100 values", func(q *analytics.SeriesQuery) { q.Where = []analytics.Condition{analytics.Is("name")} })
	series("too many conditions", "at most 10 conditions", func(q *analytics.SeriesQuery) { q.Where = make([]analytics.Condition, 11) })
	series("too many steps", "2000 steps", func(q *analytics.SeriesQuery) { q.Until = q.Since.Add(2001 * time.Minute) })
	series("too many steps of an hour", "2000 steps", func(q *analytics.SeriesQuery) { q.Step, q.Until = analytics.Hour, q.Since.AddDate(1, 0, 0) })
	series("all of history", "hundred years", func(q *analytics.SeriesQuery) { q.Since, q.Step = time.Unix(-1<<40, 0), analytics.Month })
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
	top("unknown metric", "events, visitors, revenue, base_revenue, syncs", func(q *analytics.TopQuery) { q.Metric = "money" })
	top("no dimension", "pixel_id, name, consent", func(q *analytics.TopQuery) { q.Dimension = "" })
	top("unknown dimension", "pixel_id, name, consent", func(q *analytics.TopQuery) { q.Dimension = "body" })
	top("limit too high", "limit must be 1 to 1000", func(q *analytics.TopQuery) { q.Limit = 1001 })
	top("limit below nothing", "limit must be 1 to 1000", func(q *analytics.TopQuery) { q.Limit = -5 })
	top("until before since", "until", func(q *analytics.TopQuery) { q.Since, q.Until = Begin, Begin.Add(-1) })
	top("events of a partner", "partner", func(q *analytics.TopQuery) { q.Partner = "ttd" })

	funnel := func(name, says string, change func(*analytics.FunnelQuery)) {
		q := analytics.FunnelQuery{Since: Begin, Until: Begin.Add(time.Hour), Steps: []analytics.FunnelStep{{Name: "a"}, {Name: "b"}}}
		change(&q)
		ask("funnel: "+name, says, func(ctx context.Context) error { _, err := s.Funnel(ctx, q); return err })
	}
	funnel("one step", "2 to 10 steps", func(q *analytics.FunnelQuery) { q.Steps = q.Steps[:1] })
	funnel("eleven steps", "2 to 10 steps", func(q *analytics.FunnelQuery) { q.Steps = make([]analytics.FunnelStep, 11) })
	funnel("a step without a name", "step 2 of the funnel", func(q *analytics.FunnelQuery) { q.Steps[1].Name = "" })
	funnel("a window of years", "at most 90 days", func(q *analytics.FunnelQuery) { q.Window = 91 * 24 * time.Hour })
	funnel("a negative window", "more than nothing", func(q *analytics.FunnelQuery) { q.Window = -1 })
	funnel("no time", "since and until", func(q *analytics.FunnelQuery) { q.Since = time.Time{} })
	funnel("two years", "400 days", func(q *analytics.FunnelQuery) { q.Until = q.Since.AddDate(2, 0, 0) })
	funnel("a condition of a step", "one of pixel_id", func(q *analytics.FunnelQuery) { q.Steps[1].Where = []analytics.Condition{analytics.Is("body", "x")} })
	ask("latency: no time", "since and until", func(ctx context.Context) error { _, err := s.Latency(ctx, analytics.LatencyQuery{}); return err })
	ask("latency: a step that is none", "step must be", func(ctx context.Context) error {
		_, err := s.Latency(ctx, analytics.LatencyQuery{Since: Begin, Until: Begin.Add(time.Hour), Step: "3x"})
		return err
	})
	ask("repeated orders: limit", "limit must be", func(ctx context.Context) error {
		_, err := s.Repeated(ctx, analytics.RepeatedQuery{Since: Begin, Until: Begin.Add(time.Hour), Limit: 1001})
		return err
	})
	ask("story: of nothing", "one of them", func(ctx context.Context) error { _, err := s.Story(ctx, analytics.StoryQuery{}); return err })
	ask("story: of both", "one of them", func(ctx context.Context) error {
		_, err := s.Story(ctx, analytics.StoryQuery{ID: "a", OrderID: "b"})
		return err
	})
	events("greatest value below the least", "below the least", analytics.EventFilter{MinValue: new(2.0), MaxValue: new(1.0)})
	events("a value that is none", "must be a number", analytics.EventFilter{MinValue: new(math.NaN())})
	events("a condition on what is no dimension", "one of pixel_id", analytics.EventFilter{Where: []analytics.Condition{analytics.Is("search", "x")}})

	// Right at the bounds, it is answered.
	if got, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: Begin.Truncate(time.Minute), Until: Begin.Truncate(time.Minute).Add(2000 * time.Minute), Step: analytics.Minute}); err != nil || len(got[0].Points) != 2000 {
		t.Errorf("2,000 steps: %v", err)
	}
}

func endedContext(t *testing.T, s analytics.Store, _ *data) {
	for name, ask := range map[string]func(context.Context) error{
		"events": func(ctx context.Context) error { _, err := s.Events(ctx, analytics.EventFilter{}); return err },
		"event":  func(ctx context.Context) error { _, err := s.Event(ctx, "", "no-such-id"); return err },
		"syncs":  func(ctx context.Context) error { _, err := s.Syncs(ctx, analytics.SyncFilter{}); return err },
		"series": func(ctx context.Context) error {
			_, err := s.Series(ctx, analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: Begin, Until: Begin.Add(Span), Step: analytics.Hour})
			return err
		},
		"funnel": func(ctx context.Context) error {
			_, err := s.Funnel(ctx, analytics.FunnelQuery{Since: Begin, Until: Begin.Add(Span), Steps: []analytics.FunnelStep{{Name: "page_view"}, {Name: "purchase"}}})
			return err
		},
		"latency": func(ctx context.Context) error {
			_, err := s.Latency(ctx, analytics.LatencyQuery{Since: Begin, Until: Begin.Add(Span)})
			return err
		},
		"repeated orders": func(ctx context.Context) error {
			_, err := s.Repeated(ctx, analytics.RepeatedQuery{Since: Begin, Until: Begin.Add(Span)})
			return err
		},
		"story": func(ctx context.Context) error {
			_, err := s.Story(ctx, analytics.StoryQuery{ID: "no-such-id"})
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

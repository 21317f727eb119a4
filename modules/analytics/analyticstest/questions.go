package analyticstest

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// label is the step that a moment lies in, by the zone's clock and calendar. With
// what the clock is set to, it differs from one step to the next and nowhere else.
func label(step analytics.Step, t time.Time) string {
	switch step {
	case analytics.Month:
		return t.Format("2006-01")
	case analytics.Week:
		year, week := t.ISOWeek()
		return fmt.Sprint(year, " ", week)
	case analytics.Day:
		return t.Format("2006-01-02")
	}
	minutes := int(step.Usual().Minutes())
	return t.Format("2006-01-02 ") + fmt.Sprint((t.Hour()*60+t.Minute())/minutes) + t.Format(" -07:00")
}

// zonesRecounted counts by the label of each event's moment.
func zonesRecounted(t *testing.T, s analytics.Store, d *data) {
	spring := Begin.AddDate(0, 0, -210)
	for _, zone := range []string{"", "Europe/London", "Atlantic/Azores", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range []analytics.SeriesQuery{
			{Step: "30m", Since: Begin, Until: Begin.Add(30 * time.Hour)},
			{Step: analytics.Hour, Since: Begin.Add(-90 * time.Minute), Until: Begin.Add(Span)},
			{Step: "6h", Since: spring.Add(-90 * time.Minute), Until: spring.Add(Span), Metric: analytics.MetricVisitors},
			{Step: analytics.Day, Since: spring.AddDate(0, 0, -3), Until: Begin.AddDate(0, 0, 7), Metric: analytics.MetricRevenue, Where: []analytics.Condition{analytics.Is("currency", "EUR")}},
			{Step: analytics.Week, Since: spring.AddDate(-1, 0, 0), Until: Begin.AddDate(1, 0, 0), Metric: analytics.MetricVisitors, PixelID: "px_demo"},
			{Step: analytics.Month, Since: spring.AddDate(-1, 0, 0), Until: Begin.AddDate(1, 0, 0)},
			{Step: analytics.Day, Since: Begin, Until: Begin.AddDate(0, 0, 4), Metric: analytics.MetricSyncs},
		} {
			q.Zone, q.Metric = zone, cmp.Or(q.Metric, analytics.MetricEvents)
			t.Run(fmt.Sprintf("%s %s %s", q.Metric, q.Step, cmp.Or(zone, "UTC")), func(t *testing.T) {
				got, err := s.Series(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				want := map[string][]fact{}
				for _, f := range d.facts(q.Metric, "", q.PixelID, q.Name, q.Partner, q.Where, q.Since, q.Until) {
					l := label(q.Step, f.at.In(loc))
					want[l] = append(want[l], f)
				}
				points := got[0].Points
				if points[0].Time.After(q.Since) || !points[len(points)-1].Time.Before(q.Until) {
					t.Errorf("the steps are from %s to %s", points[0].Time, points[len(points)-1].Time)
				}
				for _, p := range points {
					l := label(q.Step, p.Time.In(loc))
					if before := label(q.Step, p.Time.Add(-time.Nanosecond).In(loc)); l == before {
						t.Errorf("a step begins in the middle of %s, at %s", l, p.Time.In(loc))
					}
					if v := value(q.Metric, want[l]); !near(p.Value, v) {
						t.Errorf("%s: %v, not %v", l, p.Value, v)
					}
					delete(want, l)
				}
				if len(want) > 0 {
					t.Errorf("no step for %v", slices.Collect(maps.Keys(want)))
				}
			})
		}
	}
}

// conditionsRecounted selects by each dimension, alone and with others.
func conditionsRecounted(t *testing.T, s analytics.Store, d *data) {
	r := rand.New(rand.NewPCG(5, 5))
	for mi, m := range metrics {
		list := dimensions(m)
		for i, dim := range list {
			if (d.every > 3 || m != analytics.MetricEvents && m != analytics.MetricSyncs) && !d.asked(mi+i) {
				continue
			}
			values := []string{""}
			for _, f := range top(analytics.MetricEvents, d.facts(m, dim, "", "", "", nil, time.Time{}, time.Time{}), 1000) {
				values = append(values, f.Group)
			}
			var where []analytics.Condition
			for _, c := range []analytics.Condition{
				analytics.Is(dim, values[r.IntN(len(values))]), analytics.Is(dim, values[:min(len(values), 60)]...), {Dimension: dim, Values: values[:1+r.IntN(min(len(values), 9))], Not: true},
				analytics.Is(dim, hostile...),
			} {
				where = append(where, c)
				group := list[(i+len(where))%len(list)]
				asked := [][]analytics.Condition{where}
				if len(where) > 1 {
					asked = append(asked, []analytics.Condition{c})
				}
				for _, w := range asked {
					q := analytics.TopQuery{Metric: m, Dimension: group, Where: w, Limit: 100}
					want := top(m, d.facts(m, group, "", "", "", w, time.Time{}, time.Time{}), 100)
					got, err := s.Top(t.Context(), q)
					if err != nil || !slices.EqualFunc(got, want, func(a, b analytics.TopRow) bool { return a.Group == b.Group && near(a.Value, b.Value) }) {
						t.Errorf("%s by %s, where %s: %d groups are not the %d of a recount, %v", m, group, dim, len(got), len(want), err)
					}
				}
			}
			checkSeries(t, s, d, analytics.SeriesQuery{Metric: m, Since: Begin, Until: Begin.Add(Span), Step: analytics.Hour, Zone: "Asia/Kolkata", GroupBy: list[0], Where: where[2:3]})
			checkSeries(t, s, d, analytics.SeriesQuery{Metric: m, Since: Begin, Until: Begin.Add(Span), Step: analytics.Day, Zone: "Europe/Berlin", Where: where[1:2], PixelID: "px_demo"})
		}
	}
}

// longest is how many steps one visitor's events can fulfil from a first one on,
// by trying everything.
func longest(q analytics.FunnelQuery, events []*event.Event) int {
	fits := func(i int, e *event.Event) bool {
		return e.Name == q.Steps[i].Name && holds(q.Steps[i].Where, func(d string) string { return group(e, d) })
	}
	best := 0
	var follow func(step int, first, last int64)
	follow = func(step int, first, last int64) {
		best = max(best, step)
		if step == len(q.Steps) {
			return
		}
		for _, e := range events {
			if at := e.Time.UnixMicro(); fits(step, e) && (step == 0 || at > last && at-first <= q.Window.Microseconds()) {
				if step == 0 {
					first = at
				}
				follow(step+1, first, at)
			}
		}
	}
	follow(0, 0, 0)
	return best
}

func funnelsRecounted(t *testing.T, s analytics.Store, d *data) {
	step := func(name string, where ...analytics.Condition) analytics.FunnelStep {
		return analytics.FunnelStep{Name: name, Where: where}
	}
	for i, q := range []analytics.FunnelQuery{
		{Steps: []analytics.FunnelStep{step("page_view"), step("view_item"), step("purchase")}},
		{Steps: []analytics.FunnelStep{step("page_view"), step("page_view"), step("page_view")}, PixelID: "px_demo", Window: 20 * time.Hour},
		{Steps: []analytics.FunnelStep{step("page_view"), step("page_view", analytics.Is("device", "mobile")), step("add_to_cart"), step("purchase")}, Window: 30 * time.Hour},
		{Steps: []analytics.FunnelStep{step("purchase"), step("page_view")}, Where: []analytics.Condition{analytics.Is("country", "GB", "DE")}, Window: time.Hour},
		{Steps: []analytics.FunnelStep{step("view_item"), step("scroll")}, Since: Begin.Add(5 * time.Hour), Until: Begin.Add(20 * time.Hour)},
		{Steps: []analytics.FunnelStep{step(hostile[0]), step("purchase")}},
		{Steps: []analytics.FunnelStep{step("page_view"), step("purchase")}, Window: time.Microsecond},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if q.Since.IsZero() {
				q.Since, q.Until = Begin.AddDate(-1, 0, 0), Begin.Add(Span)
			}
			got, err := s.Funnel(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			q, err = q.Check()
			if err != nil {
				t.Fatal(err)
			}
			visitors := map[string][]*event.Event{}
			for i := range d.events {
				e := &d.events[i]
				if e.Subject.VisitorID != "" && (q.PixelID == "" || q.PixelID == e.PixelID) && within(q.Since, q.Until, e.ReceivedAt) && holds(q.Where, func(d string) string { return group(e, d) }) {
					who := d.person(e)
					visitors[who] = append(visitors[who], e)
				}
			}
			want := make([]analytics.FunnelCount, len(q.Steps))
			for i, step := range q.Steps {
				want[i].Name = step.Name
			}
			for _, events := range visitors {
				for i := range longest(q, events) {
					want[i].Visitors++
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %v, not %v", got, want)
			}
			t.Log(want)
		})
	}
}

func latenciesRecounted(t *testing.T, s analytics.Store, d *data) {
	for _, q := range []analytics.LatencyQuery{
		{Since: Begin, Until: Begin.Add(Span)},
		{Since: Begin.Add(time.Hour), Until: Begin.Add(9 * time.Hour), PixelID: "px_demo", Step: analytics.Hour, Zone: "Asia/Kolkata"},
		{Since: Begin.AddDate(-1, 0, 0), Until: Begin.Add(Span), Partner: "ttd", Step: analytics.Day, Zone: "Europe/London"},
		{Since: Begin, Until: Begin.Add(Span), Partner: "no such partner", Step: analytics.Day},
	} {
		starts, err := q.Starts()
		if err != nil {
			t.Fatal(err)
		}
		type key struct {
			partner string
			step    int
		}
		all := map[key][]time.Duration{}
		for _, l := range d.syncs {
			if l.Latency == 0 || !within(q.Since, q.Until, l.At) || q.PixelID != "" && q.PixelID != l.PixelID || q.Partner != "" && q.Partner != l.Partner {
				continue
			}
			step := 0
			for step+1 < len(starts) && !starts[step+1].After(l.At) {
				step++
			}
			all[key{l.Partner, step}] = append(all[key{l.Partner, step}], l.Latency)
		}
		want := make([]analytics.Latency, 0, len(all))
		for _, k := range slices.SortedFunc(maps.Keys(all), func(a, b key) int { return cmp.Or(cmp.Compare(a.partner, b.partner), a.step-b.step) }) {
			at := time.Time{}
			if q.Step != "" {
				at = starts[k.step].UTC()
			}
			want = append(want, analytics.LatencyOf(k.partner, at, all[k]))
		}
		got, err := s.Latency(t.Context(), q)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %d rows, %v, not the %d of a recount", q, len(got), err, len(want))
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("%d: %+v, not %+v", i, got[i], want[i])
				}
			}
		}
	}
}

func repeatedRecounted(t *testing.T, s analytics.Store, d *data) {
	for _, q := range []analytics.RepeatedQuery{
		{Since: Begin.AddDate(-1, 0, 0), Until: Begin.Add(Span), Limit: 1000},
		{Since: Begin, Until: Begin.Add(20 * time.Hour), PixelID: "px_demo", Limit: 5},
		{Since: Begin, Until: Begin.Add(time.Microsecond)},
	} {
		by := map[[2]string]analytics.RepeatedOrder{}
		for i := range d.events {
			e := &d.events[i]
			if e.Name != "purchase" || e.Order.ID == "" || !within(q.Since, q.Until, e.ReceivedAt) || q.PixelID != "" && q.PixelID != e.PixelID {
				continue
			}
			k := [2]string{e.PixelID, e.Order.ID}
			o, there := by[k]
			if !there {
				o = analytics.RepeatedOrder{PixelID: e.PixelID, OrderID: e.Order.ID, First: e.ReceivedAt, Last: e.ReceivedAt}
			}
			o.Purchases++
			if e.ReceivedAt.Before(o.First) {
				o.First = e.ReceivedAt
			}
			if e.ReceivedAt.After(o.Last) {
				o.Last = e.ReceivedAt
			}
			by[k] = o
		}
		want := slices.DeleteFunc(slices.Collect(maps.Values(by)), func(o analytics.RepeatedOrder) bool { return o.Purchases < 2 })
		slices.SortFunc(want, func(a, b analytics.RepeatedOrder) int {
			return cmp.Or(cmp.Compare(b.Purchases, a.Purchases), cmp.Compare(a.PixelID, b.PixelID), cmp.Compare(a.OrderID, b.OrderID))
		})
		want = want[:min(len(want), cmp.Or(q.Limit, 50))]
		got, err := s.Repeated(t.Context(), q)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, %v, not %v", q, got, err, want)
		}
	}
}

func stories(t *testing.T, s analytics.Store, d *data) {
	check := func(q analytics.StoryQuery, e *event.Event) {
		t.Helper()
		got, err := s.Story(t.Context(), q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		if encode(t, got.Event) != encode(t, e) {
			t.Errorf("%+v is the story of %s, not %s", q, short(got.Event.ID), short(e.ID))
		}
		var syncs []event.Sync
		for _, l := range d.syncs {
			if l.EventID == e.ID && l.PixelID == e.PixelID {
				syncs = append(syncs, l)
			}
		}
		var matches []event.Match
		for _, m := range d.matches {
			if m.EventID == e.ID && m.PixelID == e.PixelID {
				matches = append(matches, m)
			}
		}
		slices.SortFunc(matches, func(a, b event.Match) int { return cmp.Compare(a.Partner, b.Partner) })
		slices.Reverse(got.Syncs)
		sameSyncs(t, got.Syncs, syncs)
		if encode(t, got.Matches) != encode(t, matches) {
			t.Errorf("%+v: matches %v, not %v", q, got.Matches, matches)
		}
	}
	last, tied := map[string]*event.Event{}, map[string]bool{} // by order
	for i := range d.events {
		e := &d.events[i]
		if e.Order.ID == "" {
			continue
		}
		was, better := last[e.Order.ID], e.Name == "purchase"
		if was == nil || better != (was.Name == "purchase") && better || better == (was.Name == "purchase") && e.ReceivedAt.After(was.ReceivedAt) {
			last[e.Order.ID], tied[e.Order.ID] = e, false
		} else if better == (was.Name == "purchase") && e.ReceivedAt.Equal(was.ReceivedAt) {
			tied[e.Order.ID] = true
		}
	}
	for i := 0; i < len(d.events); i += 97 {
		e := &d.events[i]
		check(analytics.StoryQuery{ID: e.ID, PixelID: e.PixelID}, e)
	}
	n := 0
	for _, id := range slices.Sorted(maps.Keys(last)) {
		if n++; n%7 == 0 && !tied[id] {
			check(analytics.StoryQuery{OrderID: id}, last[id])
		}
	}
	for _, q := range []analytics.StoryQuery{{ID: "no-such"}, {OrderID: "no-such"}, {ID: d.events[0].ID, PixelID: "px_none"}} {
		if _, err := s.Story(t.Context(), q); !isNotFound(err) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

package sqliteanalytics

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/sqlitedb"
)

func openAt(tb testing.TB, path string) *Store {
	tb.Helper()
	db, err := sqlitedb.Open(path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	s, err := New(db)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func BenchmarkWriteEvents256(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "analytics.db"))
	i := 0
	for b.Loop() {
		b.StopTimer()
		events := analyticstest.Events(uint64(i), 256, time.Second)
		i++
		b.StartTimer()
		if err := s.WriteEvents(b.Context(), events...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkWriteSyncs256(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "analytics.db"))
	i := 0
	for b.Loop() {
		b.StopTimer()
		syncs := analyticstest.Syncs(1, analyticstest.Events(uint64(i), 256, time.Second))
		i++
		b.StartTimer()
		if err := s.WriteSyncs(b.Context(), syncs...); err != nil {
			b.Fatal(err)
		}
	}
}

// The million events lie over a week; "24h" reads its last day.
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("writes a million events")
	}
	const n, span = 1_000_000, 7 * 24 * time.Hour
	path := filepath.Join(b.TempDir(), "analytics.db")
	s := openAt(b, path)
	all := analyticstest.Events(1, n, span)
	for i := 0; i < n; i += 1000 {
		if err := s.WriteEvents(b.Context(), all[i:min(n, i+1000)]...); err != nil {
			b.Fatal(err)
		}
	}
	if st, err := os.Stat(path); err == nil {
		b.Logf("%d bytes an event on disk", st.Size()/n)
	}
	end := analyticstest.Begin.Add(span)
	day, week := end.Add(-24*time.Hour), analyticstest.Begin
	must := func(b *testing.B, err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	series := func(q analytics.SeriesQuery) func(*testing.B) {
		q.Until = end
		return func(b *testing.B) {
			for b.Loop() {
				_, err := s.Series(b.Context(), q)
				must(b, err)
			}
		}
	}
	events := func(f analytics.EventFilter) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				_, err := s.Events(b.Context(), f)
				must(b, err)
			}
		}
	}
	top := func(q analytics.TopQuery) func(*testing.B) {
		q.Until = end
		return func(b *testing.B) {
			for b.Loop() {
				_, err := s.Top(b.Context(), q)
				must(b, err)
			}
		}
	}
	for _, c := range []struct {
		name string
		run  func(*testing.B)
	}{
		{"events/newest 50", events(analytics.EventFilter{})},
		{"events/newest 50 of a pixel", events(analytics.EventFilter{PixelID: "px_other"})},
		{"events/newest 50 purchases", events(analytics.EventFilter{PixelID: "px_other", Name: "purchase"})},
		{"events/by order", events(analytics.EventFilter{OrderID: "A-510000"})},
		{"events/by visitor", events(analytics.EventFilter{VisitorID: all[0].Subject.VisitorID})},
		{"events/query that finds", events(analytics.EventFilter{Query: "shoe 17 "})},
		{"events/query that finds nothing", events(analytics.EventFilter{Query: "nowhere"})},
		{"events/event by id", func(b *testing.B) {
			for b.Loop() {
				_, err := s.Event(b.Context(), "", all[n/3].ID)
				must(b, err)
			}
		}},
		{"series 24h/events", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: day, Step: analytics.Hour})},
		{"series 24h/events of a pixel", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, PixelID: "px_demo", Since: day, Step: analytics.Hour})},
		{"series 24h/events by name", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: day, Step: analytics.Hour, GroupBy: "name"})},
		{"series 24h/visitors", series(analytics.SeriesQuery{Metric: analytics.MetricVisitors, Since: day, Step: analytics.Hour})},
		{"series 24h/revenue by currency", series(analytics.SeriesQuery{Metric: analytics.MetricRevenue, Since: day, Step: analytics.Hour, GroupBy: "currency"})},
		{"series 24h/events by device", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: day, Step: analytics.Hour, GroupBy: "device"})},
		{"series 7d/events", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: week, Step: analytics.Hour})},
		{"series 7d/visitors", series(analytics.SeriesQuery{Metric: analytics.MetricVisitors, Since: week, Step: analytics.Hour})},
		{"top 24h/pages", top(analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "page_path", Since: day})},
		{"top 24h/visitors by country", top(analytics.TopQuery{Metric: analytics.MetricVisitors, Dimension: "country", Since: day})},
		{"top 7d/pages", top(analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "page_path", Since: week})},
	} {
		b.Run(c.name, c.run)
	}
}

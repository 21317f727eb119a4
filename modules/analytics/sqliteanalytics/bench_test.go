package sqliteanalytics

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/event"
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

// BenchmarkWriteBatch is what the worker writes: events of an hour with their touchpoints
// and, of some sales, credits.
func BenchmarkWriteBatch(b *testing.B) {
	s := openAt(b, filepath.Join(b.TempDir(), "analytics.db"))
	const n = 512
	i := 0
	var spent time.Duration
	for b.Loop() {
		batch := analytics.Batch{Events: analyticstest.Events(uint64(i), n, time.Second)}
		for j := range batch.Events {
			e := &batch.Events[j]
			e.ID = fmt.Sprintf("%08x-%04x-7000-8000-%012x", i, j, j)
			if j%6 == 0 {
				batch.Touches = append(batch.Touches, touch(e, j))
			}
			if j%64 != 0 {
				continue
			}
			for _, model := range []string{"last_non_direct", "first_touch", "last_touch", "linear", "time_decay", "position"} {
				c := event.Credits{PixelID: e.PixelID, EventID: e.ID, Model: model, Version: 1, Name: "purchase", VisitorID: e.Subject.VisitorID, At: e.Time, ReceivedAt: e.ReceivedAt, Currency: "GBP", Value: 1e7}
				shares := 3
				if strings.Contains(model, "touch") || strings.Contains(model, "last") {
					shares = 1
				}
				for k := range shares {
					c.Shares = append(c.Shares, event.Share{Touchpoint: touch(e, k), Weight: int64(event.Whole / shares), Value: int64(1e7 / shares)})
				}
				batch.Credits = append(batch.Credits, c)
			}
		}
		i++
		before := cpu()
		if err := s.WriteBatch(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		spent += cpu() - before
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(n*b.N), "µs-cpu/event")
}

func touch(e *event.Event, k int) event.Touchpoint {
	return event.Touchpoint{ID: fmt.Sprint(e.ID[:23], "-", k), PixelID: e.PixelID, VisitorID: e.Subject.VisitorID, EventID: e.ID, At: e.Time, Kind: event.CampaignVisit, Channel: "paid_search", Source: "google", Campaign: "campaign-01"}
}

// cpu is this process's, all threads together.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

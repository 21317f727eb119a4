package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/chanalytics"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/sqlitedb"
)

// reportsOf are how large the two stores are that are asked.
type reportsOf struct {
	embedded, clickhouse int
	rounds               int
	dir                  string // where they are kept; empty: nowhere
}

// benchReports fills both stores, and asks them what the console's pages ask.
func benchReports(ctx context.Context, o reportsOf) error {
	figures := map[string]any{"insert_ratio": nil, "dashboard_ms": nil, "story_ms": nil, "embedded_dashboard_ms": nil}
	if o.embedded > 0 {
		if err := o.embeddedReports(ctx, figures); err != nil {
			return fmt.Errorf("embedded: %w", err)
		}
	}
	if o.clickhouse > 0 {
		if err := o.clickhouseReports(ctx, figures); err != nil {
			return fmt.Errorf("clickhouse: %w", err)
		}
	}
	line, err := json.Marshal(figures, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", line)
	return nil
}

func (o reportsOf) embeddedReports(ctx context.Context, figures map[string]any) error {
	dir := o.dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "bench-reports-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	db, err := sqlitedb.Open(filepath.Join(dir, "analytics.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := sqliteanalytics.New(db)
	if err != nil {
		return err
	}
	until, err := newest(ctx, s)
	if err != nil {
		return err
	}
	if until.IsZero() {
		until = time.Now().UTC()
		began, before := time.Now(), own()
		if err := fill(ctx, s, newShop(o.embedded, until), o.embedded, 1000); err != nil {
			return err
		}
		n := float64(o.embedded)
		figures["embedded_events"], figures["embedded_write_eps"] = o.embedded, round(n/time.Since(began).Seconds())
		figures["embedded_write_cpu_us"] = hundredths(float64((own() - before).Microseconds()) / n)
		fmt.Printf("\nembedded: %d events written by the store's own writer, %v a second, %v µs of CPU each\n", o.embedded, figures["embedded_write_eps"], figures["embedded_write_cpu_us"])
	}
	slowest, story, err := o.ask(ctx, s, until, own)
	figures["embedded_dashboard_ms"], figures["embedded_story_ms"] = slowest, story
	return err
}

// newest is just after the last event of a store that an earlier run filled.
func newest(ctx context.Context, s analytics.Reader) (time.Time, error) {
	page, err := s.Events(ctx, analytics.EventFilter{Limit: 1})
	if err != nil || len(page.Events) == 0 {
		return time.Time{}, err
	}
	return page.Events[0].ReceivedAt.Add(time.Microsecond), nil
}

// fill writes events so many at a time, as a busy worker does.
func fill(ctx context.Context, s analytics.Writer, shop *shop, n, batch int) error {
	for left := n; left > 0; left -= batch {
		if err := s.WriteEvents(ctx, shop.next(min(batch, left))...); err != nil {
			return err
		}
	}
	return nil
}

// orders are some purchases of the whole month.
func orders(ctx context.Context, s analytics.Reader, until time.Time) (some []event.Event, err error) {
	for i := range 20 {
		page, err := s.Events(ctx, analytics.EventFilter{Name: "purchase", Until: until.Add(-time.Duration(i) * 35 * time.Hour), Limit: 5})
		if err != nil {
			return nil, err
		}
		some = append(some, page.Events...)
	}
	if len(some) == 0 {
		return nil, errors.New("there are no orders")
	}
	return some, nil
}

// ask asks what the overview and the report pages ask, and for stories. It returns
// the slowest question's median, and the slower kind of story's. cpu is what was spent
// so far; what a question takes of it depends less on what else runs.
func (o reportsOf) ask(ctx context.Context, s analytics.Reader, until time.Time, cpu func() time.Duration) (slowest, story float64, err error) {
	some, err := orders(ctx, s, until)
	if err != nil {
		return 0, 0, err
	}
	month, week, day := until.AddDate(0, 0, -30), until.AddDate(0, 0, -7), until.AddDate(0, 0, -1)
	series := func(q analytics.SeriesQuery) func() error {
		q.Until = until
		return func() error { _, err := s.Series(ctx, q); return err }
	}
	top := func(q analytics.TopQuery) func() error {
		q.Until = until
		return func() error { _, err := s.Top(ctx, q); return err }
	}
	fmt.Printf("\n%-44s %10s %10s %10s\n", "question (warm)", "median ms", "worst ms", "CPU ms")
	for _, q := range []struct {
		name string
		ask  func() error
	}{
		{"events, 24 h by 15 min", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: day, Step: "15m"})},
		{"events, 7 days by 3 h", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: week, Step: "3h"})},
		{"events, 30 days by 6 h", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: month, Step: "6h"})},
		{"events of a pixel, 30 days, New York", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, PixelID: "px_shop", Since: month, Step: analytics.Day, Zone: "America/New_York"})},
		{"visitors, 7 days by 3 h", series(analytics.SeriesQuery{Metric: analytics.MetricVisitors, Since: week, Step: "3h"})},
		{"visitors, 30 days by day, London", series(analytics.SeriesQuery{Metric: analytics.MetricVisitors, Since: month, Step: analytics.Day, Zone: "Europe/London"})},
		{"visitors, 30 days in all", top(analytics.TopQuery{Metric: analytics.MetricVisitors, Dimension: "pixel_id", Since: month})},
		{"revenue by currency, 30 days by day", series(analytics.SeriesQuery{Metric: analytics.MetricRevenue, Since: month, Step: analytics.Day, GroupBy: "currency"})},
		{"events by name, 30 days by day", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: month, Step: analytics.Day, GroupBy: "name"})},
		{"events by consent, 7 days by 3 h", series(analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: week, Step: "3h", GroupBy: "consent"})},
		{"top names, 30 days", top(analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "name", Since: month})},
		{"top pages, 30 days", top(analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "page_path", Since: month})},
		{"top campaigns of purchases, 30 days", top(analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "utm_campaign", Name: "purchase", Since: month})},
		{"top countries, 7 days", top(analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "country", Since: week})},
	} {
		median, worst, spent, err := o.timed(q.ask, cpu)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", q.name, err)
		}
		fmt.Printf("%-44s %10.1f %10.1f %10.1f\n", q.name, median, worst, spent)
		slowest = max(slowest, median)
	}
	for _, by := range []string{"event", "order"} {
		i := 0
		median, worst, spent, err := o.timed(func() error {
			q := analytics.StoryQuery{ID: some[i%len(some)].ID}
			if by == "order" {
				q = analytics.StoryQuery{OrderID: some[i%len(some)].Order.ID}
			}
			i++
			_, err := s.Story(ctx, q)
			return err
		}, cpu)
		if err != nil {
			return 0, 0, fmt.Errorf("a story by %s id: %w", by, err)
		}
		fmt.Printf("%-44s %10.1f %10.1f %10.1f\n", "a story by the "+by+"'s id", median, worst, spent)
		story = max(story, median)
	}
	return hundredths(slowest), hundredths(story), nil
}

// timed asks once to warm up, and then some times. It returns milliseconds; spent is
// of the processor, for one.
func (o reportsOf) timed(ask func() error, cpu func() time.Duration) (median, worst, spent float64, err error) {
	var all []float64
	var before time.Duration
	for i := range o.rounds + 1 {
		began := time.Now()
		if i == 1 {
			before = cpu()
		}
		if err := ask(); err != nil {
			return 0, 0, 0, err
		}
		if i > 0 {
			all = append(all, ms(time.Since(began)))
		}
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)-1], ms(cpu()-before) / float64(o.rounds), nil
}

// seedEvents, or a tenth of all where that is less, are written by the store's own
// writer; the engine makes the rest of them.
const seedEvents = 200_000

func (o reportsOf) clickhouseReports(ctx context.Context, figures map[string]any) (err error) {
	dir := o.dir
	if dir != "" {
		dir = filepath.Join(dir, "clickhouse")
	} else {
		inserted, err := insertRatio(ctx, o.rounds)
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		maps.Copy(figures, inserted)
	}
	e, err := startEngine(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.end()) }()
	s, err := e.store(ctx, "reports")
	if err != nil {
		return err
	}
	defer s.Stop()
	until, err := newest(ctx, s)
	if err != nil {
		return err
	}
	if until.IsZero() {
		until = time.Now().UTC()
		if err := o.fillClickHouse(ctx, e, s, until); err != nil {
			return err
		}
		figures["clickhouse_events"] = o.clickhouse
	}
	figures["dashboard_ms"], figures["story_ms"], err = o.ask(ctx, s, until, e.cpu)
	return err
}

func (o reportsOf) fillClickHouse(ctx context.Context, e *engine, s *chanalytics.Store, until time.Time) error {
	seed := min(seedEvents, (o.clickhouse+9)/10)
	if err := fill(ctx, s, newShop(seed, until), seed, 10_000); err != nil {
		return err
	}
	// Copies with ids, visitors and times of their own.
	for made := seed; made < o.clickhouse; made += seed {
		n := made / seed
		query := fmt.Sprintf(`INSERT INTO events SELECT * REPLACE (
			concat(id, '-%d') AS id, if(order_id = '', '', concat(order_id, '-%d')) AS order_id, concat(visitor_id, '-%d') AS visitor_id, received_at - toIntervalMillisecond(%d) AS received_at, seq + %d AS seq)
			FROM events WHERE length(id) = 36 LIMIT %d`, n, n, n%4, n*97, n, min(seed, o.clickhouse-made))
		if _, err := e.ask(ctx, "reports", query, nil); err != nil {
			return err
		}
	}
	// What was written by hand nobody entered: the time series must know of it.
	if _, err := e.ask(ctx, "reports", `INSERT INTO series_touches (source, hour) SELECT DISTINCT 'events', toStartOfHour(toDateTime(received_at, 'UTC')) FROM events`, nil); err != nil {
		return err
	}
	fmt.Printf("\nclickhouse: %d events: %d by the store's own writer, the rest copies of those by INSERT … SELECT with ids, orders, visitors and times of their own\n", o.clickhouse, seed)
	if o.clickhouse < 1_000_000 {
		return nil
	}
	fmt.Println("waiting until the time series are counted (they settle for five minutes) …")
	return counted(ctx, s)
}

// counted waits until no pass is due that was due after the last write.
func counted(ctx context.Context, s *chanalytics.Store) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5*time.Minute + 10*time.Second):
	}
	for {
		made, err := s.Count(ctx, "events")
		if err != nil || made == 0 {
			return err
		}
	}
}

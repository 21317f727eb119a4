package chanalytics

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/clickhousetest"
)

// What is written by one protocol is read by the other, and packed either way.
func TestBothProtocolsSayTheSame(t *testing.T) {
	t.Parallel()
	server := clickhousetest.Start(t, "")
	server.Exec(t, "CREATE DATABASE px")
	addresses := []string{
		server.NativeDSN("px"), server.NativeDSN("px") + "?compress=zstd", server.NativeDSN("px") + "?compress=none",
		server.DSN("px"), server.DSN("px") + "?compress=zstd",
	}
	migrated(t, addresses[0])
	events := analyticstest.Events(3, 100*len(addresses), time.Hour)
	var answers [][]string
	var stores []*Store
	for i, dsn := range addresses {
		s := opened(t, settings(dsn))
		stores = append(stores, s)
		if err := s.WriteEvents(t.Context(), events[100*i:100*(i+1)]...); err != nil {
			t.Fatalf("%s: %v", dsn, err)
		}
	}
	for i, s := range stores {
		page, err := s.Events(t.Context(), analytics.EventFilter{Limit: 1000})
		if err != nil {
			t.Fatalf("%s: %v", addresses[i], err)
		}
		var ids []string
		for _, e := range page.Events {
			ids = append(ids, e.ID+" "+e.Name+" "+string(e.Order.Value)+" "+string(e.Properties))
		}
		answers = append(answers, ids)
		if len(ids) != len(events) || !slices.Equal(ids, answers[0]) {
			t.Errorf("%s: %d events, which are not those that %s reads", addresses[i], len(ids), addresses[0])
		}
	}
}

// Whatever a page's address or a campaign is called, it is a value and nothing of the
// statement: neither the server's syntax nor what the driver takes for a place of a value.
func TestNoValueIsTakenForAPartOfTheStatement(t *testing.T) {
	t.Parallel()
	clickhousetest.Protocols(t, func(t *testing.T, dsn func(testing.TB) string) {
		s := opened(t, migrated(t, dsn(t)))
		odd := []string{"{a:String}", "{{a:b}", "a?b", "?", "@a", "$1", `a'b`, `a\b`, `\'`, "a\x00b", "\n", "{x:Identifier} ? ' ;", "ä{ö:ü}"}
		events := analyticstest.Events(9, len(odd), time.Hour)
		for i := range events {
			events[i].Enrichment.Campaign.Source = odd[i]
		}
		if err := s.WriteEvents(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
		for i, v := range odd {
			where := []analytics.Condition{{Dimension: "utm_source", Values: []string{v}}}
			page, err := s.Events(t.Context(), analytics.EventFilter{Where: where})
			if err != nil || len(page.Events) != 1 || page.Events[0].ID != events[i].ID {
				t.Errorf("%q selects %d events, %v", v, len(page.Events), err)
			}
		}
		since := analyticstest.Begin.Truncate(24 * time.Hour)
		series, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: analytics.MetricEvents, GroupBy: "utm_source", Step: analytics.Hour, Since: since, Until: since.Add(48 * time.Hour)})
		if err != nil || len(series) < len(odd) {
			t.Errorf("%d series of %d sources, %v", len(series), len(odd), err)
		}
	})
}

// An error is one with its code, and the connection goes on.
func TestANativeErrorHasItsCode(t *testing.T) {
	t.Parallel()
	s := opened(t, migrated(t, clickhousetest.NativeDSN(t)))
	for range 3 {
		err := s.conn.Exec(t.Context(), `INSERT INTO nowhere (a) VALUES (1)`)
		var e *clickhouse.Exception
		if !errors.As(err, &e) || e.Code != 60 || !strings.Contains(e.Message, "nowhere") {
			t.Fatalf("the error is %v", err)
		}
		b, err := s.conn.PrepareBatch(t.Context(), `INSERT INTO schema_migrations (version, nothing)`)
		if err == nil {
			_ = b.Abort()
		}
		if !errors.As(err, &e) || e.Code != 16 {
			t.Fatalf("the error is %v", err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

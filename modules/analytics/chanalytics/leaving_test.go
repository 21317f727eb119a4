package chanalytics

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/clickhousetest"
)

// A question that would take hours ends on the server once nobody waits for it.
func TestAQuestionEndsOnTheServerWhenItsReaderLeaves(t *testing.T) {
	clickhousetest.Protocols(t, leaves)
}

func leaves(t *testing.T, dsn func(testing.TB) string) {
	s := opened(t, migrated(t, dsn(t)))
	running := func() bool {
		var n uint64
		err := s.ask(t.Context(), "look", `SELECT count() FROM system.processes WHERE position(query, concat('an', 'endless', 'question')) > 0`, nil, func(r driver.Rows) error { return r.Scan(&n) })
		if err != nil {
			t.Error(err)
		}
		return n > 0
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	answer := make(chan error, 1)
	go func() {
		answer <- s.ask(ctx, "wait", `SELECT count() /* anendlessquestion */ FROM numbers(1000000000000) WHERE sipHash64(number) = 7 SETTINGS max_threads = 1`, nil, func(driver.Rows) error { return nil })
	}()
	await(t, running)
	leave()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	await(t, func() bool { return !running() })
}

// Everything in this package runs on a server of the user's, by the protocol of its
// address, where one is named. What speaks natively before the engine of the tests is ours.
func TestAServerOfTheUsersIsWrittenToAndRead(t *testing.T) {
	if os.Getenv("PIXEL_TEST_CLICKHOUSE_DSN") == "" {
		t.Skip("SKIPPED: PIXEL_TEST_CLICKHOUSE_DSN names no server, so TLS, a cluster and the native protocol of a server's own were not tried")
	}
	c := migrated(t, clickhousetest.DSN(t))
	o, err := options(c)
	if err != nil {
		t.Fatal(err)
	}
	s := opened(t, c)
	events := analyticstest.Events(1, 3000, time.Hour)
	if err := s.WriteEvents(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	page, err := s.Events(t.Context(), analytics.EventFilter{Limit: 1000})
	if err != nil || len(page.Events) != 1000 || page.Next == "" {
		t.Errorf("%d events, %v", len(page.Events), err)
	}
	v, err := s.conn.ServerVersion()
	t.Logf("by %s, TLS %v, on %v, %v", map[clickhouse.Protocol]string{clickhouse.Native: "the native protocol", clickhouse.HTTP: "HTTP"}[o.Protocol], o.TLS != nil, v, err)
}

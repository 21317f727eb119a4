package chanalytics

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/migrations"
	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/clickhousetest"
)

// settings are the defaults, with a pause that does not slow tests down.
func settings(dsn string) config.ClickHouse {
	c := config.Default().ClickHouse
	c.DSN, c.Linger, c.QueryTimeout = dsn, 0, time.Minute
	return c
}

func migrated(t testing.TB, dsn string) config.ClickHouse {
	t.Helper()
	c := settings(dsn)
	if _, err := Migrate(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// opened is a store on a migrated database.
func opened(t testing.TB, c config.ClickHouse) *Store {
	t.Helper()
	s, err := New(c, nil, slog.New(slog.NewTextHandler(t.Output(), nil)), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	return s
}

func TestWhatIsErasedIsGoneWithAllThatWasSaidOfIt(t *testing.T) {
	t.Parallel()
	analyticstest.Erase(t, opened(t, migrated(t, clickhousetest.NativeDSN(t))))
}

func TestWholeDaysExpire(t *testing.T) {
	t.Parallel()
	analyticstest.Expire(t, opened(t, migrated(t, clickhousetest.DSN(t))))
}

func TestContract(t *testing.T) {
	t.Parallel()
	analyticstest.Run(t, func(t *testing.T) analytics.Store { return opened(t, migrated(t, clickhousetest.DSN(t))) })
}

func TestContractByTheNativeProtocolOnALaterSchema(t *testing.T) {
	t.Parallel()
	analyticstest.RunFewer(t, func(t *testing.T) analytics.Store {
		return opened(t, later(t, migrated(t, clickhousetest.NativeDSN(t))))
	})
}

// later is a database as the version after this one may leave it, that is rolled back from:
// each table has one column more.
func later(t *testing.T, c config.ClickHouse) config.ClickHouse {
	t.Helper()
	o, err := options(c)
	if err != nil {
		t.Fatal(err)
	}
	db := clickhouse.OpenDB(o)
	defer db.Close()
	rows, err := db.Query(`SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'schema_migrations'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	changes := []string{fmt.Sprintf(`INSERT INTO schema_migrations (version) VALUES (%d)`, migrations.ClickHouseVersion()+1)}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		changes = append(changes, `ALTER TABLE `+name+` ADD COLUMN IF NOT EXISTS of_a_later_version LowCardinality(String) DEFAULT 'unknown'`)
	}
	if len(changes) < 10 {
		t.Fatalf("only %d changes", len(changes))
	}
	for _, change := range changes {
		if _, err := db.Exec(change); err != nil {
			t.Fatalf("%s: %v", change, err)
		}
	}
	return c
}

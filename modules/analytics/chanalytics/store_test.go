package chanalytics

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/config"
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

func TestContractByTheNativeProtocol(t *testing.T) {
	t.Parallel()
	analyticstest.RunFewer(t, func(t *testing.T) analytics.Store {
		return opened(t, migrated(t, clickhousetest.NativeDSN(t)))
	})
}

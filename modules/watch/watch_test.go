package watch_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/watch"
)

type queues struct {
	stats []queue.Stats
	err   error
}

func (q *queues) Stats(context.Context) ([]queue.Stats, error) { return q.stats, q.err }

func newWatch(t *testing.T, o watch.Options) (*watch.Watch, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	o.Metrics, o.Log = reg, slog.New(slog.DiscardHandler)
	if o.Queues == nil {
		o.Queues = &queues{}
	}
	w, err := watch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return w, reg
}

func compare(t *testing.T, reg *prometheus.Registry, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

func TestAQueueThatCannotBeSeenHasNoFigures(t *testing.T) {
	q := &queues{stats: []queue.Stats{{Queue: "ingest:high", Ready: 3, InFlight: 2, Delayed: 1, Oldest: 90 * time.Second}}}
	w, reg := newWatch(t, watch.Options{Queues: q})
	seen := `
# HELP pixel_queue_oldest_seconds Age of the oldest message of a queue that is not done; 0 where it is empty. Every process tells the same: take the max.
# TYPE pixel_queue_oldest_seconds gauge
pixel_queue_oldest_seconds{queue="ingest:high"} 90
# HELP pixel_queue_messages Messages in a queue: ready, in flight (held by a process) or delayed (wait for their time). Every process tells the same: take the max.
# TYPE pixel_queue_messages gauge
pixel_queue_messages{queue="ingest:high",state="delayed"} 1
pixel_queue_messages{queue="ingest:high",state="in_flight"} 2
pixel_queue_messages{queue="ingest:high",state="ready"} 3
`
	w.Look(t.Context(), time.Now())
	compare(t, reg, seen, "pixel_queue_oldest_seconds", "pixel_queue_messages")

	was := q.stats
	q.stats, q.err = nil, errors.New("away")
	w.Look(t.Context(), time.Now())
	compare(t, reg, `
# HELP pixel_queue_look_failures_total Looks at the queues that failed; meanwhile their gauges are absent.
# TYPE pixel_queue_look_failures_total counter
pixel_queue_look_failures_total 1
`, "pixel_queue_oldest_seconds", "pixel_queue_messages", "pixel_queue_look_failures_total")

	q.stats, q.err = was, nil
	w.Look(t.Context(), time.Now())
	compare(t, reg, seen, "pixel_queue_oldest_seconds", "pixel_queue_messages")
}

func TestHealthTellsAWarningFromAFailure(t *testing.T) {
	check := func(name string, err error) health.Check {
		return health.Check{Name: name, Check: func(context.Context) error { return err }}
	}
	w, reg := newWatch(t, watch.Options{Checks: []health.Check{check("queue", nil), check("spill", health.Warning("full")), check("redis", errors.New("away"))}})
	w.Look(t.Context(), time.Now())
	compare(t, reg, `
# HELP pixel_health What the process depends on, as in /readyz: 1 works, 0.5 works with a warning, 0 does not.
# TYPE pixel_health gauge
pixel_health{check="queue"} 1
pixel_health{check="redis"} 0
pixel_health{check="spill"} 0.5
`, "pixel_health")
}

func TestTheFirstCertificateToEndIsTold(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "chain.pem")
	chain := append(certificate(t, time.Unix(2_000_000_000, 0)), certificate(t, time.Unix(1_900_000_000, 0))...)
	if err := os.WriteFile(file, chain, 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	w, reg := newWatch(t, watch.Options{Certificates: []watch.Certificate{
		{Name: "redis.tls.cert", Ends: watch.InFile(file)},
		{Name: "redis.tls.ca", Ends: watch.InFile(filepath.Join(dir, "none"))},
		{Name: "redis.url", Ends: watch.Served(strings.TrimPrefix(server.URL, "https://"))},
	}})
	now := time.Now()
	w.Look(t.Context(), now)
	ends := server.Certificate().NotAfter.Unix()
	want := `
# HELP pixel_certificate_expires_timestamp_seconds When a certificate ends, by the setting that names it; 0: it could not be read.
# TYPE pixel_certificate_expires_timestamp_seconds gauge
pixel_certificate_expires_timestamp_seconds{certificate="redis.tls.ca"} 0
pixel_certificate_expires_timestamp_seconds{certificate="redis.tls.cert"} 1.9e+09
pixel_certificate_expires_timestamp_seconds{certificate="redis.url"} ` + big.NewInt(ends).String() + "\n"
	compare(t, reg, want, "pixel_certificate_expires_timestamp_seconds")

	// It is renewed, which is seen within the hour.
	if err := os.WriteFile(file, certificate(t, time.Unix(2_100_000_000, 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Look(t.Context(), now.Add(time.Minute))
	compare(t, reg, want, "pixel_certificate_expires_timestamp_seconds")
	w.Look(t.Context(), now.Add(time.Hour))
	compare(t, reg, strings.Replace(want, "1.9e+09", "2.1e+09", 1), "pixel_certificate_expires_timestamp_seconds")
}

func certificate(t *testing.T, ends time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

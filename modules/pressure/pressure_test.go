package pressure_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/pressure"
	"github.com/miq/pixel/modules/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what the gauge looks at.
type world struct {
	depth       atomic.Int64
	age         time.Duration
	used, limit int64
	err         error
}

func (w *world) Stats(context.Context) ([]queue.Stats, error) {
	return []queue.Stats{
		{Queue: "ingest:high", Ready: int(w.depth.Load()) / 2, Oldest: w.age},
		{Queue: "ingest:low", InFlight: int(w.depth.Load()) / 4, Delayed: int(w.depth.Load()) / 4},
		{Queue: "s2s:ttd", Ready: 1e9, Oldest: 1e3 * time.Hour}, // a partner that is away is no reason
	}, w.err
}

func (w *world) Room(context.Context) (int64, int64, error) { return w.used, w.limit, w.err }

func newGauge(w *world, reg prometheus.Registerer) *pressure.Gauge {
	return pressure.New(pressure.Options{
		Limits: pressure.Limits{Depth: 1000, Age: time.Hour},
		Queues: w, Stores: map[string]pressure.Store{"memory": {Room: w, Most: 0.5}},
		Log: slog.New(slog.DiscardHandler), Metrics: reg,
	})
}

func admitted(g *pressure.Gauge) string {
	var out []string
	for _, p := range event.Priorities {
		if g.Admits(p) {
			out = append(out, string(p))
		}
	}
	return strings.Join(out, " ")
}

func TestTheFullestLimitDecidesAndLowPriorityGoesFirst(t *testing.T) {
	for _, c := range []struct {
		name  string
		depth int64
		w     *world
		want  string
	}{
		{"nothing waits", 0, &world{}, "high standard low"},
		{"many wait", 800, &world{}, "high standard"},
		{"too many wait", 1000, &world{}, ""},
		{"the oldest is old", 4, &world{age: 54 * time.Minute}, "high"},
		{"the store fills", 0, &world{used: 41, limit: 100}, "high standard"},
		{"the store is as full as it may be", 0, &world{used: 50, limit: 100}, ""},
		{"the store has no bound", 0, &world{used: 1e12}, "high standard low"},
	} {
		c.w.depth.Store(c.depth)
		g := newGauge(c.w, nil)
		if admitted(g) != "high standard low" {
			t.Errorf("%s: before the first look not all are admitted", c.name)
		}
		g.Look(t.Context())
		if got := admitted(g); got != c.want {
			t.Errorf("%s: admitted are %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWhatCannotBeReadStandsForAWhileAndThenSaysNothing(t *testing.T) {
	w := &world{}
	w.depth.Store(1000)
	g := newGauge(w, nil)
	g.Look(t.Context())
	w.err = errors.New("the store is away")
	for range 4 {
		g.Look(t.Context())
	}
	if got := admitted(g); got != "" {
		t.Errorf("after a short failure %q are admitted", got)
	}
	g.Look(t.Context())
	if got := admitted(g); got != "high standard low" {
		t.Errorf("after a long failure %q are admitted", got)
	}
	w.err = nil
	g.Look(t.Context())
	if got := admitted(g); got != "" {
		t.Errorf("once it can be read again %q are admitted", got)
	}
}

func TestTheWaitGrowsWithThePressureAndIsSpread(t *testing.T) {
	w := &world{}
	g := newGauge(w, nil)
	average := func(depth int) time.Duration {
		w.depth.Store(int64(depth))
		g.Look(t.Context())
		var sum time.Duration
		seen := map[time.Duration]bool{}
		for range 1000 {
			d := g.RetryAfter()
			if d < time.Second || d > 90*time.Second {
				t.Fatalf("at %d: asked to wait %s", depth, d)
			}
			sum += d
			seen[d] = true
		}
		if len(seen) < 500 {
			t.Errorf("at %d: only %d different waits in 1000", depth, len(seen))
		}
		return sum / 1000
	}
	a, b, c := average(800), average(1000), average(2000)
	if a > 3*time.Second || b < a+3*time.Second || c < b+20*time.Second {
		t.Errorf("waits are %s, %s, %s", a, b, c)
	}
}

func TestItLooksByItselfEverySecondUntilStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		reg := prometheus.NewRegistry()
		g := newGauge(w, reg)
		g.Start()
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		w.depth.Store(950)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := admitted(g); got != "high" {
			t.Errorf("admitted are %q", got)
		}
		g.Stop()
		if got := admittedGauges(t, reg); got != "high=1 low=0 standard=0" {
			t.Errorf("the metrics say %q", got)
		}
	})
}

// admittedGauges are the metric's values by priority.
func admittedGauges(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		if f.GetName() != "pixel_pressure_admitted" {
			continue
		}
		for _, m := range f.GetMetric() {
			out = append(out, fmt.Sprintf("%s=%v", m.GetLabel()[0].GetValue(), m.GetGauge().GetValue()))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

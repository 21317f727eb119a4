package chanalytics

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/clickhousetest"
)

func TestAStoreRefusesASchemaThatItDoesNotKnow(t *testing.T) {
	s, err := New(settings(clickhousetest.DSN(t)), nil, slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	for name, err := range map[string]error{"start": s.Start(t.Context()), "readiness": s.Check(t.Context())} {
		if err == nil || !strings.Contains(err.Error(), "run pixel migrate first") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStoreStartsWhileTheServerIsAwayAndWritesOnceItIsThere(t *testing.T) {
	server := clickhousetest.Start(t, "")
	server.Exec(t, "CREATE DATABASE px")
	c := migrated(t, server.DSN("px"))
	c.WriteTimeout = 2 * time.Second
	server.Kill()
	s := opened(t, c)
	events := analyticstest.Events(1, 20, time.Hour)
	if err := s.WriteEvents(t.Context(), events...); err == nil {
		t.Fatal("a write without a server succeeds")
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("it is ready without a server")
	}
	server.Restart(t)
	if err := s.WriteEvents(t.Context(), events...); err != nil {
		t.Error(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	// A server that hangs is an error in time, and no goroutine waits for ever.
	server.Pause(t)
	begun := time.Now()
	if err := s.WriteEvents(t.Context(), analyticstest.Events(2, 20, time.Hour)...); err == nil || time.Since(begun) > 30*time.Second {
		t.Errorf("a write to a server that hangs: %v after %s", err, time.Since(begun))
	}
	server.Resume(t)
	if err := s.WriteEvents(t.Context(), analyticstest.Events(2, 20, time.Hour)...); err != nil {
		t.Error(err)
	}
}

func TestWhatComesWhileAnInsertIsUnderWayGoesWithTheNext(t *testing.T) {
	var mu sync.Mutex
	var inserts []int
	begin := make(chan struct{})
	g := newGroup("t", 1000, time.Minute, newPace(0), NewMetrics(prometheus.NewRegistry()), func(ctx context.Context, _ int, rows []int) error {
		mu.Lock()
		inserts = append(inserts, len(rows))
		first := len(inserts) == 1
		mu.Unlock()
		if first {
			<-begin
		}
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	var running, writers sync.WaitGroup
	running.Go(func() { g.run(ctx, 0) })
	waits := func(n int) bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.rows == n
	}
	write := func(n int) {
		writers.Go(func() {
			if err := g.write(t.Context(), make([]int, n)); err != nil {
				t.Error(err)
			}
		})
	}
	write(1)
	await(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(inserts) == 1 })
	for range 15 {
		write(100)
	}
	await(t, func() bool { return waits(1500) })
	// Who gives up waits no longer, and is not inserted.
	gone, give := context.WithCancel(t.Context())
	writers.Go(func() {
		if err := g.write(gone, make([]int, 7)); !errors.Is(err, context.Canceled) {
			t.Errorf("gave up: %v", err)
		}
	})
	await(t, func() bool { return waits(1507) })
	give()
	close(begin)
	writers.Wait()
	await(t, func() bool { return waits(0) })
	mu.Lock()
	if len(inserts) != 3 || inserts[1] != 1000 || inserts[2] != 500 {
		t.Errorf("the inserts were of %v rows", inserts)
	}
	mu.Unlock()
	stop()
	running.Wait()
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.After(time.Minute); !ok(); {
		select {
		case <-deadline:
			t.Fatal("it does not come to pass")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestOneThatIsAtFaultFailsAlone(t *testing.T) {
	bad := errors.New("bad row")
	hold := make(chan struct{})
	g := newGroup("t", 1000, time.Minute, newPace(0), NewMetrics(prometheus.NewRegistry()), func(ctx context.Context, _ int, rows []int) error {
		<-hold
		for _, r := range rows {
			if r < 0 {
				return bad
			}
		}
		return nil
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go g.run(ctx, 0)
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			row := 1
			if i == 5 {
				row = -1
			}
			if err := g.write(t.Context(), []int{row}); (i == 5) != errors.Is(err, bad) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	close(hold)
	writers.Wait()
}

func TestThePaceFollowsWhatTheServerCanMerge(t *testing.T) {
	p := newPace(20 * time.Millisecond)
	p.saw(manyParts + 1)
	p.saw(manyParts + 1)
	if p.gap() != 100*time.Millisecond {
		t.Errorf("with many parts the pause is %s", p.gap())
	}
	p.felt(&clickhouse.Exception{Code: codeTooManyParts})
	if p.gap() != p.most {
		t.Errorf("after a refusal the pause is %s", p.gap())
	}
	for range 20 {
		p.saw(fewParts - 1)
	}
	if p.gap() != p.usual {
		t.Errorf("with few parts the pause is %s", p.gap())
	}
	if !passing(&clickhouse.Exception{Code: codeTooManyParts}) || passing(&clickhouse.Exception{Code: 27}) {
		t.Error("what passes and what does not are mixed up")
	}
}

package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redistest"
)

func TestANetworkThatIsSlowSilentOrCutLosesNothing(t *testing.T) {
	server := redistest.StartTCP(t)
	network := redistest.Through(t, server.Addr)
	set := redisqueue.Settings{Timeout: time.Second}
	q := open(t, connect(t, config.Redis{URL: "redis://" + network.Addr, Mode: "single", Timeout: set.Timeout}), hasty, set)
	f := startTraffic(t, q)
	f.progress(500)
	network.Poison(`{"type":"latency","attributes":{"latency":60,"jitter":40}}`)
	f.progress(200)
	network.Heal()
	f.progress(500)
	for range 3 {
		network.Cut() // in the middle of whatever is on its way
		f.pause()
		network.Join()
		f.progress(500)
	}
	network.Poison(`{"type":"timeout","attributes":{"timeout":0}}`) // nothing arrives, and nobody says so
	f.fails(8)
	network.Heal()
	network.Cut() // such connections stay silent for ever
	network.Join()
	f.progress(500)
	f.end()
	if f.longest > 4*time.Second {
		t.Errorf("a push took %s, though a command may take %s", f.longest, set.Timeout)
	}
}

// fails waits until n more pushes failed.
func (f *traffic) fails(n int) {
	f.t.Helper()
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.failed
	}
	for goal, giveUp := count()+n, time.Now().Add(60*time.Second); count() < goal; f.pause() {
		if time.Now().After(giveUp) {
			f.t.Fatal("after a minute the pushes did not fail")
		}
	}
}

func TestAServerThatIsAwayIsUnavailableWithinTheTimeoutWhateverTheReason(t *testing.T) {
	for _, c := range []struct {
		name string
		away func(*testing.T, *redistest.Server, *redistest.Network)
	}{
		{"its port is closed", func(_ *testing.T, _ *redistest.Server, n *redistest.Network) { n.Cut() }},
		{"nothing arrives", func(_ *testing.T, _ *redistest.Server, n *redistest.Network) {
			n.Poison(`{"type":"timeout","attributes":{"timeout":0}}`)
		}},
		{"it hangs", func(t *testing.T, s *redistest.Server, _ *redistest.Network) {
			s.Pause(t)
			t.Cleanup(func() { s.Resume(t) })
		}},
		{"it was killed", func(_ *testing.T, s *redistest.Server, _ *redistest.Network) { s.Kill() }},
		{"it has no memory left", func(t *testing.T, s *redistest.Server, _ *redistest.Network) {
			if err := s.Client(t).ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
				t.Fatal(err)
			}
		}},
		{"it is a replica now", func(t *testing.T, s *redistest.Server, _ *redistest.Network) {
			if err := s.Client(t).Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := redistest.StartTCP(t)
			network := redistest.Through(t, server.Addr)
			set := redisqueue.Settings{Timeout: time.Second}
			q := open(t, connect(t, config.Redis{URL: "redis://" + network.Addr, Mode: "single", Timeout: set.Timeout}), hasty, set)
			if err := q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte("before")}); err != nil {
				t.Fatal(err)
			}
			c.away(t, server, network)
			for what, do := range map[string]func() error{
				"push": func() error {
					return q.Push(context.Background(), queue.Item{Queue: "ingest:high", Body: []byte("after")})
				},
				"ack": func() error { return q.Ack(context.Background(), "ingest:high", fmt.Sprintf("%036x", 1)) },
			} {
				start := time.Now()
				err := do()
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("%s: an answer after %s, the timeout is %s", what, took, set.Timeout)
				}
				if what == "push" && !errors.Is(err, queue.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

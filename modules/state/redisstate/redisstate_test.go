package redisstate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/redisstate"
	"github.com/miq/pixel/modules/state/statetest"
)

func TestContractOnMiniredis(t *testing.T) {
	statetest.Run(t, func(t *testing.T) statetest.Backend {
		server := miniredis.NewMiniRedis()
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		// Its clock stands still unless told.
		stop := make(chan struct{})
		t.Cleanup(func() { close(stop) })
		go func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for last := time.Now(); ; {
				select {
				case now := <-tick.C:
					server.FastForward(now.Sub(last))
					last = now
				case <-stop:
					return
				}
			}
		}()
		return backend(func() redis.UniversalClient {
			c := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
			t.Cleanup(func() { c.Close() })
			return c
		})
	})
}

func TestContractOnARealServer(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "always")
	statetest.Run(t, func(t *testing.T) statetest.Backend {
		if err := server.Client(t).FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		b := backend(func() redis.UniversalClient { return server.Client(t) })
		b.Reopen = func(t *testing.T) statetest.Backend {
			server.Restart(t) // the server is killed too
			return backend(func() redis.UniversalClient { return server.Client(t) })
		}
		return b
	})
}

func backend(connect func() redis.UniversalClient) statetest.Backend {
	return statetest.Backend{Store: redisstate.New(connect()), Reopen: func(*testing.T) statetest.Backend {
		return backend(connect)
	}}
}

// BenchmarkClaim is the worker's dedupe: a batch of 256 new event ids.
func BenchmarkClaim(b *testing.B) {
	s := redisstate.New(redistest.Start(b).Client(b))
	n := 0
	for b.Loop() {
		entries := make([]state.Entry, 256)
		for i := range entries {
			n++
			entries[i] = state.Entry{Key: fmt.Sprintf("seen:px_demo:0193a1b2-%012x", n), Value: []byte("0193a1b2c3d4"), TTL: 7 * 24 * time.Hour}
		}
		if _, err := s.Claim(b.Context(), entries...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}

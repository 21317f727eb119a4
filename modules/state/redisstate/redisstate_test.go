package redisstate_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/redistest"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/redisstate"
	"github.com/miq/pixel/modules/state/statetest"
)

func TestContractOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	statetest.Run(t, func(t *testing.T) statetest.Backend {
		cluster.Fresh(t)
		return backend(func() redis.UniversalClient { return cluster.Client(t) })
	})
}

// pipelines counts how often each server is asked, and how many at once.
type pipelines struct{ asked, commands atomic.Int64 }

func (p *pipelines) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (p *pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		switch cmds[0].Name() {
		case "get", "set", "unlink": // and not what a new connection says first
			p.asked.Add(1)
			p.commands.Add(int64(len(cmds)))
		}
		return next(ctx, cmds)
	}
}

func TestABatchAsksEachServerOfAClusterOnce(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	client := cluster.Client(t).(*redis.ClusterClient)
	var count pipelines
	client.OnNewNode(func(c *redis.Client) { c.AddHook(&count) })
	s := redisstate.New(client)
	var entries []state.Entry
	var keys []string
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("seen:px_demo:%d", i))
		entries = append(entries, state.Entry{Key: keys[i], Value: []byte("x"), TTL: time.Hour})
	}
	// The client learns where everything is.
	if err := s.Set(t.Context(), entries[:1]...); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"get":    func() error { _, err := s.Get(t.Context(), keys...); return err },
		"set":    func() error { return s.Set(t.Context(), entries...) },
		"claim":  func() error { _, err := s.Claim(t.Context(), entries...); return err },
		"delete": func() error { return s.Delete(t.Context(), keys...) },
	} {
		count.asked.Store(0)
		count.commands.Store(0)
		if err := do(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if asked, commands := count.asked.Load(), count.commands.Load(); asked != 3 || commands != 300 {
			t.Errorf("%s: %d pipelines of %d commands, want 3 of 300", name, asked, commands)
		}
	}
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

func TestARedisThatDoesNothingForUsIsUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*testing.T, *redistest.Server)
		reads   bool // and what makes room goes on too
	}{
		"it is gone": {happens: func(_ *testing.T, s *redistest.Server) { s.Kill() }},
		"it knows another password": {happens: func(t *testing.T, s *redistest.Server) {
			do(t, s, "CONFIG", "SET", "requirepass", "another")
		}},
		"our user may do less": {happens: func(t *testing.T, s *redistest.Server) {
			do(t, s, "ACL", "SETUSER", "default", "-@all", "+ping", "+hello")
		}},
		"it is full": {reads: true, happens: func(t *testing.T, s *redistest.Server) {
			do(t, s, "CONFIG", "SET", "maxmemory", "1")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			c.happens(t, server)
			s := redisstate.New(server.Client(t))
			entry := state.Entry{Key: "k", Value: []byte("v")}
			for what, do := range map[string]func(context.Context) error{
				"set":     func(ctx context.Context) error { return s.Set(ctx, entry) },
				"claim":   func(ctx context.Context) error { _, err := s.Claim(ctx, entry); return err },
				"swap":    func(ctx context.Context) error { _, err := s.Swap(ctx, nil, entry); return err },
				"swapAll": func(ctx context.Context) error { _, err := s.SwapAll(ctx, state.Change{Entry: entry}); return err },
				"put":     func(ctx context.Context) error { _, err := s.Put(ctx, "pixels", state.Document{ID: "d"}); return err },
			} {
				if err := do(t.Context()); !errors.Is(err, state.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
			}
			for what, do := range map[string]func(context.Context) error{
				"get":     func(ctx context.Context) error { _, err := s.Get(ctx, "k"); return err },
				"list":    func(ctx context.Context) error { _, _, err := s.List(ctx, "pixels"); return err },
				"version": func(ctx context.Context) error { _, err := s.Version(ctx, "pixels"); return err },
				"delete":  func(ctx context.Context) error { return s.Delete(ctx, "k") },
				"check":   s.Check,
			} {
				if err := do(t.Context()); c.reads && err != nil || !c.reads && what != "check" && !errors.Is(err, state.ErrUnavailable) {
					t.Errorf("%s: %v", what, err)
				}
			}
			canceled, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := s.Get(canceled, "k"); errors.Is(err, state.ErrUnavailable) {
				t.Errorf("who gave up is told %v", err)
			}
		})
	}
}

func do(t *testing.T, s *redistest.Server, args ...any) {
	t.Helper()
	if err := s.Client(t).Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
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

package redisqueue_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/queuetest"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redistest"
)

func TestContractOnMiniredis(t *testing.T) {
	queuetest.Run(t, func(t *testing.T, opts queue.Options) queuetest.Backend {
		server := miniredis.RunT(t)
		return backend(t, opts, func() redis.UniversalClient {
			c := redis.NewClient(&redis.Options{Addr: server.Addr()})
			t.Cleanup(func() { c.Close() })
			return c
		})
	})
}

func TestContractOnARealServer(t *testing.T) {
	server := redistest.Start(t)
	queuetest.Run(t, func(t *testing.T, opts queue.Options) queuetest.Backend {
		if err := server.Client(t).FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return backend(t, opts, func() redis.UniversalClient { return server.Client(t) })
	})
}

// backend opens a queue, and another on a client of its own for each reopen, as
// a process that takes over from a crashed one.
func backend(t *testing.T, opts queue.Options, connect func() redis.UniversalClient) queuetest.Backend {
	q := redisqueue.New(connect(), opts)
	return queuetest.Backend{Queue: q, Inspector: q, Books: q, Reopen: func(t *testing.T) queuetest.Backend {
		return backend(t, opts, connect)
	}}
}

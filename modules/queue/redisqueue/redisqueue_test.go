package redisqueue_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/queuetest"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContractOnOneServer(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d partitions", partitions), func(t *testing.T) {
			server := redistest.Start(t)
			queuetest.Run(t, func(t *testing.T, opts queue.Options) queuetest.Backend {
				if err := server.Client(t).FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				return backend(t, opts, redisqueue.Settings{Partitions: partitions}, func() redis.UniversalClient { return server.Client(t) })
			})
		})
	}
}

// open opens a queue until the end of the test.
func open(t testing.TB, client redis.UniversalClient, opts queue.Options, set redisqueue.Settings) *redisqueue.Queue {
	q := redisqueue.New(client, opts, set)
	t.Cleanup(func() { q.Close() })
	return q
}

// backend opens a queue, and another on a client of its own for each reopen, as
// a process that takes over from a crashed one.
func backend(t *testing.T, opts queue.Options, set redisqueue.Settings, connect func() redis.UniversalClient) queuetest.Backend {
	q := open(t, connect(), opts, set)
	return queuetest.Backend{Queue: q, Inspector: q, Books: q, Loose: set.Partitions > 1, Reopen: func(t *testing.T) queuetest.Backend {
		return backend(t, opts, set, connect)
	}}
}

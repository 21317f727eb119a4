package redisqueue_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/queuetest"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/redistest"
)

// connect makes the product's own client.
func connect(t testing.TB, c config.Redis) redis.UniversalClient {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	client, err := redisclient.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func onCluster(c *redistest.Cluster) config.Redis {
	return config.Redis{URL: "redis://" + strings.Join(c.Addrs(), ","), Mode: "cluster"}
}

func TestContractOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	queuetest.Run(t, func(t *testing.T, opts queue.Options) queuetest.Backend {
		cluster.Fresh(t)
		return backend(t, opts, redisqueue.Settings{Partitions: 6}, func() redis.UniversalClient { return connect(t, onCluster(cluster)) })
	})
}

func TestAQueueSpreadsOverTheMastersAndAllOfItComesOut(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	q := open(t, connect(t, onCluster(cluster)), queue.Defaults, redisqueue.Settings{Partitions: 6})
	const pushes = 300
	for i := range pushes {
		if err := q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range cluster.Masters {
		client := m.Client(t)
		n := int64(0)
		keys, err := client.Keys(t.Context(), "{ingest:high:*}").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			n += client.LLen(t.Context(), k).Val()
		}
		if n != pushes/3 {
			t.Errorf("a master has %d of %d blocks, of the lists %q", n, pushes, keys)
		}
	}
	// No partition starves: an early pull brings something of each master's.
	seen := map[string]bool{}
	for len(seen) < pushes {
		msgs, err := q.Pull(t.Context(), "ingest:high", 30)
		if err != nil || len(msgs) == 0 {
			t.Fatalf("after %d of %d: %d messages, %v", len(seen), pushes, len(msgs), err)
		}
		for _, m := range msgs {
			seen[string(m.Body)] = true
		}
	}
}

func TestPartitionsOfAFormerSettingAreEmptiedToo(t *testing.T) {
	server := redistest.Start(t)
	for _, n := range []int{5, 1, 3} {
		q := open(t, server.Client(t), queue.Defaults, redisqueue.Settings{Partitions: n})
		for i := range 10 {
			if err := q.Push(t.Context(), queue.Item{Queue: "s2s:acme", Body: fmt.Append(nil, n, i)}); err != nil {
				t.Fatal(err)
			}
		}
		q.Close()
	}
	q := open(t, server.Client(t), queue.Defaults, redisqueue.Settings{})
	seen := 0
	for seen < 30 {
		msgs, err := q.Pull(t.Context(), "s2s:acme", 7)
		if err != nil || len(msgs) == 0 {
			t.Fatalf("after %d of 30: %d messages, %v", seen, len(msgs), err)
		}
		for _, m := range msgs {
			if err := q.Ack(t.Context(), "s2s:acme", m.ID); err != nil {
				t.Fatal(err)
			}
		}
		seen += len(msgs)
	}
	stats, err := q.Stats(t.Context())
	if err != nil || len(stats) != 1 || stats[0].Ready+stats[0].InFlight != 0 {
		t.Errorf("left %+v, %v", stats, err)
	}
}

package redisqueue_test

import (
	"os"
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
	"github.com/miq/pixel/modules/state/redisstate"
	"github.com/miq/pixel/modules/state/statetest"
)

// aclUser makes the user that docs/decisions describes on a server.
func aclUser(t *testing.T, s *redistest.Server) {
	t.Helper()
	doc, err := os.ReadFile("../../../docs/decisions/0005-the-bus-on-redis.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(doc)) {
		if rules, found := strings.CutPrefix(strings.TrimSpace(line), "ACL SETUSER pixel "); found {
			args := []any{"ACL", "SETUSER", "pixel"}
			for _, rule := range strings.Fields(strings.ReplaceAll(rules, "PASSWORD", "s3cret")) {
				args = append(args, rule)
			}
			if err := s.Client(t).Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the page describes no user")
}

func TestTheDocumentedUserMayDoAllThatWeDo(t *testing.T) {
	server := redistest.StartTCP(t)
	aclUser(t, server)
	c := config.Redis{URL: "redis://pixel:s3cret@" + server.Addr, Mode: "single"}
	t.Run("queue", func(t *testing.T) {
		queuetest.Run(t, func(t *testing.T, opts queue.Options) queuetest.Backend {
			server.Fresh(t)
			return backend(t, opts, redisqueue.Settings{Partitions: 2}, func() redis.UniversalClient { return connect(t, c) })
		})
	})
	t.Run("state", func(t *testing.T) {
		statetest.Run(t, func(t *testing.T) statetest.Backend {
			server.Fresh(t)
			b := statetest.Backend{Store: redisstate.New(connect(t, c))}
			b.Reopen = func(t *testing.T) statetest.Backend { return b }
			return b
		})
	})
	t.Run("risks", func(t *testing.T) {
		risks, err := redisclient.Risks(t.Context(), connect(t, c), 0)
		if err != nil || len(risks) != 0 {
			t.Errorf("%+v, %v", risks, err)
		}
	})
	t.Run("wait for replicas", func(t *testing.T) {
		q := open(t, connect(t, c), queue.Defaults, redisqueue.Settings{Replicas: 1, Timeout: time.Second})
		err := q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte("x")})
		if err == nil || !strings.Contains(err.Error(), "on 0 replicas and not on 1") {
			t.Errorf("a push that no replica has: %v", err)
		}
	})
	t.Run("and no more", func(t *testing.T) {
		for _, args := range [][]any{{"FLUSHALL"}, {"KEYS", "*"}, {"CONFIG", "SET", "appendonly", "no"}, {"SHUTDOWN"}, {"ACL", "LIST"}} {
			if err := connect(t, c).Do(t.Context(), args...).Err(); !redis.IsPermissionError(err) {
				t.Errorf("%v: %v", args, err)
			}
		}
	})
}

func TestTheDocumentedUserIsEnoughOnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	for _, m := range cluster.Masters {
		aclUser(t, m)
	}
	c := onCluster(cluster)
	c.URL = strings.Replace(c.URL, "://", "://pixel:s3cret@", 1)
	q := open(t, connect(t, c), queue.Defaults, redisqueue.Settings{Partitions: 6})
	for range 12 {
		if err := q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; n < 12; {
		msgs, err := q.Pull(t.Context(), "ingest:high", 12)
		if err != nil || len(msgs) == 0 {
			t.Fatalf("after %d: %d messages, %v", n, len(msgs), err)
		}
		for _, m := range msgs {
			if err := q.Ack(t.Context(), "ingest:high", m.ID); err != nil {
				t.Fatal(err)
			}
		}
		n += len(msgs)
	}
	if risks, err := redisclient.Risks(t.Context(), connect(t, c), 0); err != nil || len(risks) > 0 {
		t.Errorf("%+v, %v", risks, err)
	}
}

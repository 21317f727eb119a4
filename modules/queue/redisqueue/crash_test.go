package redisqueue_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redistest"
)

func TestNothingAcknowledgedIsLostWhenRedisIsKilled(t *testing.T) {
	for _, fsync := range []string{"everysec", "always"} {
		t.Run("appendfsync "+fsync, func(t *testing.T) { killed(t, redistest.Start(t, "--appendfsync", fsync), fsync) })
	}
}

func killed(t *testing.T, server *redistest.Server, fsync string) {
	opts := queue.Options{Lease: time.Second, MaxDeliveries: 100, Wait: 50 * time.Millisecond}
	acknowledged := map[string]bool{}
	for round := range 3 {
		client := redis.NewClient(&redis.Options{Network: "unix", Addr: server.Addr, MaxRetries: -1, DialerRetries: 1})
		t.Cleanup(func() { client.Close() })
		q := open(t, client, opts, redisqueue.Settings{})
		g := queue.NewGroup(q, 64)
		bodies := make(chan string)
		var pushers sync.WaitGroup
		for p := range 8 {
			pushers.Go(func() {
				for i := 0; ; i++ {
					body := fmt.Sprintf("%d-%d-%d", round, p, i)
					if g.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte(body)}) != nil {
						return // killed
					}
					bodies <- body
				}
			})
		}
		// Somebody holds, retries and buries messages meanwhile, and acks none.
		pushers.Go(func() { juggle(t.Context(), q) })
		go func() {
			pushers.Wait()
			close(bodies)
		}()
		n := 0
		for body := range bodies {
			acknowledged[body] = true
			if n++; n == 2000 {
				if fsync != "always" {
					server.Written(t) // the pushers wait for us meanwhile
				}
				server.Kill()
			}
		}
		if n < 2000 {
			t.Fatalf("the pushers gave up after %d messages", n)
		}
		server.Restart(t)
	}

	q := open(t, server.Client(t), opts, redisqueue.Settings{})
	found := map[string]bool{}
	// Until nothing came for so long that whatever was held would have.
	for last := time.Now(); time.Since(last) < opts.Lease+500*time.Millisecond; {
		msgs, err := q.Pull(t.Context(), "ingest:high", 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(msgs) > 0 {
			last = time.Now()
		}
		var ids []string
		for _, m := range msgs {
			if found[string(m.Body)] {
				t.Errorf("%s came twice", m.Body)
			}
			found[string(m.Body)] = true
			ids = append(ids, m.ID)
		}
		if err := q.Ack(t.Context(), "ingest:high", ids...); err != nil {
			t.Fatal(err)
		}
	}
	letters, _, err := q.Dead(t.Context(), queue.Validation, "", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		found[string(l.Body)] = true
	}
	var lost []string
	for body := range acknowledged {
		if !found[body] {
			lost = append(lost, body)
		}
	}
	if len(lost) > 0 {
		t.Errorf("of %d acknowledged, %d are lost: %s", len(acknowledged), len(lost), strings.Join(lost, " "))
	}
	t.Logf("%d acknowledged, %d found, %d of them dead letters", len(acknowledged), len(found), len(letters))
}

// juggle moves messages through every state but done until Redis is away.
func juggle(ctx context.Context, q *redisqueue.Queue) {
	for {
		msgs, err := q.Pull(ctx, "ingest:high", 12)
		if err != nil {
			return
		}
		if len(msgs) < 12 {
			continue
		}
		var ids []string
		for _, m := range msgs {
			ids = append(ids, m.ID)
		}
		if q.Retry(ctx, "ingest:high", time.Now().Add(20*time.Millisecond), ids[:3]...) != nil ||
			q.Retry(ctx, "ingest:high", time.Now(), ids[3:6]...) != nil ||
			q.Release(ctx, "ingest:high", ids[6:9]...) != nil ||
			q.Bury(ctx, "ingest:high", "juggled", ids[9]) != nil {
			return
		}
	}
}

func BenchmarkCycle(b *testing.B) {
	server := redistest.Start(b)
	q := open(b, server.Client(b), queue.Defaults, redisqueue.Settings{})
	const n = 256
	items := make([]queue.Item, n)
	for i := range items {
		items[i] = queue.Item{Queue: "ingest:standard", Body: []byte(strings.Repeat("x", 700))}
	}
	for b.Loop() {
		if err := q.Push(b.Context(), items...); err != nil {
			b.Fatal(err)
		}
		msgs, err := q.Pull(b.Context(), "ingest:standard", n)
		if err != nil || len(msgs) != n {
			b.Fatalf("pulled %d, %v", len(msgs), err)
		}
		ids := make([]string, n)
		for i, m := range msgs {
			ids[i] = m.ID
		}
		if err := q.Ack(b.Context(), "ingest:standard", ids...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

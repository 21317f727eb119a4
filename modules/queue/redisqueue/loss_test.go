package redisqueue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redistest"
)

// depth is how many messages Stats sees in a queue.
func depth(t *testing.T, q *redisqueue.Queue, name string) int {
	t.Helper()
	all, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Queue == name {
			return s.Ready + s.InFlight + s.Delayed
		}
	}
	return 0
}

// TestMessagesThatAreGoneAreNotCountedThoughTheCountsStayed takes away what the
// messages are made of, as an eviction or a hand in the server would. The books
// know better then, so that the ledger sees the difference.
func TestMessagesThatAreGoneAreNotCountedThoughTheCountsStayed(t *testing.T) {
	server := redistest.Start(t)
	const name, key = "ingest:high", "{ingest:high:0}"
	for _, c := range []struct {
		name string
		many int // pushes of three messages
		hold int // how many are held, and of those one is delayed
		lose func(context.Context, redis.UniversalClient) error
		left int // of all
	}{
		{"nothing is lost", 3, 4, func(context.Context, redis.UniversalClient) error { return nil }, 9},
		{"nothing is lost of many", 100, 4, func(context.Context, redis.UniversalClient) error { return nil }, 300},
		{"one payload", 3, 0, func(ctx context.Context, r redis.UniversalClient) error {
			keys, err := r.HKeys(ctx, key+":blocks").Result()
			if err != nil {
				return err
			}
			return r.HDel(ctx, key+":blocks", keys[0]).Err()
		}, 6},
		{"all payloads", 3, 4, func(ctx context.Context, r redis.UniversalClient) error { return r.Del(ctx, key+":blocks").Err() }, 0},
		{"one reference", 3, 0, func(ctx context.Context, r redis.UniversalClient) error { return r.LPop(ctx, key).Err() }, 6},
		{"the list", 3, 4, func(ctx context.Context, r redis.UniversalClient) error { return r.Del(ctx, key).Err() }, 4},
		{"the list, of many", 100, 4, func(ctx context.Context, r redis.UniversalClient) error { return r.Del(ctx, key).Err() }, 4},
		{"the leases", 3, 4, func(ctx context.Context, r redis.UniversalClient) error { return r.Del(ctx, key+":leases").Err() }, 6},
		{"the leases, of many", 100, 4, func(ctx context.Context, r redis.UniversalClient) error { return r.Del(ctx, key+":leases").Err() }, 297},
		{"what is delayed", 3, 4, func(ctx context.Context, r redis.UniversalClient) error { return r.Del(ctx, key+":delayed").Err() }, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := server.Fresh(t)
			q := open(t, client, queue.Defaults, redisqueue.Settings{})
			for i := range c.many {
				body := fmt.Append(nil, i)
				if err := q.Push(t.Context(), queue.Item{Queue: name, Body: body}, queue.Item{Queue: name, Body: body}, queue.Item{Queue: name, Body: body}); err != nil {
					t.Fatal(err)
				}
			}
			if c.hold > 0 {
				msgs, err := q.Pull(t.Context(), name, c.hold)
				if err != nil || len(msgs) != c.hold {
					t.Fatalf("pulled %d: %v", len(msgs), err)
				}
				if err := q.Retry(t.Context(), name, time.Now().Add(time.Hour), msgs[0].ID); err != nil {
					t.Fatal(err)
				}
			}
			if n := depth(t, q, name); n != 3*c.many {
				t.Fatalf("there are %d before anything is lost, not %d", n, 3*c.many)
			}
			if err := c.lose(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if n := depth(t, q, name); n != c.left {
				t.Errorf("%d are counted, not %d", n, c.left)
			}
		})
	}
	t.Run("a dead letter", func(t *testing.T) {
		client := server.Fresh(t)
		q := open(t, client, queue.Defaults, redisqueue.Settings{})
		for _, body := range []string{"1", "2"} {
			if err := q.Push(t.Context(), queue.Item{Queue: queue.Validation, Body: []byte(body), Reason: "bad"}); err != nil {
				t.Fatal(err)
			}
		}
		letters := "{" + queue.Validation + ":0}:letters"
		keys, err := client.HKeys(t.Context(), letters).Result()
		if err != nil || len(keys) != 2 {
			t.Fatalf("%d letters: %v", len(keys), err)
		}
		if err := client.HDel(t.Context(), letters, keys[0]).Err(); err != nil {
			t.Fatal(err)
		}
		if n := depth(t, q, queue.Validation); n != 1 {
			t.Errorf("%d are counted, not 1", n)
		}
	})
}

// BenchmarkBooks is what a push of 32 messages costs with the ledger's counts and
// without; both ends of the socket are in it.
func BenchmarkBooks(b *testing.B) {
	server := redistest.Start(b)
	for _, c := range []struct {
		name    string
		account queue.Account
		stage   string
	}{{"without", queue.Account{}, ""}, {"with", queue.AccountOf("px_demo", time.Now()), "received"}} {
		b.Run(c.name, func(b *testing.B) {
			q := open(b, server.Fresh(b), queue.Defaults, redisqueue.Settings{})
			items := make([]queue.Item, 32)
			for i := range items {
				items[i] = queue.Item{Queue: "ingest:standard", Body: fmt.Appendf(nil, "%700d", i), Account: c.account, Stage: c.stage}
				if c.stage != "" {
					items[i].N = 1
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := q.Push(b.Context(), items...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(items)), "ns/event")
		})
	}
}

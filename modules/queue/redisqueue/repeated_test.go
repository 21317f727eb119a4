package redisqueue_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
)

// The client sends a pipeline again when the connection breaks before the answer,
// though Redis may have run it: then the same elements lie in the list twice.
func TestAPushThatTheClientRepeatedIsHeldOnce(t *testing.T) {
	const name = "s2s:acme"
	for _, c := range []struct {
		name string
		max  int
	}{{"both copies in one pull", 10}, {"one copy a pull", 1}} {
		t.Run(c.name, func(t *testing.T) {
			server := miniredis.RunT(t)
			client := redis.NewClient(&redis.Options{Addr: server.Addr()})
			t.Cleanup(func() { client.Close() })
			q := redisqueue.New(client, queue.Options{Lease: time.Minute, MaxDeliveries: 3, Wait: time.Millisecond})
			if err := q.Push(t.Context(), queue.Item{Queue: name, Body: []byte("once")}); err != nil {
				t.Fatal(err)
			}
			elements, err := client.LRange(t.Context(), name, 0, -1).Result()
			if err != nil {
				t.Fatal(err)
			}
			if err := client.RPush(t.Context(), name, elements[0]).Err(); err != nil {
				t.Fatal(err)
			}
			var held []queue.Message
			for range 3 {
				more, err := q.Pull(t.Context(), name, c.max)
				if err != nil {
					t.Fatal(err)
				}
				held = append(held, more...)
			}
			if len(held) != 1 || held[0].Deliveries != 1 {
				t.Fatalf("handed out %+v, want one message once", held)
			}
			if err := q.Ack(t.Context(), name, held[0].ID); err != nil {
				t.Fatal(err)
			}
			stats, err := q.Stats(t.Context())
			if err != nil || len(stats) != 1 || stats[0].Ready+stats[0].InFlight+stats[0].Delayed != 0 {
				t.Errorf("left %+v, error %v", stats, err)
			}
		})
	}
}

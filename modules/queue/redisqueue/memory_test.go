package redisqueue_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redistest"
)

// A server that takes no pushes any more, because its memory is full, must still
// let go of what it has, or it never has room again.
func TestAServerWithoutMemoryIsEmptied(t *testing.T) {
	server := redistest.StartTCP(t)
	q := open(t, connect(t, config.Redis{URL: "redis://" + server.Addr, Mode: "single"}), hasty, redisqueue.Settings{})
	body := make([]byte, 10_000)
	rand.Read(body) // does not compress
	n := 0
	push := func() error { return q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: bytes.Clone(body)}) }
	for ; n < 50; n++ {
		if err := push(); err != nil {
			t.Fatal(err)
		}
	}
	held, err := q.Pull(t.Context(), "ingest:high", 10)
	if err != nil || len(held) == 0 {
		t.Fatalf("%d messages, %v", len(held), err)
	}
	if err := server.Client(t).ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := push(); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("a push: %v", err)
	}
	if err := q.Release(t.Context(), "ingest:high", ids(held[:1])...); err != nil {
		t.Errorf("hand back: %v", err)
	}
	if err := q.Ack(t.Context(), "ingest:high", ids(held[1:])...); err != nil {
		t.Errorf("ack: %v", err)
	}
	for left := n - len(held) + 1; left > 0; {
		more, err := q.Pull(t.Context(), "ingest:high", 100)
		if err != nil {
			t.Fatalf("pull, with %d left: %v", left, err)
		}
		if err := q.Ack(t.Context(), "ingest:high", ids(more)...); err != nil {
			t.Fatalf("ack, with %d left: %v", left, err)
		}
		left -= len(more)
	}
	// With nothing there it waits, and says no error.
	if more, err := q.Pull(t.Context(), "ingest:high", 1); err != nil || len(more) != 0 {
		t.Errorf("an empty queue: %d messages, %v", len(more), err)
	}
}

func ids(list []queue.Message) (out []string) {
	for _, m := range list {
		out = append(out, m.ID)
	}
	return out
}

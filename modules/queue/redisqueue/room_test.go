package redisqueue_test

import (
	"testing"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redistest"
)

func TestRoomIsTheServersMemory(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want int64 // 0: what the machine has
	}{
		{"bounded", []string{"--maxmemory", "100mb"}, 100 << 20},
		{"unbounded", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := redistest.Start(t, c.args...)
			q := open(t, server.Client(t), queue.Defaults, redisqueue.Settings{})
			defer q.Close()
			before, limit, err := q.Room(t.Context())
			if err != nil || before <= 0 || c.want > 0 && limit != c.want || limit < before {
				t.Fatalf("uses %d of %d, %v", before, limit, err)
			}
			for i := range 200 {
				body := make([]byte, 10_000)
				for j := range body {
					body[j] = byte(i*7919 + j*j*31 + j>>3)
				}
				if err := q.Push(t.Context(), queue.Item{Queue: "ingest:low", Body: body}); err != nil {
					t.Fatal(err)
				}
			}
			if after, _, err := q.Room(t.Context()); err != nil || after < before+500_000 {
				t.Errorf("uses %d after pushes of 2 MB, compressed, on top of %d, %v", after, before, err)
			}
		})
	}
}

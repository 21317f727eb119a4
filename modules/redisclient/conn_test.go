package redisclient_test

import (
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/redistest"
)

// A server that restarted, or that ends what is idle, leaves a pool of connections behind that
// nobody answers any more: more of them than a command is tried times.
func TestConnectionsThatTheServerClosedCostNoCommand(t *testing.T) {
	server := redistest.StartTCP(t)
	client, err := redisclient.New(config.Redis{URL: "redis://" + server.Addr, Mode: "single", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const many = 8
	var all sync.WaitGroup
	for range many {
		all.Go(func() { client.BLPop(t.Context(), time.Second, "nothing") })
	}
	all.Wait()
	if n := client.PoolStats().IdleConns; n < many {
		t.Fatalf("%d connections wait in the pool", n)
	}
	if err := server.Client(t).Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal").Err(); err != nil {
		t.Fatal(err)
	}
	<-time.After(1100 * time.Millisecond) // so long they count as alive
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}

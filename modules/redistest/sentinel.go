package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
)

// MasterName is the name by which sentinels know their master.
const MasterName = "pixel"

// Watched is a master with replicas that sentinels watch.
type Watched struct {
	Master    *Server
	Replicas  []*Server
	Sentinels []string // their addresses
}

// StartSentinel starts a master, replicas, and three sentinels that put a replica
// in its place once it is dead for a second.
func StartSentinel(t testing.TB, replicas int, args ...string) *Watched {
	t.Helper()
	need(t, "redis-server")
	need(t, "redis-sentinel")
	w := &Watched{Master: StartTCP(t, args...)}
	for range replicas {
		r := StartTCP(t, append([]string{"--replicaof", "127.0.0.1 " + w.Master.Port(), "--repl-diskless-sync-delay", "0"}, args...)...)
		await(t, "a replica does not follow", r.log.String, func(ctx context.Context) error {
			return says(ctx, r.Client(t), "replication", "master_link_status:up")
		})
		w.Replicas = append(w.Replicas, r)
	}
	for range 3 {
		w.Sentinels = append(w.Sentinels, w.sentinel(t))
	}
	for _, addr := range w.Sentinels {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr})
		defer c.Close()
		await(t, "a sentinel does not find the others", func() string { return "" }, func(ctx context.Context) error {
			m, err := c.Master(ctx, MasterName).Result()
			if err == nil && (m["num-other-sentinels"] != "2" || m["num-slaves"] != fmt.Sprint(replicas)) {
				err = fmt.Errorf("%v", m)
			}
			return err
		})
	}
	return w
}

func (w *Watched) sentinel(t testing.TB) string {
	t.Helper()
	addr := FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	dir := folder(t)
	path := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(path, fmt.Appendf(nil, `port %s
bind 127.0.0.1
dir %s
sentinel monitor %[3]s 127.0.0.1 %[4]s 2
sentinel down-after-milliseconds %[3]s 1000
sentinel failover-timeout %[3]s 5000
`, port, dir, MasterName, w.Master.Port()), 0o600); err != nil {
		t.Fatal(err)
	}
	var said output
	cmd := exec.Command("redis-sentinel", path)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("start redis-sentinel: %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	await(t, "redis-sentinel does not answer", said.String, func(context.Context) error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return addr
}

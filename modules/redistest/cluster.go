package redistest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Cluster is a running Redis Cluster.
type Cluster struct {
	Masters  []*Server
	Replicas []*Server // of the first master, of the second, …
}

// StartCluster starts a cluster of masters, each with so many replicas. A part
// whose master is dead does not stop the others.
func StartCluster(t testing.TB, masters, replicas int, args ...string) *Cluster {
	t.Helper()
	need(t, "redis-server")
	c := &Cluster{}
	for i := range masters * (1 + replicas) {
		bus := strings.TrimPrefix(FreeAddr(t), "127.0.0.1:")
		s := tcp(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000",
			"--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
		}, args...)...)
		s.Restart(t)
		if i < masters {
			c.Masters = append(c.Masters, s)
		} else {
			c.Replicas = append(c.Replicas, s)
		}
		first := c.Masters[0]
		if s == first {
			first.bus = bus
			continue
		}
		s.bus = bus
		c.do(t, s, "CLUSTER", "MEET", "127.0.0.1", first.Port(), first.bus)
	}
	const slots = 1 << 14
	for i, m := range c.Masters {
		c.do(t, m, "CLUSTER", "ADDSLOTSRANGE", i*slots/masters, (i+1)*slots/masters-1)
	}
	all := append(append([]*Server{}, c.Masters...), c.Replicas...)
	for _, s := range all {
		s.knows(t, len(all))
	}
	for i, r := range c.Replicas {
		id, err := c.Masters[i/replicas].Client(t).Do(context.Background(), "CLUSTER", "MYID").Text()
		if err != nil {
			t.Fatal(err)
		}
		c.do(t, r, "CLUSTER", "REPLICATE", id)
	}
	c.Await(t)
	for _, r := range c.Replicas {
		await(t, "a replica does not follow", r.log.String, func(ctx context.Context) error {
			return says(ctx, r.Client(t), "replication", "master_link_status:up")
		})
	}
	return c
}

func (c *Cluster) do(t testing.TB, s *Server, args ...any) {
	t.Helper()
	if err := s.Client(t).Do(context.Background(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// knows waits until a server knows so many, itself included.
func (s *Server) knows(t testing.TB, n int) {
	t.Helper()
	c := s.Client(t)
	await(t, "the servers of a cluster do not find each other", s.log.String, func(ctx context.Context) error {
		info, err := c.ClusterInfo(ctx).Result()
		if err == nil && !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", n)) {
			err = fmt.Errorf("%s", info)
		}
		return err
	})
}

// Await waits until every server that runs thinks that all is well.
func (c *Cluster) Await(t testing.TB) {
	t.Helper()
	for _, s := range append(append([]*Server{}, c.Masters...), c.Replicas...) {
		if s.cmd == nil {
			continue
		}
		client := s.Client(t)
		await(t, "a cluster does not become ready", s.log.String, func(ctx context.Context) error {
			info, err := client.ClusterInfo(ctx).Result()
			if err == nil && (!strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384")) {
				err = fmt.Errorf("%s", info)
			}
			return err
		})
	}
}

func says(ctx context.Context, c redis.UniversalClient, section, line string) error {
	info, err := c.Info(ctx, section).Result()
	if err == nil && !strings.Contains(info, line) {
		err = fmt.Errorf("%s", info)
	}
	return err
}

// Addrs are those of all servers.
func (c *Cluster) Addrs() []string {
	var out []string
	for _, s := range append(append([]*Server{}, c.Masters...), c.Replicas...) {
		out = append(out, s.Addr)
	}
	return out
}

// Client returns a client that is closed with the test.
func (c *Cluster) Client(t testing.TB) redis.UniversalClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs(), ContextTimeoutEnabled: true, DialerRetries: 1})
	t.Cleanup(func() { client.Close() })
	return client
}

// Fresh is Client, after everything was deleted.
func (c *Cluster) Fresh(t testing.TB) redis.UniversalClient {
	t.Helper()
	for _, m := range c.Masters {
		m.Fresh(t)
	}
	return c.Client(t)
}

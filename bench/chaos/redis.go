package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/freeaddr"
)

// store starts Redis and returns the settings that lead to it.
func (s *stand) store(ctx context.Context) ([]string, error) {
	if s.plan.cluster {
		return s.cluster(ctx)
	}
	p, addr, err := s.server(ctx, "redis")
	if err != nil {
		return nil, err
	}
	s.redis = []*process{p}
	if s.plan.proxy {
		if s.network, err = newNetwork(addr); err != nil {
			return nil, err
		}
		addr = s.network.addr
	}
	return []string{"--redis.url=redis://" + addr}, nil
}

func (s *stand) server(ctx context.Context, name string, args ...string) (*process, string, error) {
	addr, err := freeaddr.Pick()
	if err != nil {
		return nil, "", err
	}
	_, port, _ := net.SplitHostPort(addr)
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	fsync := s.plan.fsync
	if fsync == "" {
		fsync = "everysec"
	}
	p := &process{
		name: name, addr: addr, path: "redis-server", log: filepath.Join(s.dir, name+".log"),
		args: append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", fsync, "--maxmemory-policy", "noeviction"}, args...),
		ready: func(ctx context.Context) error {
			c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: time.Second})
			defer c.Close()
			return c.Ping(ctx).Err()
		},
	}
	return p, addr, p.start(ctx)
}

// replication is nil if INFO says all of what is wanted of it.
func (p *process) replication(ctx context.Context, wanted ...string) error {
	return p.says(ctx, "replication", wanted...)
}

// says is nil if a section of INFO has all of what is wanted.
func (p *process) says(ctx context.Context, section string, wanted ...string) error {
	c := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: -1, DialTimeout: time.Second})
	defer c.Close()
	info, err := c.Info(ctx, section).Result()
	if err != nil {
		return err
	}
	for _, w := range wanted {
		if !strings.Contains(info, w+"\r") {
			return fmt.Errorf("%s is not %s", p.name, w)
		}
	}
	return nil
}

const masters = 3

// cluster starts three masters with a replica each.
func (s *stand) cluster(ctx context.Context) ([]string, error) {
	var addrs []string
	var clients []*redis.Client
	for i := range 2 * masters {
		p, addr, err := s.server(ctx, fmt.Sprintf("redis%d", i+1), "--cluster-enabled", "yes", "--cluster-node-timeout", "1500",
			"--cluster-replica-validity-factor", "0", "--min-replicas-to-write", "0", "--repl-diskless-sync-delay", "0")
		if err != nil {
			return nil, err
		}
		s.redis = append(s.redis, p)
		addrs = append(addrs, addr)
		c := redis.NewClient(&redis.Options{Addr: addr})
		defer c.Close()
		clients = append(clients, c)
	}
	const slots = 16384
	for i, c := range clients {
		if i < masters {
			if err := c.ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err(); err != nil {
				return nil, err
			}
		}
		host, port, _ := net.SplitHostPort(addrs[0])
		if err := c.ClusterMeet(ctx, host, port).Err(); err != nil {
			return nil, err
		}
	}
	ids := make([]string, masters)
	for i := range ids {
		var err error
		if ids[i], err = clients[i].Do(ctx, "cluster", "myid").Text(); err != nil {
			return nil, err
		}
	}
	for i := range masters {
		if err := until(ctx, 20*time.Second, "a replica knows its master", func() error {
			return clients[masters+i].ClusterReplicate(ctx, ids[i]).Err()
		}); err != nil {
			return nil, err
		}
	}
	err := until(ctx, 30*time.Second, "the cluster is whole", func() error {
		for i, c := range clients {
			info, err := c.ClusterInfo(ctx).Result()
			if err != nil {
				return err
			}
			if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:6") {
				return fmt.Errorf("%s says %s", addrs[i], strings.Fields(info)[0])
			}
			if i >= masters {
				if err := s.redis[i].replication(ctx, "role:slave", "master_link_status:up"); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return []string{"--redis.url=redis://" + strings.Join(addrs, ","), "--redis.mode=cluster"}, err
}

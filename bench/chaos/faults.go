package main

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

// faults are what is tried, in this order.
func faults() []fault {
	always := plan{fsync: "always"}
	return []fault{
		{name: "nothing goes wrong", harm: calm},
		{name: "kill -9 of a collector", short: true, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 3, func(i int) error { return s.front[i%2].restart(ctx, 300*time.Millisecond) })
		}},
		{name: "kill -9 of worker and dispatcher", stand: plan{resends: true}, short: true, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 3, func(int) error { return s.back.restart(ctx, 300*time.Millisecond) })
		}},
		{name: "kill -9 of the worker alone, on ClickHouse", stand: plan{apart: true}, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 3, func(int) error { return s.apart[0].restart(ctx, 300*time.Millisecond) })
		}},
		{name: "kill -9 of the dispatcher alone, on ClickHouse", stand: plan{apart: true, resends: true}, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 3, func(int) error { return s.apart[1].restart(ctx, 300*time.Millisecond) })
		}},
		{name: "kill -9 of ClickHouse", stand: plan{apart: true}, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 2, func(int) error { return s.engine.restart(ctx, time.Second) })
		}},
		{name: "kill -9 of everything, embedded", stand: plan{embedded: true, resends: true}, short: true, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 3, func(int) error { return s.back.restart(ctx, 300*time.Millisecond) })
		}},
		{name: "kill -9 of Redis, AOF everysec", short: true, harm: killRedis},
		{name: "kill -9 of Redis, AOF always", stand: always, harm: killRedis},
		{name: "Redis away for ten seconds", harm: func(ctx context.Context, s *stand) error { return s.redisAway(ctx, 10*time.Second) }},
		{name: "collector killed and started while Redis is away", harm: func(ctx context.Context, s *stand) error {
			if err := s.killRedis(ctx); err != nil {
				return err
			}
			pause(ctx, 3*time.Second)
			for _, c := range s.front {
				if err := c.restart(ctx, time.Second); err != nil {
					return err
				}
			}
			// They take events before there is a Redis again.
			pause(ctx, 3*time.Second)
			return s.redis[0].start(ctx)
		}},
		{name: "Redis away, and the spill disks full", stand: plan{disk: 16}, harm: fullDisk},
		{name: "worker paused past its leases", harm: func(ctx context.Context, s *stand) error {
			return s.back.freeze(ctx, lease+5*time.Second)
		}},
		{name: "collector paused", harm: func(ctx context.Context, s *stand) error { return s.front[0].freeze(ctx, 8*time.Second) }},
		{name: "Redis paused", harm: func(ctx context.Context, s *stand) error { return s.redis[0].freeze(ctx, 12*time.Second) }},
		{name: "network: 200 ms to Redis and back", stand: plan{proxy: true}, harm: func(ctx context.Context, s *stand) error {
			return s.network.poison(ctx, 8*time.Second, "latency", "downstream", `{"latency":200,"jitter":150}`)
		}},
		{name: "network: a trickle of 40 KB/s", stand: plan{proxy: true}, harm: func(ctx context.Context, s *stand) error {
			return s.network.poison(ctx, 8*time.Second, "bandwidth", "upstream", `{"rate":40}`)
		}},
		{name: "network: cut", stand: plan{proxy: true}, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 3, func(int) error { return s.network.cut(ctx, 1500*time.Millisecond) })
		}},
		{name: "network: commands arrive, answers are lost", stand: plan{proxy: true}, short: true, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 4, func(int) error {
				return s.network.poison(ctx, 800*time.Millisecond, "timeout", "downstream", `{"timeout":100}`)
			})
		}},
		{name: "network: connections reset in an answer", stand: plan{proxy: true}, harm: func(ctx context.Context, s *stand) error {
			return times(ctx, 4, func(int) error {
				return s.network.poison(ctx, 800*time.Millisecond, "limit_data", "downstream", `{"bytes":300}`)
			})
		}},
		{name: "cluster: a master killed, its replica takes over", stand: plan{cluster: true, args: []string{"--redis.wait_replicas=1"}}, harm: failover},
	}
}

func calm(ctx context.Context, _ *stand) error {
	pause(ctx, 3*time.Second)
	return nil
}

func killRedis(ctx context.Context, s *stand) error {
	return times(ctx, 3, func(int) error { return s.redisAway(ctx, 500*time.Millisecond) })
}

// redisAway is a crash of Redis that lasts for a while.
func (s *stand) redisAway(ctx context.Context, d time.Duration) error {
	if err := s.killRedis(ctx); err != nil {
		return err
	}
	pause(ctx, d)
	return s.redis[0].start(ctx)
}

// killRedis kills it while all that it answered is with the operating system. With an
// fsync each second it answers before that while one takes long, as on a disk that
// others use; then its death costs what it holds, and no client can prevent that.
func (s *stand) killRedis(ctx context.Context) error {
	if s.plan.fsync != "always" {
		if err := until(ctx, time.Minute, "Redis has written its log", func() error {
			return s.redis[0].says(ctx, "persistence", "aof_buffer_length:0", "aof_pending_bio_fsync:0")
		}); err != nil {
			return err
		}
	}
	s.redis[0].kill()
	return nil
}

// failover kills the masters in turn, each once the one before is back as the
// replica of its replica.
func failover(ctx context.Context, s *stand) error {
	for i := range masters {
		s.redis[i].kill()
		err := until(ctx, time.Minute, "the replica has taken over", func() error { return s.redis[masters+i].replication(ctx, "role:master") })
		if err != nil {
			return err
		}
		pause(ctx, time.Second)
		if err := s.redis[i].start(ctx); err != nil {
			return err
		}
		err = until(ctx, time.Minute, "the old master follows", func() error {
			return s.redis[i].replication(ctx, "role:slave", "master_link_status:up")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fullDisk takes Redis away, lets the collectors spill, and then takes the rest of
// their disks. Redis comes back before there is room again.
func fullDisk(ctx context.Context, s *stand) error {
	if err := s.killRedis(ctx); err != nil {
		return err
	}
	pause(ctx, 3*time.Second)
	for i := range s.front {
		if err := s.fill(i); err != nil {
			return err
		}
	}
	pause(ctx, 4*time.Second)
	if err := s.redis[0].start(ctx); err != nil {
		return err
	}
	pause(ctx, 5*time.Second)
	for _, d := range s.disks {
		if err := os.Remove(filepath.Join(d, "filler")); err != nil {
			return err
		}
	}
	return nil
}

// times does something again and again, with a little calm between.
func times(ctx context.Context, n int, f func(i int) error) error {
	for i := range n {
		if err := f(i); err != nil {
			return err
		}
		pause(ctx, 1500*time.Millisecond)
	}
	return ctx.Err()
}

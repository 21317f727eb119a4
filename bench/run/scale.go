package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/freeaddr"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/session"
	"github.com/miq/pixel/modules/state/redisstate"
	"github.com/miq/pixel/modules/worker"
)

// fewProfiles is what many are compared with, and weighedAt where the state is weighed.
const (
	fewProfiles = 10_000
	weighedAt   = 1_000_000
)

// scale measures what an event costs while the state in Redis, the real one, knows few
// visitors and while it knows many; only what is stored for good goes nowhere. It goes
// by the processor time of the worker and of Redis together, which tells the same on a
// machine that does other things.
//
// Both do the same work, and what it was is printed beside: each round is visits of
// visitors of whom one page is known, and Redis remembers as many events' ids, since those
// go by the traffic of a week and not by how many visitors it is of. They take turns, since
// a machine that is a third faster a minute later says nothing of either.
func scale(ctx context.Context, of workerOf, line map[string]any) (err error) {
	small, err := startScale(ctx, of)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.stop()) }()
	large, err := startScale(ctx, of)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, large.stop()) }()
	few, many := min(fewProfiles, of.scale), of.scale
	// A visitor of the few comes every second time at most.
	small.events = min(of.events, few/2*perVisit)
	large.events = small.events
	began := time.Now().Add(-span(few, few+small.events) - span(many, many))
	fmt.Printf("\n%20s %14s %10s %10s %12s %12s %12s %12s %12s %12s %12s\n", "profiles", "CPU us/event", "worker", "Redis", "keys found", "not found", "written", "commands", "bytes in", "bytes out", "ns a key")
	if err := large.grow(ctx, many, began, line); err != nil {
		return err
	}
	var atFew, atMany []cost
	var ratios, workers, servers []float64
	for range of.rounds {
		if err := small.fresh(ctx, few, began, many); err != nil {
			return err
		}
		f, err := small.measure(ctx, "few")
		if err != nil {
			return err
		}
		m, err := large.measure(ctx, "many")
		if err != nil {
			return err
		}
		atFew, atMany = append(atFew, f), append(atMany, m)
		ratios, workers, servers = append(ratios, f.all()/m.all()), append(workers, f.worker/m.worker), append(servers, f.redis/m.redis)
	}
	printCost(strconv.Itoa(few), atFew)
	printCost(strconv.Itoa(many), atMany)
	f, m := medianCost(atFew), medianCost(atMany)
	if err := large.sort(ctx); err != nil {
		return err
	}
	fmt.Printf("%20s A key that no cache holds costs Redis %.0f ns more to read: %.1f us an event, if all of its %.1f keys are such\n", "", m.key-f.key, m.touched()*(m.key-f.key)/1000, m.touched())
	line["scale_ratio"], line["scale_profiles"] = hundredths(median(ratios)), many
	line["scale_ratio_worker"], line["scale_ratio_redis"] = hundredths(median(workers)), hundredths(median(servers))
	line["scale_few_us"], line["scale_many_us"] = hundredths(f.all()), hundredths(m.all())
	line["scale_key_ns_few"], line["scale_key_ns_many"], line["scale_keys_per_event"] = round(f.key), round(m.key), hundredths(m.touched())
	return nil
}

// grow lets all the visitors be met, and weighs the state on the way.
func (s *scaled) grow(ctx context.Context, many int, began time.Time, line map[string]any) error {
	empty, err := usedBy(ctx, s.client)
	if err != nil {
		return err
	}
	s.traffic, s.visitors = newTraffic(many, began), many
	if err := s.meet(ctx, min(weighedAt, many)); err != nil {
		return err
	}
	used, err := usedBy(ctx, s.client)
	if err != nil {
		return err
	}
	seen, err := usedBySeen(ctx, s.client)
	if err != nil {
		return err
	}
	known := float64(s.known)
	per := (used - empty - seen) / known
	fmt.Printf("%20s Redis needs %.0f bytes a visitor for %.0f visitors, and %.0f bytes more while their events' ids are remembered\n", "", per, known, seen/known)
	line["state_bytes_per_visitor"], line["state_visitors"] = round(per), s.known
	if err := s.meet(ctx, many); err != nil {
		return err
	}
	growing, err := s.measure(ctx, "growing")
	if err != nil {
		return err
	}
	printCost("many, as they came", []cost{growing})
	return s.settle(ctx)
}

// scaled is a worker with a Redis of its own.
type scaled struct {
	of       workerOf
	dir      string
	server   *process
	client   redis.UniversalClient
	keys     *kinds
	feed     *feed
	worker   *worker.Worker
	traffic  *traffic
	visitors int // that there are
	known    int
	events   int // in a round
}

func startScale(ctx context.Context, of workerOf) (s *scaled, err error) {
	s = &scaled{of: of}
	if s.dir, err = os.MkdirTemp("", "pixel-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	path, err := tool(ctx, "redis-server")
	if err != nil {
		return nil, err
	}
	addr, err := freeaddr.Pick()
	if err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(addr, ":")
	if s.server, err = start("redis", nil, path, "--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", ""); err != nil {
		return nil, err
	}
	if err := s.server.listens(ctx, addr); err != nil {
		return nil, err
	}
	if s.client, err = redisclient.New(config.Redis{URL: "redis://" + addr, Mode: "single", Timeout: time.Minute}); err != nil {
		return nil, err
	}
	s.feed = newFeed()
	s.keys = &kinds{Keys: redisstate.New(s.client), of: map[string]*asked{}}
	s.worker, _, err = startWorker(ctx, s.feed, s.keys, nothing{}, nothing{}, 2)
	return s, err
}

func (s *scaled) stop() (err error) {
	if s.worker != nil {
		err = s.worker.Stop(context.Background())
	}
	if s.client != nil {
		err = errors.Join(err, s.client.Close())
	}
	if s.server != nil {
		s.server.stop()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// fresh forgets everybody, makes Redis remember so many ids of events, and lets visitors be
// met.
func (s *scaled) fresh(ctx context.Context, visitors int, began time.Time, ids int) error {
	if err := s.client.FlushAll(ctx).Err(); err != nil {
		return err
	}
	s.traffic, s.visitors, s.known = newTraffic(visitors, began), visitors, 0
	for from := 0; from < ids; from += 20_000 {
		if err := seenScript.Run(ctx, s.client, nil, from, min(from+20_000, ids)).Err(); err != nil {
			return err
		}
	}
	if err := s.meet(ctx, visitors); err != nil {
		return err
	}
	return s.settle(ctx)
}

// seenScript makes Redis remember ids of events, as the worker does.
//
//	ARGV  1 the first  2 the end
var seenScript = redis.NewScript(`
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) - 1 do
  local a, b = (i * 2654435761) % 4294967296, (i * 40503) % 4294967296
  redis.call('SET', 'seen:px_shop:\1' .. struct.pack('>I4I4I4I4', a, b, i, b), struct.pack('>I4I4', b, a), 'PX', 604800000)
end
return 1
`)

// meet lets the first event that is known of visitors be processed.
func (s *scaled) meet(ctx context.Context, upTo int) error {
	for s.known < upTo {
		part := make([]queue.Item, 0, 50_000)
		for ; s.known < upTo && len(part) < cap(part); s.known++ {
			part = append(part, s.traffic.first(s.known))
		}
		if err := s.feed.through(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// settle reads as many keys as there are. While Redis's tables grow, which it does bit by bit
// with each key that is read or written, every key is looked for in two: that is how it is
// for a moment at each doubling, wherever it happens to be.
func (s *scaled) settle(ctx context.Context) error {
	size, err := s.client.DBSize(ctx).Result()
	if err != nil {
		return err
	}
	return s.read(ctx, int(size))
}

// measure takes a round of events through the worker.
func (s *scaled) measure(ctx context.Context, who string) (c cost, err error) {
	items := make([]queue.Item, s.events)
	for i := range items {
		items[i] = s.traffic.next()
	}
	runtime.GC()
	before, err := did(ctx, s.client)
	if err != nil {
		return c, err
	}
	if s.of.profile != "" {
		f, err := os.Create(s.of.profile + "." + who)
		if err != nil {
			return c, err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return c, err
		}
		defer pprof.StopCPUProfile()
	}
	mine := own()
	if err := s.feed.through(ctx, items); err != nil {
		return c, err
	}
	mine = own() - mine
	after, err := did(ctx, s.client)
	if err != nil {
		return c, err
	}
	n := float64(len(items))
	per := func(key string) float64 { return (after[key] - before[key]) / n }
	c = cost{
		worker: mine.Seconds() * 1e6 / n, redis: (per("used_cpu_user") + per("used_cpu_sys")) * 1e6,
		found: per("keyspace_hits"), missed: per("keyspace_misses"), written: per("set"), commands: per("total_commands_processed"),
		i: per("total_net_input_bytes"), o: per("total_net_output_bytes"),
	}
	c.key, err = s.readKeys(ctx)
	return c, err
}

// sort says which keys a round more of events asks for, which is not measured.
func (s *scaled) sort(ctx context.Context) error {
	items := make([]queue.Item, s.events)
	for i := range items {
		items[i] = s.traffic.next()
	}
	s.keys.counts.Store(true)
	defer s.keys.counts.Store(false)
	if err := s.feed.through(ctx, items); err != nil {
		return err
	}
	s.keys.print(len(items))
	return nil
}

// readKeys is how long Redis takes for one key of any visitor, in nanoseconds, by its own
// clock.
func (s *scaled) readKeys(ctx context.Context) (float64, error) {
	const reads = 100_000
	before, err := did(ctx, s.client)
	if err != nil {
		return 0, err
	}
	if err := s.read(ctx, reads); err != nil {
		return 0, err
	}
	after, err := did(ctx, s.client)
	return (after["usec mget"] - before["usec mget"]) * 1000 / reads, err
}

// read reads the sessions of any visitors, as many at a time as the worker does.
func (s *scaled) read(ctx context.Context, n int) error {
	keys := make([]string, 256)
	for ; n > 0; n -= len(keys) {
		keys = keys[:min(n, len(keys))]
		for i := range keys {
			keys[i] = session.Key("px_shop", nameOf(rand.IntN(s.visitors)))
		}
		if err := s.client.MGet(ctx, keys...).Err(); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/freeaddr"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/state/redisstate"
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
func scale(ctx context.Context, of workerOf, line map[string]any) (err error) {
	dir, err := os.MkdirTemp("", "pixel-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, err := tool(ctx, "redis-server")
	if err != nil {
		return err
	}
	addr, err := freeaddr.Pick()
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(addr, ":")
	server, err := start("redis", nil, path, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "")
	if err != nil {
		return err
	}
	defer server.stop()
	if err := server.listens(ctx, addr); err != nil {
		return err
	}
	client, err := redisclient.New(config.Redis{URL: "redis://" + addr, Mode: "single", Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	feed := newFeed()
	w, _, err := startWorker(ctx, feed, redisstate.New(client), nothing{}, nothing{}, 2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Stop(context.WithoutCancel(ctx))) }()
	empty, err := usedBy(ctx, client)
	if err != nil {
		return err
	}
	few, many := min(fewProfiles, of.scale), of.scale
	began := time.Now().Add(-span(few, few+2*of.rounds*of.events) - span(many, many))
	t := newTraffic(few, began)
	known := 0
	meet := func(upTo int) error {
		for known < upTo {
			part := make([]queue.Item, 0, 50_000)
			for ; known < upTo && len(part) < cap(part); known++ {
				part = append(part, t.first(known))
			}
			if err := feed.through(ctx, part); err != nil {
				return err
			}
		}
		return nil
	}
	fmt.Printf("\n%20s %14s %10s %10s %22s\n", "profiles", "CPU us/event", "worker", "Redis", "events/s of a core")
	measure := func(who string) (float64, error) {
		var rates, theirs []float64
		for range of.rounds {
			items := make([]queue.Item, of.events)
			for i := range items {
				items[i] = t.next()
			}
			worker, redis := own(), server.cpu()
			if err := feed.through(ctx, items); err != nil {
				return 0, err
			}
			worker, redis = own()-worker, server.cpu()-redis
			rates = append(rates, float64(len(items))/(worker+redis).Seconds())
			theirs = append(theirs, redis.Seconds()/float64(len(items)))
		}
		all, redis := 1e6/median(rates), 1e6*median(theirs)
		fmt.Printf("%20s %14.1f %10.1f %10.1f %22.0f\n", who, all, all-redis, redis, median(rates))
		return median(rates), nil
	}
	if err := meet(few); err != nil {
		return err
	}
	atFew, err := measure(strconv.Itoa(few))
	if err != nil {
		return err
	}
	next := newTraffic(many, t.now)
	next.began = began // as consent does not change with the number of visitors
	t = next
	if err := meet(min(weighedAt, many)); err != nil {
		return err
	}
	used, err := usedBy(ctx, client)
	if err != nil {
		return err
	}
	seen, err := usedBySeen(ctx, client)
	if err != nil {
		return err
	}
	per := (used - empty - seen) / float64(known)
	fmt.Printf("%20s Redis needs %.0f bytes a visitor for %d visitors, and %.0f bytes more while their events' ids are remembered\n", "", per, known, seen/float64(known))
	line["state_bytes_per_visitor"], line["state_visitors"] = round(per), known
	if err := meet(many); err != nil {
		return err
	}
	atMany, err := measure(strconv.Itoa(many))
	if err != nil {
		return err
	}
	// The few once more, now that all the others are known: what it costs beyond the
	// first time is for how many are known, and what the many cost beyond that is for
	// memory that no cache holds.
	t = newTraffic(few, next.now)
	t.began = began
	again, err := measure(fmt.Sprintf("%d of %d", few, many))
	if err != nil {
		return err
	}
	line["scale_ratio"], line["scale_profiles"], line["scale_ratio_same"] = hundredths(atMany/atFew), many, hundredths(again/atFew)
	return nil
}

// usedBy is how many bytes Redis needs.
func usedBy(ctx context.Context, client redis.UniversalClient) (float64, error) {
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	m := usedMemory.FindStringSubmatch(info)
	if m == nil {
		return 0, errors.New("redis does not say how much memory it uses")
	}
	return strconv.ParseFloat(m[1], 64)
}

// usedBySeen is about how many of them are for the ids of events, which are gone in a
// week: how many there are, by a sample of all keys, times what some of them need.
func usedBySeen(ctx context.Context, client redis.UniversalClient) (float64, error) {
	const sample = 2000
	size, err := client.DBSize(ctx).Result()
	if err != nil {
		return 0, err
	}
	var of []string
	for range sample {
		key, err := client.RandomKey(ctx).Result()
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(key, "seen:") {
			of = append(of, key)
		}
	}
	if len(of) == 0 {
		return 0, nil
	}
	var bytes []float64
	for key := range slices.Values(of[:min(len(of), 200)]) {
		n, err := client.MemoryUsage(ctx, key, 0).Result()
		if err != nil {
			return 0, err
		}
		bytes = append(bytes, float64(n))
	}
	return float64(size) * float64(len(of)) / sample * median(bytes), nil
}

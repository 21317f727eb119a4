package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"
)

// soak loads our collector on Redis with four fifths of what it can take, at a
// constant rate, and prints what memory it needs meanwhile, and what is left of it
// afterwards.
func soak(ctx context.Context, length time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "pixel-soak-")
	if err != nil {
		return err
	}
	b := &bench{dir: dir, pixel: filepath.Join(dir, "pixel"), ref: filepath.Join(dir, "ref")}
	defer func() {
		for _, p := range slices.Backward(b.processes) {
			p.stop()
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := b.build(ctx); err != nil {
		return err
	}
	path, err := tool(ctx, "redis-server")
	if err != nil {
		return err
	}
	store, addr, err := b.redis(ctx, path, "everysec")
	if err != nil {
		return err
	}
	if err := b.product(ctx, "redis", []string{"PIXEL_REDIS_URL=redis://" + addr + "/0"}, store); err != nil {
		return err
	}
	s := b.sides[0]
	before, err := s.sample(ctx)
	if err != nil {
		return err
	}
	most, err := saturate(ctx, b.wrk, s.url, 1, 5, 1)
	if err != nil {
		return err
	}
	rate := most.rps() * 0.8
	fmt.Printf("%.0f requests/s are the most; %s at %.0f\n\n%8s %10s %10s %12s\n", most.rps(), length, rate, "s", "RSS MiB", "heap MiB", "goroutines")

	running, stop := context.WithCancel(ctx)
	defer stop()
	emptied := make(chan struct{})
	go func() {
		defer close(emptied)
		empty(running, addr)
	}()
	loaded := make(chan error, 1)
	var load load
	go func() {
		var err error
		load, err = steady(ctx, b.ref, s.url, rate, int(length.Seconds()))
		loaded <- err
	}()
	start, tick := time.Now(), time.NewTicker(max(time.Second, length/30))
	defer tick.Stop()
	var during []sample
	for done := false; !done; {
		select {
		case err := <-loaded:
			if err != nil {
				return err
			}
			done = true
		case <-tick.C:
			now, err := s.sample(ctx)
			if err != nil {
				return err
			}
			during = append(during, now)
			fmt.Printf("%8.0f %10.1f %10.1f %12d\n", time.Since(start).Seconds(), now.rss, now.heap, now.goroutines)
		}
	}
	if len(during) < 5 {
		return fmt.Errorf("%s is too short to tell anything", length)
	}
	after, err := s.settled(ctx, before)
	if err != nil {
		return err
	}
	stop()
	<-emptied
	// The first fifth is how it grows to its size. What comes then is cut in two.
	rest := during[len(during)/5:]
	early, late := middle(rest[:len(rest)/2]), middle(rest[len(rest)/2:])
	fmt.Printf("%8s %10.1f %10.1f %12d\n", "idle", after.rss, after.heap, after.goroutines)
	out, err := json.Marshal(map[string]any{
		"soak_s": int(length.Seconds()), "rate": round(rate), "requests": load.requests, "failed": load.failed,
		"p50_ms": hundredths(ms(load.p50)), "p99_ms": hundredths(ms(load.p99)),
		"rss_mib_early": hundredths(early.rss), "rss_mib_late": hundredths(late.rss), "rss_growth": hundredths(late.rss / early.rss),
		"heap_mib_early": hundredths(early.heap), "heap_mib_late": hundredths(late.heap),
		"goroutines_before": before.goroutines, "goroutines_after": after.goroutines,
	}, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", out)
	return nil
}

// sample is what a process takes, in MiB.
type sample struct {
	rss, heap  float64
	goroutines int
}

// middle is the median of each.
func middle(list []sample) sample {
	var rss, heap []float64
	for _, s := range list {
		rss, heap = append(rss, s.rss), append(heap, s.heap)
	}
	return sample{rss: median(rss), heap: median(heap)}
}

// sample reads what our process says of itself.
func (s *side) sample(ctx context.Context) (sample, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", s.ops+"/metrics", nil)
	if err != nil {
		return sample{}, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return sample{}, err
	}
	defer res.Body.Close()
	figures := map[string]float64{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			figures[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	const mib = 1 << 20
	got := sample{figures["process_resident_memory_bytes"] / mib, figures["go_memstats_heap_inuse_bytes"] / mib, int(figures["go_goroutines"])}
	if got.rss == 0 || got.goroutines == 0 {
		return got, errors.New("the process does not say what it takes")
	}
	return got, nil
}

// settled waits until there are no more goroutines than before, or a while.
func (s *side) settled(ctx context.Context, before sample) (sample, error) {
	for end := time.Now().Add(30 * time.Second); ; {
		now, err := s.sample(ctx)
		if err != nil || now.goroutines <= before.goroutines || time.Now().After(end) {
			return now, err
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// empty deletes what waits in the queues, as a worker would, so that Redis does
// not fill up.
func empty(ctx context.Context, addr string) {
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		keys, err := client.Keys(ctx, "{ingest:*").Result()
		if err == nil && len(keys) > 0 {
			err = client.Unlink(ctx, keys...).Err()
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "the queues could not be emptied:", err)
		}
	}
}

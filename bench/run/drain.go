package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/freeaddr"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redisclient"
)

// drainBench lets the product's worker empty its queues in Redis.
type drainBench struct {
	bench
	profile string
	server  *process
	engine  *engine // nil: what is stored goes to the embedded store
	client  redis.UniversalClient
	queue   *redisqueue.Queue
	env     []string
	args    []string
	traffic *traffic
}

// drained is what came of one backlog.
type drained struct {
	eps float64
	cpu float64 // microseconds an event, of the worker and its stores together
}

// drains measures with one store: the first backlog makes the visitors known.
func drains(ctx context.Context, of workerOf, dir, binary string, clickhouse bool) (out []drained, err error) {
	b := &drainBench{bench: bench{dir: dir, pixel: binary}, profile: of.profile}
	defer func() {
		for _, p := range slices.Backward(b.processes) {
			p.stop()
		}
	}()
	if err := b.prepare(ctx, clickhouse); err != nil {
		return nil, err
	}
	defer b.client.Close()
	defer b.queue.Close()
	if b.engine != nil {
		defer func() { err = errors.Join(err, b.engine.end()) }()
	}
	b.traffic = newTraffic(of.visitors, time.Now().Add(-span(of.visitors, of.visitors+of.rounds*of.backlog)))
	warm := make([]queue.Item, 0, 2*of.visitors)
	for v := range of.visitors {
		warm = append(warm, b.traffic.first(v))
	}
	for range of.visitors {
		warm = append(warm, b.traffic.next())
	}
	if _, err := b.drain(ctx, warm); err != nil {
		return nil, err
	}
	for range of.rounds {
		items := make([]queue.Item, of.backlog)
		for i := range items {
			items[i] = b.traffic.next()
		}
		d, err := b.drain(ctx, items)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// prepare starts Redis and the store, and makes the pixel.
func (b *drainBench) prepare(ctx context.Context, clickhouse bool) error {
	path, err := tool(ctx, "redis-server")
	if err != nil {
		return err
	}
	var store string
	if b.server, store, err = b.redis(ctx, path, "everysec"); err != nil {
		return err
	}
	key := make([]byte, 32)
	rand.Read(key)
	b.env = []string{"PIXEL_REDIS_URL=redis://" + store, "PIXEL_ADMIN_TOKEN=" + token, "PIXEL_SECRET_KEY=" + base64.StdEncoding.EncodeToString(key)}
	b.args = []string{"serve", "--log.level=warn", "--data_dir=" + filepath.Join(b.dir, "data")}
	if clickhouse {
		if b.engine, err = startEngine(ctx, ""); err != nil {
			return err
		}
		if _, err := b.engine.ask(ctx, "", "CREATE DATABASE IF NOT EXISTS drained", nil); err != nil {
			return errors.Join(err, b.engine.end())
		}
		b.env = append(b.env, "PIXEL_CLICKHOUSE_DSN="+b.engine.base+"/drained")
		migrate := exec.CommandContext(ctx, b.pixel, "migrate")
		migrate.Env = append(os.Environ(), b.env...)
		if out, err := migrate.CombinedOutput(); err != nil {
			return errors.Join(fmt.Errorf("migrate: %w: %s", err, out), b.engine.end())
		}
	}
	if b.client, err = redisclient.New(config.Redis{URL: "redis://" + store, Mode: "single", Timeout: 10 * time.Second}); err != nil {
		return err
	}
	b.queue = redisqueue.New(b.client, queue.Defaults, redisqueue.Settings{Timeout: 10 * time.Second})
	return b.pixelIsMade(ctx)
}

// serve starts roles of the product, and returns its admin's address.
func (b *drainBench) serve(ctx context.Context, role string) (p *process, admin, ops string, err error) {
	var addr [2]string
	for i := range addr {
		if addr[i], err = freeaddr.Pick(); err != nil {
			return nil, "", "", err
		}
	}
	admin, ops = "http://"+addr[0], "http://"+addr[1]
	p, err = b.run("pixel", b.env, b.pixel, append(b.args, "--role="+role, "--admin.addr="+addr[0], "--ops.addr="+addr[1])...)
	if err != nil {
		return nil, "", "", err
	}
	return p, admin, ops, p.ready(ctx, ops+"/readyz")
}

func (b *drainBench) pixelIsMade(ctx context.Context) error {
	p, admin, _, err := b.serve(ctx, "admin")
	if err != nil {
		return err
	}
	defer p.stop()
	site := shopSite()
	routes := site.Routes
	site.Routes = nil
	body, err := json.Marshal(map[string]any{"id": site.ID, "name": site.Name, "enabled": true, "consent_mode": site.ConsentMode, "domains": site.Domains, "country": site.Country, "consent": site.Consent})
	if err != nil {
		return err
	}
	s := &side{admin: admin}
	if err := s.api(ctx, "POST", "/api/v1/pixels", string(body), nil); err != nil {
		return err
	}
	if body, err = json.Marshal(routes); err != nil {
		return err
	}
	return s.api(ctx, "PUT", "/api/v1/pixels/"+site.ID+"/routes", string(body), nil)
}

// drain pushes items while no worker runs, and times the worker from when it is ready.
func (b *drainBench) drain(ctx context.Context, items []queue.Item) (drained, error) {
	for part := range slices.Chunk(items, group) {
		if err := b.queue.Push(ctx, part...); err != nil {
			return drained{}, err
		}
	}
	stores := []*process{b.server}
	if b.engine != nil {
		stores = append(stores, b.engine.process)
	}
	before := spent(stores)
	p, _, ops, err := b.serve(ctx, "worker")
	if err != nil {
		return drained{}, err
	}
	defer p.stop()
	if b.profile != "" {
		go profile(ctx, ops, b.profile+filepath.Base(b.dir))
	}
	begun := time.Now()
	first, err := b.left(ctx)
	if err != nil {
		return drained{}, err
	}
	for {
		n, err := b.left(ctx)
		if err != nil {
			return drained{}, err
		}
		if n == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return drained{}, ctx.Err()
		case <-p.done:
			return drained{}, fmt.Errorf("the worker ended: %s", p.out)
		case <-time.After(20 * time.Millisecond):
		}
	}
	took := time.Since(begun)
	cpu := spent(append(stores, p)) - before
	stats, err := b.queue.Stats(ctx)
	if err != nil {
		return drained{}, err
	}
	for _, s := range stats {
		if strings.HasPrefix(s.Queue, "dlq:") && s.Ready > 0 {
			return drained{}, fmt.Errorf("%d events are in %s", s.Ready, s.Queue)
		}
	}
	return drained{float64(first) / took.Seconds(), float64(cpu.Microseconds()) / float64(len(items))}, nil
}

// left is how many events are not done.
func (b *drainBench) left(ctx context.Context) (int, error) {
	stats, err := b.queue.Stats(ctx)
	n := 0
	for _, s := range stats {
		if strings.HasPrefix(s.Queue, "ingest:") {
			n += s.Ready + s.InFlight + s.Delayed
		}
	}
	return n, err
}

// throughput is what the whole worker brings through with Redis and each of the stores.
func throughput(ctx context.Context, of workerOf, line map[string]any) error {
	dir, err := os.MkdirTemp("", "pixel-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "pixel")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	fmt.Printf("\n%-30s %12s %14s\n", "Redis and", "events/s", "CPU us/event")
	best := 0.0
	for _, store := range []struct {
		name       string
		clickhouse bool
	}{{"embedded", false}, {"clickhouse", true}} {
		if of.store != "" && of.store != store.name {
			continue
		}
		at := filepath.Join(dir, store.name)
		if err := os.Mkdir(at, 0o700); err != nil {
			return err
		}
		list, err := drains(ctx, of, at, binary, store.clickhouse)
		if err != nil {
			return fmt.Errorf("with Redis and %s: %w", store.name, err)
		}
		var eps, cpu []float64
		for _, d := range list {
			eps, cpu = append(eps, d.eps), append(cpu, d.cpu)
		}
		fmt.Printf("%-30s %12.0f %14.1f\n", store.name, median(eps), median(cpu))
		line["redis_"+store.name+"_eps"], line["redis_"+store.name+"_cpu_us"] = round(median(eps)), hundredths(median(cpu))
		best = max(best, round(median(eps)))
	}
	line["redis_eps"] = best
	return nil
}

// profile keeps what the product's processor does for five seconds.
func profile(ctx context.Context, ops, path string) {
	out, err := exec.CommandContext(ctx, "curl", "-sfo", path, ops+"/debug/pprof/profile?seconds=5").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "no profile: %v: %s\n", err, out)
	}
}

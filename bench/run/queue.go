package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/freeaddr"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/sqlitedb"
)

const (
	// group is how many events go to a commit, and to a claim and an ack.
	group = 256
	// hands push, and then pull, at once.
	hands = 4
	name  = "ingest:standard"
)

// queueBench is what bench/queue measures with.
type queueBench struct {
	events int
	items  []queue.Item
	size   float64 // mean bytes of a body
	server *process
	addr   string
	tool   string
}

// cycle is what one pass over all events took.
type cycle struct {
	eps float64
	cpu float64 // microseconds an event, of us and the server
}

func benchQueue(ctx context.Context, rounds, events int) (err error) {
	dir, err := os.MkdirTemp("", "pixel-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &queueBench{events: events / group * group}
	if b.items, err = sampleItems(20 * group); err != nil {
		return err
	}
	for _, item := range b.items {
		b.size += float64(len(item.Body)) / float64(len(b.items))
	}
	redisServer, err := tool(ctx, "redis-server")
	if err != nil {
		return err
	}
	if b.tool, err = tool(ctx, "redis-benchmark"); err != nil {
		return err
	}
	if b.addr, err = freeaddr.Pick(); err != nil {
		return err
	}
	_, port, _ := strings.Cut(b.addr, ":")
	// The append-only file is not rewritten meanwhile, which would slow one side or
	// the other by chance.
	if b.server, err = start("redis", nil, redisServer, "--port", port, "--bind", "127.0.0.1", "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
		"--auto-aof-rewrite-percentage", "0"); err != nil {
		return err
	}
	defer b.server.stop()
	if err := b.server.listens(ctx, b.addr); err != nil {
		return err
	}
	client, err := redisclient.New(config.Redis{URL: "redis://" + b.addr, Mode: "single", Timeout: 10 * time.Second})
	if err != nil {
		return err
	}
	defer client.Close()
	redisQueue := redisqueue.New(client, queue.Defaults, redisqueue.Settings{Timeout: 10 * time.Second})
	defer redisQueue.Close()
	db, err := sqlitedb.Open(filepath.Join(dir, "queue.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	embedded, err := sqlitequeue.New(db, queue.Defaults)
	if err != nil {
		return err
	}
	defer embedded.Close()

	memory := map[string]float64{}
	for _, n := range []int{1, 16, group} {
		if memory[strconv.Itoa(n)], err = b.memory(ctx, client, redisQueue, n); err != nil {
			return err
		}
	}
	results := map[string][]cycle{}
	sides := []struct {
		name string
		run  func(context.Context) (cycle, error)
	}{
		{"redis-benchmark", func(ctx context.Context) (cycle, error) { return b.reference(ctx, client) }},
		{"redis", func(ctx context.Context) (cycle, error) { return b.ours(ctx, redisQueue) }},
		{"embedded", func(ctx context.Context) (cycle, error) { return b.ours(ctx, embedded) }},
	}
	for round := range rounds {
		for i := range sides {
			side := sides[(i+round)%len(sides)]
			c, err := side.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			results[side.name] = append(results[side.name], c)
		}
		fmt.Fprintf(os.Stderr, "round %d of %d is done\n", round+1, rounds)
	}
	return b.report(results, memory)
}

// reference is redis-benchmark's RPUSH and then LPOP of as many bodies.
func (b *queueBench) reference(ctx context.Context, client redis.UniversalClient) (cycle, error) {
	cpu := spent([]*process{b.server})
	var took, tools time.Duration
	for _, command := range [][]string{{"RPUSH", "reference"}, {"LPOP", "reference"}} {
		args := []string{"-h", "127.0.0.1", "-p", b.addr[strings.IndexByte(b.addr, ':')+1:], "-n", strconv.Itoa(b.events), "-c", "8", "-P", "128", "-q"}
		push := command[0] == "RPUSH"
		if push {
			args = append(args, "-x")
		}
		cmd := exec.CommandContext(ctx, b.tool, append(args, command...)...)
		if push {
			// One body of the mean size: it takes one, and which does not matter to a list.
			cmd.Stdin = bytes.NewReader(b.items[0].Body[:min(len(b.items[0].Body), int(b.size))])
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return cycle{}, fmt.Errorf("%w: %s", err, out)
		}
		found := perSecond.FindAllSubmatch(out, -1)
		if len(found) == 0 {
			return cycle{}, fmt.Errorf("redis-benchmark said no figure: %q", out)
		}
		rps, _ := strconv.ParseFloat(string(found[len(found)-1][1]), 64)
		took += time.Duration(float64(b.events) / rps * float64(time.Second))
		tools += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	left, err := client.Del(ctx, "reference").Result()
	if err != nil || left != 0 {
		return cycle{}, fmt.Errorf("the reference left %d lists, %w", left, err)
	}
	return b.cycle(took, spent([]*process{b.server})-cpu+tools), nil
}

var perSecond = regexp.MustCompile(`([\d.]+) requests per second`)

func (b *queueBench) cycle(took, cpu time.Duration) cycle {
	return cycle{float64(b.events) / took.Seconds(), float64(cpu.Microseconds()) / float64(b.events)}
}

// busBackend is what is measured.
type busBackend interface {
	queue.Queue
	queue.Inspector
}

// ours pushes all, and then claims and settles all.
func (b *queueBench) ours(ctx context.Context, q busBackend) (cycle, error) {
	cpu, start := own()+spent([]*process{b.server}), time.Now()
	var next, settled atomic.Int64
	each := func(fn func() error) error {
		errs := make(chan error, hands)
		for range hands {
			go func() { errs <- fn() }()
		}
		var all error
		for range hands {
			all = errors.Join(all, <-errs)
		}
		return all
	}
	if err := each(func() error {
		for {
			i := int(next.Add(group)) - group
			if i >= b.events {
				return nil
			}
			at := i % len(b.items)
			if err := q.Push(ctx, b.items[at:at+group]...); err != nil {
				return err
			}
		}
	}); err != nil {
		return cycle{}, err
	}
	if err := each(func() error {
		for settled.Load() < int64(b.events) {
			msgs, err := q.Pull(ctx, name, group)
			if err != nil {
				return err
			}
			ids := make([]string, len(msgs))
			for i, m := range msgs {
				ids[i] = m.ID
			}
			if len(ids) == 0 {
				continue
			}
			if err := q.Settle(ctx, name, queue.End{Account: msgs[0].Account, Outcome: "stored", IDs: ids}); err != nil {
				return err
			}
			settled.Add(int64(len(ids)))
		}
		return nil
	}); err != nil {
		return cycle{}, err
	}
	took := time.Since(start)
	c := b.cycle(took, own()+spent([]*process{b.server})-cpu)
	if n := settled.Load(); n != int64(b.events) {
		return c, fmt.Errorf("%d of %d events came out", n, b.events)
	}
	stats, err := q.Stats(ctx)
	if err != nil {
		return c, err
	}
	for _, s := range stats {
		if s.Ready+s.InFlight+s.Delayed != 0 {
			return c, fmt.Errorf("%s still has %d ready, %d in flight and %d delayed", s.Queue, s.Ready, s.InFlight, s.Delayed)
		}
	}
	return c, nil
}

// own is our processor time.
func own() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// memory is what Redis needs for an event that waits, pushed so many at a time.
func (b *queueBench) memory(ctx context.Context, client redis.UniversalClient, q *redisqueue.Queue, n int) (float64, error) {
	// Connections and scripts are there before the first look.
	if err := q.Push(ctx, b.items[:1]...); err != nil {
		return 0, err
	}
	if err := client.FlushAll(ctx).Err(); err != nil {
		return 0, err
	}
	before, err := usedBy(ctx, client)
	if err != nil {
		return 0, err
	}
	total := 100_000 / group * group
	var next atomic.Int64
	var pushers sync.WaitGroup
	errs := make(chan error, hands)
	for range hands {
		pushers.Go(func() {
			for {
				i := int(next.Add(int64(n))) - n
				if i >= total {
					return
				}
				at := i % len(b.items)
				if err := q.Push(ctx, b.items[at:at+n]...); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	pushers.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return 0, err
	}
	after, err := usedBy(ctx, client)
	if err != nil {
		return 0, err
	}
	return (after - before) / float64(total), client.FlushAll(ctx).Err()
}

// sampleItems makes events as the collector stores them, no two the same.
func sampleItems(n int) ([]queue.Item, error) {
	r := rand.New(rand.NewPCG(1, 2))
	uuid := func() string {
		return fmt.Sprintf("0193%04x-%04x-7%03x-8%03x-%012x", r.Uint32()&0xffff, r.Uint32()&0xffff, r.Uint32()&0xfff, r.Uint32()&0xfff, r.Uint64()&0xffffffffffff)
	}
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	no := false
	out := make([]queue.Item, n)
	for i := range out {
		now := time.Date(2026, 11, 22, 10, 0, 0, r.IntN(1e9)/1000*1000, time.UTC)
		sku := r.IntN(500)
		price := fmt.Sprintf("%d.%02d", 10+r.IntN(200), r.IntN(100))
		properties := fmt.Sprintf(`{"value":%s,"currency":"GBP","items":[{"item_id":"SKU%d","item_name":"Running shoe %d","price":%s,"quantity":1}]}`, price, sku, sku, price)
		order, fault := event.ParseOrder("view_item", []byte(properties))
		if fault.Code != "" {
			return nil, errors.New(fault.Message)
		}
		e := event.Event{
			ID: uuid(), Receipt: uuid(), PixelID: "px_demo", Name: pick("view_item", "page_view", "add_to_cart", "scroll"),
			Time: now.Add(-time.Second), SentAt: now, ReceivedAt: now, Source: "web", Priority: event.Standard,
			Consent: event.Consent{GDPRApplies: &no, USPrivacy: "1YNN", State: event.Full},
			Verdict: event.Verdict{State: event.Full, Regime: "us", Rule: "R5/U7", Reason: "US privacy law applies: the visitor was told of the right to opt out, and did not."},
			Subject: event.Subject{AnonymousID: uuid()},
			Context: event.Context{
				Page:   event.Page{URL: fmt.Sprintf("https://shop.example.com/shoes/item-%d?utm_source=google&utm_campaign=spring", sku), Referrer: "https://www.google.com/", Title: fmt.Sprintf("Running shoe %d | Shop", sku)},
				Locale: pick("en-GB", "de-DE", "en-US"), Timezone: pick("Europe/London", "Europe/Berlin", "America/New_York"),
				Screen: event.Screen{Width: 1920, Height: 1080}, SDK: event.SDK{Name: "web", Version: "1.0.0"},
				IP:        fmt.Sprintf("203.0.%d.%d", r.IntN(256), r.IntN(256)),
				UserAgent: fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", pick("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"), 130+r.IntN(10)),
			},
			Order: order, Properties: []byte(properties),
		}
		out[i] = queue.Item{Queue: name, Body: event.Encode(&e), Account: queue.AccountOf(e.PixelID, e.ReceivedAt)}
	}
	return out, nil
}

func (b *queueBench) report(results map[string][]cycle, memory map[string]float64) error {
	column := func(side string, of func(cycle) float64) []float64 {
		var list []float64
		for _, c := range results[side] {
			list = append(list, of(c))
		}
		return list
	}
	eps := func(c cycle) float64 { return c.eps }
	cpu := func(c cycle) float64 { return c.cpu }
	fmt.Printf("\n%-18s %12s %14s\n", "", "events/s", "CPU us/event")
	for _, side := range []string{"redis-benchmark", "redis", "embedded"} {
		fmt.Printf("%-18s %12.0f %14.2f\n", side, median(column(side, eps)), median(column(side, cpu)))
	}
	fmt.Printf("\nAn event is %.0f bytes encoded. In Redis, while it waits, it needs\n", b.size)
	for _, n := range []string{"1", "16", strconv.Itoa(group)} {
		fmt.Printf("  %6.0f bytes (%.2f of it) pushed %s at a time\n", memory[n], memory[n]/b.size, n)
	}
	ratios := func(a, of string) float64 {
		var list []float64
		x, y := column(a, eps), column(of, eps)
		for i := range x {
			list = append(list, x[i]/y[i])
		}
		return hundredths(median(list))
	}
	largest := strconv.Itoa(group)
	out, err := json.Marshal(map[string]any{
		"redis_ratio": ratios("redis", "redis-benchmark"), "embedded_ratio": ratios("embedded", "redis"),
		"bytes_per_event": hundredths(memory[largest]), "bytes_per_event_16": hundredths(memory["16"]), "bytes_per_event_1": hundredths(memory["1"]),
		"body_bytes": hundredths(b.size), "bytes_ratio": hundredths(memory[largest] / b.size), "bytes_ratio_1": hundredths(memory["1"] / b.size),
		"benchmark_eps": round(median(column("redis-benchmark", eps))), "redis_eps": round(median(column("redis", eps))), "embedded_eps": round(median(column("embedded", eps))),
		"benchmark_cpu_us": hundredths(median(column("redis-benchmark", cpu))), "redis_cpu_us": hundredths(median(column("redis", cpu))), "embedded_cpu_us": hundredths(median(column("embedded", cpu))),
	}, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", out)
	return nil
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/freeaddr"
)

const token = "bench-token-of-enough-characters-1"

// side is one of what is compared.
type side struct {
	name   string
	url    string     // POST /collect
	admin  string     // the console's API; the product alone has one
	ops    string     // its metrics
	paid   []*process // whose CPU time counts
	rps    []float64
	batch  []float64 // events a second, ten to a request
	cpu    []float64 // microseconds an event
	cpu10  []float64 // the same, ten to a request
	half   []half
	stored int // 202'd events, by what the load tool counted
}

// bench holds what was started.
type bench struct {
	dir, pixel, ref, wrk string
	processes            []*process
	sides                []*side
	allocs               map[string]any
}

func collect(ctx context.Context, rounds, seconds int) (err error) {
	dir, err := os.MkdirTemp("", "pixel-bench-")
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
	if err := b.prepare(ctx); err != nil {
		return err
	}
	var run int64
	for round := range rounds {
		order := slices.Clone(b.sides)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			for _, batch := range []int{1, 10} {
				run++
				if err := b.measure(ctx, s, batch, seconds, run); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
			if err := b.halve(ctx, s, seconds); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d is done\n", round+1, rounds)
	}
	if b.allocs, err = allocs(ctx); err != nil {
		return err
	}
	return b.report(ctx)
}

// measure takes one figure of one side.
func (b *bench) measure(ctx context.Context, s *side, batch, seconds int, run int64) error {
	syscall.Sync() // what was written before is not this figure's to wait for
	before := spent(s.paid)
	l, err := saturate(ctx, b.wrk, s.url, batch, seconds, run)
	if err != nil {
		return err
	}
	if l.failed > l.requests/100 {
		return fmt.Errorf("%d of %d requests failed", l.failed, l.requests)
	}
	events := float64((l.requests - l.failed) * batch)
	s.stored += int(events)
	cpu := float64((spent(s.paid) - before).Microseconds()) / events
	if batch > 1 {
		s.batch, s.cpu10 = append(s.batch, events/l.took.Seconds()), append(s.cpu10, cpu)
		return nil
	}
	s.rps, s.cpu = append(s.rps, l.rps()), append(s.cpu, cpu)
	return nil
}

func spent(list []*process) (d time.Duration) {
	for _, p := range list {
		d += p.cpu()
	}
	return d
}

// build makes the programs, and finds the load tool.
func (b *bench) build(ctx context.Context) (err error) {
	for path, pkg := range map[string]string{b.pixel: ".", b.ref: "./bench/ref"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", path, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", pkg, err, out)
		}
	}
	b.wrk, err = tool(ctx, "wrk")
	return err
}

// prepare builds and starts all sides.
func (b *bench) prepare(ctx context.Context) error {
	if err := b.build(ctx); err != nil {
		return err
	}
	for _, name := range []string{"echo", "echo again"} {
		if err := b.anchor(ctx, name, "echo"); err != nil {
			return err
		}
	}
	redis, err := tool(ctx, "redis-server")
	if err != nil {
		fmt.Fprintln(os.Stderr, "without Redis there is neither the naive collector nor ours on Redis:", err)
		return b.product(ctx, "embedded", nil)
	}
	store, addr, err := b.redis(ctx, redis, "everysec")
	if err != nil {
		return err
	}
	if err := b.anchor(ctx, "naive", "naive", "-redis", "redis://"+addr+"/1"); err != nil {
		return err
	}
	b.sides[len(b.sides)-1].paid = append(b.sides[len(b.sides)-1].paid, store)
	if err := b.product(ctx, "redis", []string{"PIXEL_REDIS_URL=redis://" + addr + "/0"}, store); err != nil {
		return err
	}
	if store, addr, err = b.redis(ctx, redis, "always"); err != nil {
		return err
	}
	if err := b.product(ctx, "always", []string{"PIXEL_REDIS_URL=redis://" + addr + "/0"}, store); err != nil {
		return err
	}
	return b.product(ctx, "embedded", nil)
}

// redis starts a Redis with an AOF, and returns its address.
func (b *bench) redis(ctx context.Context, path, fsync string) (*process, string, error) {
	addr, err := freeaddr.Pick()
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(b.dir, "redis-"+fsync)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, "", err
	}
	_, port, _ := strings.Cut(addr, ":")
	p, err := b.run("redis "+fsync, nil, path, "--port", port, "--bind", "127.0.0.1", "--dir", dir,
		"--appendonly", "yes", "--appendfsync", fsync, "--save", "", "--maxmemory-policy", "noeviction")
	if err != nil {
		return nil, "", err
	}
	return p, addr, p.listens(ctx, addr)
}

func (b *bench) run(name string, env []string, path string, args ...string) (*process, error) {
	p, err := start(name, env, path, args...)
	if err == nil {
		b.processes = append(b.processes, p)
	}
	return p, err
}

// anchor starts one of the servers in ref.
func (b *bench) anchor(ctx context.Context, name, mode string, args ...string) error {
	addr, err := freeaddr.Pick()
	if err != nil {
		return err
	}
	p, err := b.run(name, nil, b.ref, append([]string{"-mode", mode, "-addr", addr}, args...)...)
	if err != nil {
		return err
	}
	b.sides = append(b.sides, &side{name: name, url: "http://" + addr + "/collect", paid: []*process{p}})
	return p.listens(ctx, addr)
}

// product starts our collector, with the console to make the pixel by.
func (b *bench) product(ctx context.Context, name string, env []string, store ...*process) error {
	var addr [3]string
	for i := range addr {
		var err error
		if addr[i], err = freeaddr.Pick(); err != nil {
			return err
		}
	}
	key := make([]byte, 32)
	rand.Read(key)
	// No worker runs, so more piles up than would be let in.
	env = append(env, "PIXEL_COLLECTOR_OVERLOAD_DEPTH=100000000", "PIXEL_ADMIN_TOKEN="+token, "PIXEL_SECRET_KEY="+base64.StdEncoding.EncodeToString(key))
	p, err := b.run(name, env, b.pixel, "serve", "--role", "collector,admin", "--data_dir="+filepath.Join(b.dir, name),
		"--collector.addr="+addr[0], "--admin.addr="+addr[1], "--ops.addr="+addr[2])
	if err != nil {
		return err
	}
	if err := p.ready(ctx, "http://"+addr[0]+"/readyz"); err != nil {
		return err
	}
	s := &side{name: name, url: "http://" + addr[0] + "/collect", admin: "http://" + addr[1], ops: "http://" + addr[2], paid: append(store, p)}
	b.sides = append(b.sides, s)
	return s.api(ctx, "POST", "/api/v1/pixels", `{"id":"px_demo","name":"bench","enabled":true,"consent_mode":"implied"}`, nil)
}

// api calls the console's API.
func (s *side) api(ctx context.Context, method, path, body string, into any) error {
	return call(ctx, method, s.admin+path, []byte(body), into)
}

// call sends a request with the console's token; into is what its answer is read into, or nil.
func call(ctx context.Context, method, address string, body []byte, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode > 299 {
		return fmt.Errorf("%s %s: %s: %s", method, address, res.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// lost is how many events were answered 202 and are in no queue. A request that
// the end of a run cut off may be stored without having been counted.
func (s *side) lost(ctx context.Context) (int, error) {
	var queues struct {
		Items []struct {
			Queue string `json:"queue"`
			Ready int    `json:"ready"`
		} `json:"items"`
	}
	if err := s.api(ctx, "GET", "/api/v1/queues", "", &queues); err != nil {
		return 0, err
	}
	there := 0
	for _, q := range queues.Items {
		if strings.HasPrefix(q.Queue, "ingest:") {
			there += q.Ready
		}
	}
	return max(0, s.stored-there), nil
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

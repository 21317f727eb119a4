package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/simulate"
)

type soaking struct {
	length time.Duration
	share  float64
	apart  bool
	costs  string
}

// lines is how many rows a soak prints.
const lines = 20

// soak loads a whole product for long with a share of what it can take, which it finds out
// first, with the traffic of shops and imitated partners. It prints what memory each role
// has and how long an answer takes meanwhile, and compares at the end what went in with what
// came out. Its error says that something was lost, or that memory grew.
func soak(ctx context.Context, out io.Writer, o soaking) error {
	dir, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "pixel")
	if err := compile(ctx, binary); err != nil {
		return err
	}
	s, err := build(ctx, filepath.Join(dir, "stand"), binary, plan{apart: o.apart, args: []string{"--collector.overload.depth=0", "--worker.batch=512", "--dispatcher.retry.min=5s"}})
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.connect(ctx, "dv360", "yahoo"); err != nil {
		return err
	}
	console := simulate.API{Base: strings.TrimSuffix(s.api, "/api/v1"), Token: token}
	shops := simulate.NewShops(3)
	if err := simulate.Prepare(ctx, console, shops, true); err != nil {
		return err
	}
	if err := simulate.Known(ctx, s.collectors(), shops, time.Minute); err != nil {
		return err
	}
	traffic := simulate.Options{Seed: 1, Collectors: s.collectors(), Shops: shops, Visitors: 20_000, Robots: 0.04, Patience: 2 * time.Minute}

	// What it can take is what goes all the way through, and not what the door takes in.
	// The first burst warms it up.
	var most float64
	already := 0 // delivered
	for i, events := range []int{3000, 20_000} {
		burst := traffic
		burst.Seed, burst.Rate, burst.Events, burst.Length = uint64(100+i), 50_000, events, time.Minute
		r, err := simulate.Send(ctx, burst)
		if err != nil {
			return err
		}
		got, err := r.Check(ctx, console, 5*time.Minute)
		if err != nil {
			return fmt.Errorf("a burst: %w", err)
		}
		if !got.Good() {
			return fmt.Errorf("a burst: what came out is not what went in: %+v", got)
		}
		already = sum(got.Delivered)
		most = float64(r.Events) / (r.Ended.Sub(r.Began).Seconds() + got.DrainedS)
	}
	traffic.Rate, traffic.Length = most*o.share, o.length
	fmt.Fprintf(out, "%.0f events/s go all the way through; %s at %.0f (%.0f %%)\n\n", most, o.length, traffic.Rate, 100*o.share)

	groups := s.groups()
	names := slices.Sorted(maps.Keys(groups))
	fmt.Fprintf(out, "%8s %10s %8s %9s %9s %8s", "after", "events/s", "failed", "p50 ms", "p99 ms", "waiting")
	for _, name := range names {
		fmt.Fprintf(out, " %14s", name+" MiB")
	}
	fmt.Fprintln(out)
	type row struct {
		p50, p99 float64
		memory   map[string]float64
	}
	var rows []row
	traffic.Every = max(o.length/lines, time.Second)
	traffic.Tell = func(m simulate.Moment) {
		r := row{p50: float64(m.P50.Microseconds()) / 1000, p99: float64(m.P99.Microseconds()) / 1000, memory: map[string]float64{}}
		fmt.Fprintf(out, "%8s %10.0f %8d %9.1f %9.1f %8d", m.At.Round(time.Second), m.Rate, m.Failed, r.p50, r.p99, s.waits(ctx))
		for _, name := range names {
			for _, p := range groups[name] {
				r.memory[name] += resident(p)
			}
			fmt.Fprintf(out, " %14.1f", r.memory[name])
		}
		fmt.Fprintln(out)
		rows = append(rows, r)
	}
	before := map[string]time.Duration{}
	for name, list := range groups {
		for _, p := range list {
			before[name] += processor(p)
		}
	}
	run, err := simulate.Send(ctx, traffic)
	if err != nil {
		return err
	}
	got, err := run.Check(ctx, console, 5*time.Minute)
	if err != nil {
		return err
	}
	spent := map[string]float64{} // µs of processor an event
	for name, list := range groups {
		var now time.Duration
		for _, p := range list {
			now += processor(p)
		}
		spent[name] = float64((now - before[name]).Microseconds()) / float64(max(1, run.Events))
	}
	if len(rows) < 6 {
		return fmt.Errorf("%s is too short to tell anything", o.length)
	}

	// The first quarter is how it grows to its size. What comes then is cut in two.
	rest := rows[len(rows)/4:]
	early, late := rest[:len(rest)/2], rest[len(rest)/2:]
	ratio := func(of func(row) float64) float64 {
		middle := func(list []row) float64 {
			var v []float64
			for _, r := range list {
				v = append(v, of(r))
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		return round2(middle(late) / max(middle(early), 0.001))
	}
	growth := map[string]float64{}
	for _, name := range names {
		growth[name] = ratio(func(r row) float64 { return r.memory[name] })
	}
	figures := map[string]any{
		"soak_s": int(o.length.Seconds()), "most_eps": int(most), "rate": int(traffic.Rate), "outcome": got,
		"memory_growth": growth, "p50_growth": ratio(func(r row) float64 { return r.p50 }), "p99_growth": ratio(func(r row) float64 { return r.p99 }),
		"cpu_us_per_event": map[string]float64{},
	}
	for name, us := range spent {
		figures["cpu_us_per_event"].(map[string]float64)[name] = round2(us)
	}
	line, err := json.Marshal(figures)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n", line)
	if o.apart && o.costs != "" {
		if err := writeCosts(o.costs, spent, groups, got, sum(got.Delivered)-already); err != nil {
			return err
		}
	}
	var wrong []error
	if !got.Good() {
		wrong = append(wrong, errors.New("what came out is not what went in"))
	}
	for name, x := range growth {
		// Redis grows with what it has to remember of visitors and ids, as it should.
		if name != "redis" && x > 1.15 {
			wrong = append(wrong, fmt.Errorf("the memory of %s grew by %.0f %% from the one half to the other", name, 100*(x-1)))
		}
	}
	return errors.Join(wrong...)
}

// groups are the stand's processes by what they do.
func (s *stand) groups() map[string][]*process {
	g := map[string][]*process{"collector": s.front, "redis": s.redis}
	if len(s.apart) == 2 {
		g["admin"], g["worker"], g["dispatcher"], g["clickhouse"] = []*process{s.back}, s.apart[:1], s.apart[1:], []*process{s.engine}
	} else {
		g["the rest"] = []*process{s.back}
	}
	return g
}

var rss = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// resident is a process's memory in MiB.
func resident(p *process) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if m := rss.FindSubmatch(b); err == nil && m != nil {
		kb, _ := strconv.Atoi(string(m[1]))
		return float64(kb) / 1024
	}
	return 0
}

// processor is the time that a process has taken of processors.
func processor(p *process) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ") // its name may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // of 100 a second
}

// waits is how many messages are in the queues.
func (s *stand) waits(ctx context.Context) (n int) {
	var queues struct {
		Items []struct {
			Kind  string
			Depth int
		}
	}
	if s.call(ctx, "GET", "/queues", nil, &queues) != nil {
		return -1
	}
	for _, q := range queues.Items {
		if q.Kind != "dead" {
			n += q.Depth
		}
	}
	return n
}

// writeCosts writes what was measured in the place of what is built in.
func writeCosts(path string, spent map[string]float64, groups map[string][]*process, got *simulate.Outcome, delivered int) error {
	c := simulate.Measured()
	by := fmt.Sprintf("bench/chaos -soak -apart on %s, %s, %d cores: %.0f events/s", time.Now().UTC().Format(time.DateOnly), runtime.GOARCH, runtime.NumCPU(), got.Rate)
	set := func(name string, to *float64, v float64) {
		if v > 0 {
			*to = round2(v)
			c.Source[name] = by
		}
	}
	set("collector_us", &c.CollectorUS, spent["collector"])
	set("worker_us", &c.WorkerUS, spent["worker"])
	set("redis_us", &c.RedisUS, spent["redis"])
	set("clickhouse_us", &c.ClickHouseUS, spent["clickhouse"])
	if delivered > 0 {
		set("dispatcher_us", &c.DispatcherUS, spent["dispatcher"]*float64(got.Events)/float64(delivered))
	}
	for name, to := range map[string]*float64{"collector": &c.CollectorMB, "worker": &c.WorkerMB, "dispatcher": &c.DispatcherMB} {
		if list := groups[name]; len(list) > 0 {
			set(name+"_mb", to, resident(list[0]))
		}
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func sum(counts map[string]int) (n int) {
	for _, x := range counts {
		n += x
	}
	return n
}

func round2(v float64) float64 { return float64(int(v*100+0.5)) / 100 }

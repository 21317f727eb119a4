// Command chaos breaks a running pixel on purpose and counts what it lost: real
// processes of the built binary, on a real redis-server, under constant load,
// with two partners imitated over real TCP. After each fault the set of ids that
// were answered 202 must be the set of those stored, in the analytics store and
// in the archive alike; no partner may have got one twice; and the books must
// balance.
//
//	go run ./bench/chaos [-short] [-run REGEXP] [-parallel N] [-keep]
//	go run ./bench/chaos -soak 20m [-at 0.7] [-rate N] [-apart [-costs FILE]]
//
// It needs redis-server. The last line is the result as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// fault is something that goes wrong under load.
type fault struct {
	name  string
	short bool // part of the short form
	stand plan
	harm  func(ctx context.Context, s *stand) error
}

// result is what came of a fault.
type result struct {
	fault                           string
	sent, refused                   int // requests
	acknowledged, stored, delivered int // events
	lost, extra, duplicates         int
	resent                          int // to partners, under the same key
	unknown                         int // dead letters, since nobody knows whether the partner took them
	imbalance                       int
	outage                          time.Duration // the longest time without a 202
	took                            time.Duration
	notes                           []string
}

func (r result) good() bool {
	return r.lost == 0 && r.extra == 0 && r.duplicates == 0 && r.imbalance == 0
}

func main() {
	short := flag.Bool("short", false, "only a few of the faults, each for a shorter time")
	only := flag.String("run", "", "only faults whose name matches this regular `expression`")
	parallel := flag.Int("parallel", 3, "`how many` faults to try side by side")
	keep := flag.Bool("keep", false, "keep the folder with data and logs")
	length := flag.Duration("soak", 0, "break nothing, but load it for `so long` with the traffic of shops, and watch memory and latency")
	share := flag.Float64("at", 0.7, "soak: which `share` of what it can take")
	rate := flag.Float64("rate", 0, "soak: `events` a second that it bears, where that is known; 0: it finds out")
	alone := flag.Bool("apart", false, "soak: each role a process of its own, on ClickHouse")
	costs := flag.String("costs", "", "soak with -apart: write what an event costs to a `file`, for pixel simulate plan --costs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *length > 0 {
		if err := soak(ctx, os.Stdout, soaking{length: *length, share: *share, rate: *rate, apart: *alone, costs: *costs}); err != nil {
			fmt.Fprintln(os.Stderr, "soak:", err)
			stop()
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, os.Stdout, *short, *only, *parallel, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// run breaks things one after the other and prints what came of it. An error says
// that something was lost, or that a fault could not be tried.
func run(ctx context.Context, out io.Writer, short bool, only string, parallel int, keep bool) error {
	matches, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		return fmt.Errorf("redis-server is needed: apt-get install redis-server")
	}
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(dir)
	}
	binary := filepath.Join(dir, "pixel")
	if err := compile(ctx, binary); err != nil {
		return err
	}
	var chosen []fault
	for _, f := range faults() {
		if (!short || f.short) && matches.MatchString(f.name) {
			chosen = append(chosen, f)
		}
	}
	// Most of a run is waiting until leases end, so several go side by side.
	results, errs := make([]result, len(chosen)), make([]error, len(chosen))
	slots := make(chan struct{}, max(1, parallel))
	var all sync.WaitGroup
	var say sync.Mutex
	for i, f := range chosen {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			results[i], errs[i] = try(ctx, f, filepath.Join(dir, fmt.Sprint(i)), binary, short)
			say.Lock()
			defer say.Unlock()
			tell(out, f, results[i], errs[i])
		})
	}
	all.Wait()
	var done []result
	var trouble []string
	for i, r := range results {
		switch {
		case errors.Is(errs[i], errNotHere):
			continue
		case errs[i] != nil:
			trouble = append(trouble, chosen[i].name)
			continue
		case !r.good():
			trouble = append(trouble, r.fault)
		}
		done = append(done, r)
	}
	print(out, done)
	if len(trouble) > 0 {
		if keep {
			fmt.Fprintln(os.Stderr, "data and logs are in", dir)
		}
		return fmt.Errorf("not as it must be: %s", strings.Join(trouble, "; "))
	}
	return nil
}

func compile(ctx context.Context, binary string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/miq/pixel")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, said)
	}
	return nil
}

// tell says at once what came of a fault; the table follows at the end.
func tell(out io.Writer, f fault, r result, err error) {
	if errors.Is(err, errNotHere) {
		fmt.Fprintf(out, "SKIPPED %s: %v\n", f.name, err)
		return
	}
	if err != nil {
		fmt.Fprintf(out, "FAILED  %s: %v\n", f.name, err)
		return
	}
	verdict := "ok"
	if !r.good() {
		verdict = "NOT OK"
	}
	fmt.Fprintf(out, "%-6s  %s (%s)\n", verdict, f.name, r.took.Round(time.Second))
	for _, n := range r.notes {
		fmt.Fprintf(out, "        %s\n", n)
	}
}

func print(out io.Writer, results []result) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nfault\trequests\trefused\tlongest gap\tacknowledged\tstored\tdelivered\tsent again\tunknown\tlost\textra\tduplicates\timbalance\t")
	sum := struct {
		Faults     int `json:"faults"`
		Lost       int `json:"lost"`
		Duplicates int `json:"duplicates"`
		Imbalance  int `json:"imbalance"`
	}{Faults: len(results)}
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.1f s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.fault, r.sent, r.refused, r.outage.Seconds(), r.acknowledged, r.stored, r.delivered, r.resent, r.unknown, r.lost, r.extra, r.duplicates, r.imbalance)
		sum.Lost += r.lost + r.extra
		sum.Duplicates += r.duplicates
		sum.Imbalance += r.imbalance
	}
	w.Flush()
	last, _ := json.Marshal(sum)
	fmt.Fprintf(out, "\n%s\n", last)
}

// try breaks one thing on a stand of its own.
func try(ctx context.Context, f fault, dir, binary string, short bool) (result, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	s, err := build(ctx, dir, binary, f.stand)
	if err != nil {
		return result{}, fmt.Errorf("prepare: %w", err)
	}
	defer s.close()
	calm := 4 * time.Second
	if short {
		calm = 2 * time.Second
	}
	l := newLoad(s.collectors())
	l.start(ctx)
	pause(ctx, calm)
	if err := f.harm(ctx, s); err != nil {
		l.stop()
		return result{}, fmt.Errorf("break: %w\n%s", err, s.tail())
	}
	pause(ctx, calm)
	l.stop()
	// What was not answered is sent again until it is, as the tag does.
	if err := l.finish(ctx); err != nil {
		return result{}, fmt.Errorf("%w\n%s", err, s.tail())
	}
	r, err := s.verify(ctx, l)
	if err != nil {
		return result{}, fmt.Errorf("verify: %w\n%s", err, s.tail())
	}
	r.fault, r.took = f.name, time.Since(start)
	return r, nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miq/pixel/modules/simulate"
)

// table is how a soak goes, row by row.
type table struct {
	list []*process

	mu   sync.Mutex
	peak []float64 // MiB of each process since the last row
	rows []row
}

type row struct {
	p50, p99, waits float64
	memory          []float64 // MiB, the highest since the row before
	failed          int
}

func newTable(s *stand) *table {
	t := &table{}
	for _, p := range s.all() {
		if p != nil {
			t.list = append(t.list, p)
		}
	}
	t.peak = make([]float64, len(t.list))
	return t
}

// watch looks at the memory each second, since it comes and goes.
func (t *table) watch(ctx context.Context) {
	for {
		t.mu.Lock()
		for i, p := range t.list {
			t.peak[i] = max(t.peak[i], p.resident())
		}
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (t *table) head(out io.Writer) {
	fmt.Fprintf(out, "%8s %10s %8s %9s %9s %8s", "after", "events/s", "failed", "p50 ms", "p99 ms", "waiting")
	for _, p := range t.list {
		fmt.Fprintf(out, " %14s", p.name+" MiB")
	}
	fmt.Fprintln(out)
}

func (t *table) add(out io.Writer, m simulate.Moment, waits int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := row{p50: ms(m.P50), p99: ms(m.P99), waits: float64(waits), failed: m.Failed, memory: make([]float64, len(t.list))}
	fmt.Fprintf(out, "%8s %10.0f %8d %9.1f %9.1f %8d", m.At.Round(time.Second), m.Rate, m.Failed, r.p50, r.p99, waits)
	for i, p := range t.list {
		r.memory[i], t.peak[i] = max(t.peak[i], p.resident()), 0
		fmt.Fprintf(out, " %14.1f", r.memory[i])
	}
	fmt.Fprintln(out)
	t.rows = append(t.rows, r)
}

// bound is by how much the last part may be more than the second: the first is how it grows
// to its size.
type bound struct {
	name  string
	of    func(row) float64
	times float64
	plus  float64 // and so much, where little is measured
	free  bool    // whatever it does is right
}

// judge prints each part's median with the shape of the whole, and says what was not flat.
func (t *table) judge(out io.Writer, rate float64) (wrong []error, growth map[string]float64, err error) {
	if len(t.rows) < 2*parts {
		return nil, nil, fmt.Errorf("%d rows are too few to tell anything", len(t.rows))
	}
	bounds := []bound{
		{name: "p50 ms", of: func(r row) float64 { return r.p50 }, times: 1.25, plus: 1},
		{name: "p99 ms", of: func(r row) float64 { return r.p99 }, times: 1.5, plus: 5},
		{name: "waiting", of: func(r row) float64 { return r.waits }, times: 1.25, plus: rate}, // a second's worth
	}
	for i, p := range t.list {
		// Redis and ClickHouse grow with what they have to remember, as they should.
		bounds = append(bounds, bound{name: p.name + " MiB", of: func(r row) float64 { return r.memory[i] }, times: 1.15, plus: 10, free: p.path == "redis-server" || p.name == "clickhouse"})
	}
	fmt.Fprintf(out, "\n%16s", "")
	for i := range parts {
		fmt.Fprintf(out, " %9s", fmt.Sprintf("%d/%d", i+1, parts))
	}
	fmt.Fprintf(out, " %7s  shape\n", fmt.Sprintf("%d : 2", parts))
	growth = map[string]float64{}
	for _, b := range bounds {
		fmt.Fprintf(out, "%16s", b.name)
		var middle [parts]float64
		for i := range parts {
			var v []float64
			for _, r := range t.rows[i*len(t.rows)/parts : (i+1)*len(t.rows)/parts] {
				v = append(v, b.of(r))
			}
			slices.Sort(v)
			middle[i] = v[len(v)/2]
			fmt.Fprintf(out, " %9.1f", middle[i])
		}
		var all []float64
		for _, r := range t.rows {
			all = append(all, b.of(r))
		}
		early, late := middle[1], middle[parts-1]
		growth[b.name] = round2(late / max(early, 0.001))
		note := ""
		switch {
		case b.free:
			note = "  (grows with what it remembers)"
		case late > early*b.times+b.plus:
			wrong = append(wrong, fmt.Errorf("%s went from %.1f to %.1f", b.name, early, late))
			note = "  NOT FLAT"
		}
		fmt.Fprintf(out, " %7.2f  %s%s\n", growth[b.name], spark(all), note)
	}
	failed := 0
	for _, r := range t.rows {
		failed += r.failed
	}
	if failed > 0 {
		wrong = append(wrong, errors.New(strconv.Itoa(failed)+" requests were not answered well at first"))
	}
	return wrong, growth, nil
}

// spark draws values as heights, from nothing to the highest.
func spark(values []float64) string {
	const heights = "▁▂▃▄▅▆▇█"
	steps := []rune(heights)
	top := slices.Max(values)
	var b strings.Builder
	for _, v := range values {
		i := 0
		if top > 0 && v > 0 {
			i = min(int(v/top*float64(len(steps))), len(steps)-1)
		}
		b.WriteRune(steps[i])
	}
	return b.String()
}

var rss = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// resident is a process's memory in MiB.
func (p *process) resident() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if m := rss.FindSubmatch(b); err == nil && m != nil {
		kb, _ := strconv.Atoi(string(m[1]))
		return float64(kb) / 1024
	}
	return 0
}

// processor is the time that a process has taken of processors.
func (p *process) processor() time.Duration {
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

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

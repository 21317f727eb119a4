package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// half is what was seen at half of the rate that a side bore a moment before, and what
// stood in its way meanwhile: what its own processes waited for a processor, and what the
// machine's host took of all of them. A tail that is longer than the tool's own lag, where
// neither was in the way, is the side's own.
type half struct {
	load
	cpu    float64 // microseconds a request, of server and store
	wait   float64 // microseconds a request that they were ready and had no processor
	stolen float64 // the host's share of the machine's time
}

// halve takes those figures, in an open loop.
func (b *bench) halve(ctx context.Context, s *side, seconds int) error {
	rate := s.rps[len(s.rps)-1] / 2
	cpu, wait := spent(s.paid), waited(s.paid)
	taken, all := stolen()
	l, err := steady(ctx, b.ref, s.url, rate, seconds)
	if err != nil {
		return err
	}
	s.stored += l.requests - l.failed
	takenThen, allThen := stolen()
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(l.requests) }
	h := half{load: l, cpu: each(spent(s.paid) - cpu), wait: each(waited(s.paid) - wait)}
	if allThen > all {
		h.stolen = float64(takenThen-taken) / float64(allThen-all)
	}
	s.half = append(s.half, h)
	return nil
}

// of is the median of one of its figures.
func of(list []half, figure func(half) float64) float64 {
	all := make([]float64, len(list))
	for i, h := range list {
		all[i] = figure(h)
	}
	return median(all)
}

func (s *side) p50() float64 { return of(s.half, func(h half) float64 { return ms(h.p50) }) }
func (s *side) p99() float64 { return of(s.half, func(h half) float64 { return ms(h.p99) }) }
func (s *side) lag() float64 { return of(s.half, func(h half) float64 { return ms(h.lag) }) }

// reportHalf prints what was seen at half load.
func (b *bench) reportHalf() {
	fmt.Printf("\n%-12s %12s %10s %10s %10s %12s %14s %10s\n", "half load", "requests/s", "p50 ms", "p99 ms", "lag p99", "CPU us", "CPU wait us", "stolen %")
	for _, s := range b.sides {
		fmt.Printf("%-12s %12.0f %10.2f %10.2f %10.2f %12.1f %14.1f %10.1f\n", s.name, of(s.half, func(h half) float64 { return h.rps() }), s.p50(), s.p99(), s.lag(),
			of(s.half, func(h half) float64 { return h.cpu }), of(s.half, func(h half) float64 { return h.wait }), 100*of(s.half, func(h half) float64 { return h.stolen }))
	}
}

// waited is how long the threads of processes were ready to run and had no processor, since
// they began; 0 where the kernel does not say.
func waited(list []*process) (d time.Duration) {
	for _, p := range list {
		threads, _ := filepath.Glob("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/task/*/schedstat")
		for _, path := range threads {
			b, err := os.ReadFile(path)
			if err != nil {
				continue // it has ended
			}
			if fields := bytes.Fields(b); len(fields) > 1 {
				n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
				d += time.Duration(n)
			}
		}
	}
	return d
}

// stolen is what the machine's host took of its processors, of all their time, since it began.
func stolen() (taken, all time.Duration) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	fields := strings.Fields(line)
	for i := 1; i < min(len(fields), 9); i++ { // what follows is in user's already
		n, _ := strconv.Atoi(fields[i])
		all += time.Duration(n) * tick
		if i == 8 {
			taken = time.Duration(n) * tick
		}
	}
	return taken, all
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/miq/pixel/modules/simulate"
)

type soaking struct {
	length time.Duration
	share  float64
	rate   float64 // what it bears, where that is known
	apart  bool
	costs  string
}

// lines is how many rows a soak prints, and parts into how many it is cut to be compared.
const lines, parts = 20, 5

// soak loads a whole product for long with a share of what it bears, which it finds out
// first, with the traffic of shops and imitated partners. It prints what memory each process
// has and how long an answer takes meanwhile, and compares at the end what went in with what
// came out. Its error says that something was lost, or that something grew.
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

	// What is made once is made, and that it works at all is known.
	warm := traffic
	warm.Seed, warm.Rate, warm.Events, warm.Length = 100, 1000, 5000, time.Minute
	r, err := simulate.Send(ctx, warm)
	if err != nil {
		return err
	}
	got, err := r.Check(ctx, console, 5*time.Minute)
	if err != nil {
		return fmt.Errorf("to warm up: %w", err)
	}
	if !got.Good() {
		return fmt.Errorf("to warm up: what came out is not what went in: %+v", got)
	}
	waiting := 0.0
	if o.costs != "" {
		if waiting, err = s.waitingBytes(ctx, traffic); err != nil {
			fmt.Fprintf(out, "not measured: redis_waiting_bytes: %v\n", err)
		}
	}
	most := o.rate
	if most == 0 {
		if most, err = s.bears(ctx, out, traffic, min(max(o.length/lines, 15*time.Second), time.Minute)); err != nil {
			return err
		}
	}
	traffic.Rate, traffic.Length = most*o.share, o.length
	fmt.Fprintf(out, "It bears %.0f events/s. %s at %.0f (%.0f %%):\n\n", most, o.length, traffic.Rate, 100*o.share)

	var quiet stretch
	if o.costs != "" {
		some := traffic
		some.Seed, some.Rate, some.Length = 50, traffic.Rate/4, o.length/2
		fmt.Fprintf(out, "First %s at %.0f, to tell what an event costs from what a process costs by itself.\n\n", some.Length, some.Rate)
		if quiet, err = s.stretch(ctx, console, some); err != nil {
			return err
		}
	}
	loaded, err := s.begin(ctx, shops)
	if err != nil {
		return err
	}
	t := newTable(s)
	traffic.Every = max(o.length/lines, time.Second)
	t.head(out)
	traffic.Tell = func(m simulate.Moment) { t.add(out, m, s.waits(ctx)) }
	watched, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { t.watch(watched) })
	run, err := simulate.Send(ctx, traffic)
	stop()
	watching.Wait()
	if err != nil {
		return err
	}
	if got, err = run.Check(ctx, console, 10*time.Minute); err != nil {
		return err
	}
	if err := loaded.end(ctx, s, shops, run.Events); err != nil {
		return err
	}
	spent := map[string]float64{} // µs of processor an event
	for name, cores := range loaded.cores {
		spent[name] = round2(cores / loaded.events * 1e6)
	}
	wrong, growth, err := t.judge(out, traffic.Rate)
	if err != nil {
		return err
	}
	if !got.Good() {
		wrong = append(wrong, errors.New("what came out is not what went in"))
	}
	if len(wrong) == 0 {
		fmt.Fprintln(out, "\nflat: memory, latency and backlog; what went in came out")
	}
	for _, w := range wrong {
		fmt.Fprintln(out, "\nNOT FLAT:", w)
	}
	line, err := json.Marshal(map[string]any{
		"soak_s": int(o.length.Seconds()), "most_eps": int(most), "rate": int(traffic.Rate), "outcome": got, "growth": growth, "flat": len(wrong) == 0, "cpu_us_per_event": spent,
	})
	if err != nil {
		return err
	}
	if o.costs != "" {
		if err := s.writeCosts(ctx, out, o.costs, quiet, loaded, t, waiting); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%s\n", line)
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

// spent is the time of processors that each group has taken.
func (s *stand) spent() map[string]time.Duration {
	out := map[string]time.Duration{}
	for name, list := range s.groups() {
		for _, p := range list {
			out[name] += p.processor()
		}
	}
	return out
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

// delivered is how many deliveries the books say were accepted, of all shops.
func (s *stand) delivered(ctx context.Context, shops []simulate.Shop) (n int, err error) {
	for _, shop := range shops {
		var l struct {
			Total struct {
				Partners []struct{ Delivered int }
			}
		}
		if err := s.call(ctx, "GET", "/reports/ledger?since=24h&pixel_id="+shop.ID, nil, &l); err != nil {
			return 0, err
		}
		for _, p := range l.Total.Partners {
			n += p.Delivered
		}
	}
	return n, nil
}

func round2(v float64) float64 { return float64(int(v*100+0.5)) / 100 }

func sum(counts map[string]int) (n int) {
	for _, x := range counts {
		n += x
	}
	return n
}

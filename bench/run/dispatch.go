package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// deliveries is what measures the way to the partners.
type deliveries struct {
	dir, pixel                string
	sandbox, collector, admin string
	processes                 []*process
	paid                      *process // the dispatcher's
	made                      int
	loss                      int
}

// The partners that get every event, and the one whose receipts are timed.
var (
	to    = []string{"amazon", "ttd"}
	timed = "amazon"
)

// perRound is how many events of a round wait for each partner before it is
// switched on.
const perRound = 15_000

func dispatch(ctx context.Context, rounds, seconds int) (err error) {
	dir, err := os.MkdirTemp("", "pixel-bench-")
	if err != nil {
		return err
	}
	d := &deliveries{dir: dir, pixel: filepath.Join(dir, "pixel")}
	defer func() {
		for _, p := range slices.Backward(d.processes) {
			p.stop()
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	fmt.Printf("%-8s %16s %14s %12s %12s %22s\n", "round", "conversions/s", "CPU us each", "p50 ms", "p99 ms", "p99 ms, another at 30s")
	var rate, cpu, p50, p99, ratios []float64
	for round := range rounds {
		r, c, err := d.drain(ctx)
		if err != nil {
			return err
		}
		// The sides alternate in their order too.
		slow := round%2 == 1
		var with, without []time.Duration
		for range 2 {
			waits, err := d.quiet(ctx, seconds, slow)
			if err != nil {
				return err
			}
			if slow {
				with = waits
			} else {
				without = waits
			}
			slow = !slow
		}
		a, b := ms(quantile(without, 0.99)), ms(quantile(with, 0.99))
		rate, cpu, p50, p99, ratios = append(rate, r), append(cpu, c), append(p50, ms(quantile(without, 0.5))), append(p99, a), append(ratios, b/a)
		fmt.Printf("%-8d %16.0f %14.1f %12.1f %12.1f %22.1f\n", round+1, r, c, p50[round], a, b)
	}
	out, err := json.Marshal(map[string]any{
		"conversions_per_s": round(median(rate)), "p50_ms": hundredths(median(p50)), "p99_ms": hundredths(median(p99)),
		"isolation_ratio": hundredths(median(ratios)), "cpu_us": hundredths(median(cpu)), "lost": d.loss,
	}, json.Deterministic(true))
	if err != nil {
		return err
	}
	fmt.Printf("\n%s\n", out)
	return nil
}

func quantile(list []time.Duration, q float64) time.Duration {
	if len(list) == 0 {
		return 0
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return list[min(int(float64(len(list))*q), len(list)-1)]
}

// drain lets conversions wait at the partners, switches them on, and measures how
// fast they leave.
func (d *deliveries) drain(ctx context.Context) (perSecond, cpu float64, err error) {
	if err := d.mode(ctx, "hold"); err != nil {
		return 0, 0, err
	}
	time.Sleep(1500 * time.Millisecond) // until it is in force
	before, err := d.taken(ctx)
	if err != nil {
		return 0, 0, err
	}
	for range perRound / 250 {
		if _, err := d.events(ctx, 250); err != nil {
			return 0, 0, err
		}
	}
	all := perRound / 250 * 250
	if err := d.until(ctx, 200*time.Millisecond, func(w map[string]int) bool { return w["ingest"] == 0 && w["amazon"] == all && w["ttd"] == all }); err != nil {
		return 0, 0, err
	}
	spent, begun := d.paid.cpu(), time.Now()
	if err := d.mode(ctx, "on"); err != nil {
		return 0, 0, err
	}
	if err := d.until(ctx, 100*time.Millisecond, func(w map[string]int) bool { return w["amazon"]+w["ttd"] == 0 }); err != nil {
		return 0, 0, err
	}
	took, used := time.Since(begun), d.paid.cpu()-spent
	after, err := d.taken(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, name := range to {
		d.loss += max(all-(after[name]-before[name]), 0)
	}
	n := float64(all * len(to))
	return n / took.Seconds(), float64(used.Microseconds()) / n, nil
}

// taken is how many events each partner's sandbox took.
func (d *deliveries) taken(ctx context.Context) (map[string]int, error) {
	var shown struct {
		Partners []struct {
			Partner string `json:"partner"`
			Taken   int    `json:"taken"`
		} `json:"partners"`
	}
	err := d.get(ctx, d.sandbox+"/control", &shown)
	out := map[string]int{}
	for _, p := range shown.Partners {
		out[p.Partner] = p.Taken
	}
	return out, err
}

func (d *deliveries) slow(ctx context.Context, name string, after int) error {
	raw, err := json.Marshal(map[string]any{"partner": name, "slow_ms": after})
	if err != nil {
		return err
	}
	return call(ctx, "POST", d.sandbox+"/control", raw, nil)
}

// quiet sends 500 events a second and times, for each, from its 202 to when the
// timed partner took it; slow is whether another partner takes 30 s meanwhile.
func (d *deliveries) quiet(ctx context.Context, seconds int, slow bool) ([]time.Duration, error) {
	if slow {
		if err := d.slow(ctx, "ttd", 30_000); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+time.Minute)
	defer cancel()
	var mu sync.Mutex
	answered, arrived := map[string]time.Time{}, map[string]time.Time{}
	watching, done := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	var failed error
	watcher.Go(func() { failed = d.watch(watching, &mu, arrived) })
	const perTick, tick = 10, 20 * time.Millisecond
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for range seconds * int(time.Second/tick) {
		select {
		case <-beat.C:
		case <-ctx.Done():
		}
		// One at a time: the ids are numbered, and a 202 takes a few ms.
		ids, err := d.events(ctx, perTick)
		if err != nil {
			done()
			watcher.Wait()
			return nil, err
		}
		now := time.Now()
		mu.Lock()
		for _, id := range ids {
			answered[id] = now
		}
		mu.Unlock()
	}
	missing := func() int {
		mu.Lock()
		defer mu.Unlock()
		n := 0
		for id := range answered {
			if arrived[id].IsZero() {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(15 * time.Second); missing() > 0 && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	done()
	watcher.Wait()
	d.loss += missing()
	if slow {
		if err := d.slow(ctx, "ttd", 0); err != nil {
			return nil, err
		}
		// Its breaker may be open; the next round must not begin with its leftovers.
		if err := d.until(ctx, 200*time.Millisecond, func(w map[string]int) bool { return w["ttd"] == 0 }); err != nil {
			return nil, err
		}
	}
	var waits []time.Duration
	for id, at := range maps.All(answered) {
		if got, ok := arrived[id]; ok {
			waits = append(waits, max(got.Sub(at), 0))
		}
	}
	return waits, failed
}

// watch notes when the timed partner took which events.
func (d *deliveries) watch(ctx context.Context, mu *sync.Mutex, arrived map[string]time.Time) error {
	since := int64(-1)
	for ctx.Err() == nil {
		var got struct {
			Items []struct {
				At     time.Time `json:"at"`
				Status int       `json:"status"`
				IDs    []string  `json:"event_ids"`
			} `json:"items"`
			Last int64 `json:"last"`
		}
		q := url.Values{"partner": {timed}, "brief": {"1"}, "limit": {"1000"}, "since": {fmt.Sprint(max(since, 0))}}
		if since < 0 {
			q.Set("limit", "1") // what came before is not ours
		}
		if err := d.get(ctx, d.sandbox+"/received.json?"+q.Encode(), &got); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		mu.Lock()
		for _, e := range got.Items {
			for _, id := range e.IDs {
				if e.Status < 300 && arrived[id].IsZero() {
					arrived[id] = e.At
				}
			}
		}
		mu.Unlock()
		since = got.Last
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

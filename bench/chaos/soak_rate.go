package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/miq/pixel/modules/simulate"
)

// growing is by which share of the rate a backlog may grow and still count as none that does:
// the archive, filed now and then, makes steps.
const growing = 0.02

// trial is how it goes at a rate.
type trial struct {
	asked, sent float64 // events a second
	growth      float64 // of the backlog, events a second
	failed      int
}

// holds reports whether a rate can be kept up for ever.
func (t trial) holds() bool {
	return t.failed == 0 && t.sent >= 0.97*t.asked && t.growth <= growing*t.asked
}

// bears finds the highest rate at which the backlog does not grow: what goes all the way
// through, for as long as one likes. A burst would tell what the door takes in, or what the
// worker does with nothing coming in beside. It goes up or down by a fifth until it knows one
// rate that holds and one that does not, and halves the way between them twice.
func (s *stand) bears(ctx context.Context, out io.Writer, traffic simulate.Options, length time.Duration) (float64, error) {
	fmt.Fprintf(out, "what it bears, by %s at a rate:\n%12s %12s %12s %8s\n", length, "events/s", "sent", "backlog +/s", "failed")
	seed := uint64(200)
	try := func(rate float64) (bool, error) {
		seed++
		traffic.Seed, traffic.Rate, traffic.Length = seed, rate, length
		t, err := s.try(ctx, traffic)
		if err != nil {
			return false, err
		}
		verdict := "holds"
		if !t.holds() {
			verdict = "too much"
		}
		fmt.Fprintf(out, "%12.0f %12.0f %12.0f %8d  %s\n", t.asked, t.sent, t.growth, t.failed, verdict)
		return t.holds(), until(ctx, 10*time.Minute, "what waits is worked off", func() error {
			if n := s.waits(ctx); n > 0 {
				return fmt.Errorf("%d wait", n)
			}
			return nil
		})
	}
	return search(2000, try)
}

// search finds the highest rate that holds, to a twentieth.
func search(start float64, try func(rate float64) (bool, error)) (float64, error) {
	good, bad := 0.0, math.Inf(1)
	for rate := start; good == 0 || math.IsInf(bad, 1) || bad/good > 1.06; {
		if rate < 20 || rate > 1e6 {
			return 0, fmt.Errorf("no rate between 20 and a million can be told from another: %.0f holds, %.0f does not", good, bad)
		}
		ok, err := try(rate)
		if err != nil {
			return 0, err
		}
		if ok {
			good = rate
		} else {
			bad = rate
		}
		switch {
		case good == 0:
			rate = bad * 0.8
		case math.IsInf(bad, 1):
			rate = good * 1.25
		default:
			rate = math.Sqrt(good * bad)
		}
	}
	return good, nil
}

// try sends at a rate for a while, and looks at how the backlog goes in the last two thirds.
func (s *stand) try(ctx context.Context, traffic simulate.Options) (trial, error) {
	watched, stop := context.WithCancel(ctx)
	defer stop()
	var at, waits []float64
	var watching sync.WaitGroup
	began := time.Now()
	watching.Go(func() {
		for tick := time.NewTicker(traffic.Length / 30); ; {
			select {
			case <-watched.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			if since := time.Since(began); since > traffic.Length/3 && since < traffic.Length {
				if n := s.waits(watched); n >= 0 {
					at, waits = append(at, time.Since(began).Seconds()), append(waits, float64(n))
				}
			}
		}
	})
	run, err := simulate.Send(ctx, traffic)
	took := time.Since(began).Seconds()
	stop()
	watching.Wait()
	if err != nil {
		return trial{}, err
	}
	return trial{asked: traffic.Rate, sent: float64(run.Events) / math.Max(took, traffic.Length.Seconds()), growth: slope(at, waits), failed: run.Failed}, nil
}

// slope is how much y grows for each of x, by least squares.
func slope(x, y []float64) float64 {
	if len(x) < 3 {
		return math.Inf(1) // nobody could look: it is too busy
	}
	var mx, my float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(x))
	}
	var xy, xx float64
	for i := range x {
		xy, xx = xy+(x[i]-mx)*(y[i]-my), xx+(x[i]-mx)*(x[i]-mx)
	}
	return xy / xx
}

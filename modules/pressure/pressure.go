// Package pressure decides, from what waits behind the collector, which events
// may still come in. Before the queues grow without end, and with them the age
// of what partners are told, low priority is turned away first, then standard,
// high last; whoever is turned away is told when to come again.
//
// It looks at the queues in the background, so that to ask it costs a request no
// round trip. While it cannot look, everything is admitted: whether it can be
// stored is then for the push to say.
package pressure

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// Limits are where no event is admitted any more; 0: no limit.
type Limits struct {
	Depth int           // events that wait to be processed
	Age   time.Duration // of the oldest of them
	// Refusals is how many validation dead letters there may be before no more are
	// written about what is refused. It turns no event away.
	Refusals int
}

// Store is something that events are kept in.
type Store struct {
	queue.Room
	// Most is the share of its room that may be used; 0: no limit.
	Most float64
}

// Stats are the figures of the queues; queue.Inspector has them.
type Stats interface {
	Stats(context.Context) ([]queue.Stats, error)
}

// Options are what a Gauge needs.
type Options struct {
	Limits  Limits
	Queues  Stats
	Stores  map[string]Store
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: nothing is counted
}

const (
	every   = time.Second
	patient = 2 * time.Second // for an answer from the store
	// forget is after how many failures in a row a reading says nothing any more.
	forget = 5
	// slack keeps an admission from flickering: what was turned away comes in
	// again a little below where it stopped.
	slack = 0.05
	// minWait and maxWait bound what those turned away are asked to wait.
	minWait, maxWait = 2 * time.Second, time.Minute
)

// thresholds are how much of a limit may be used before a priority is turned away.
var thresholds = map[event.Priority]float64{event.Low: 0.8, event.Standard: 0.9, event.High: 1}

// Gauge is how full everything is, as of a moment ago.
type Gauge struct {
	o       Options
	refused map[event.Priority]*atomic.Bool
	buried  atomic.Bool  // there are too many validation dead letters
	load    atomic.Int64 // the largest share of a limit that is used, in thousandths

	mu     sync.Mutex
	shares map[string]float64 // of each limit, what is used
	failed map[string]int     // of each, how often in a row it could not be read

	stop context.CancelFunc
	done sync.WaitGroup

	share  *prometheus.GaugeVec
	turned map[event.Priority]prometheus.Counter
}

// New returns a gauge that admits everything until it is started. A nil *Gauge
// always does.
func New(o Options) *Gauge {
	g := &Gauge{o: o, refused: map[event.Priority]*atomic.Bool{}, shares: map[string]float64{}, failed: map[string]int{}, turned: map[event.Priority]prometheus.Counter{}}
	g.share = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pixel_pressure_share", Help: "How much of a limit is used: depth and age of what waits to be processed, and the room in each store. Low priority is turned away from 0.8 on, standard from 0.9, high from 1.",
	}, []string{"limit"})
	turned := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pixel_pressure_refused_total", Help: "Events turned away under pressure, by priority.",
	}, []string{"priority"})
	for _, p := range event.Priorities {
		g.refused[p] = &atomic.Bool{}
		g.turned[p] = turned.WithLabelValues(string(p))
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(g.share, turned)
		for p, refused := range g.refused {
			o.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "pixel_pressure_admitted", Help: "Whether events of a priority are admitted now.", ConstLabels: prometheus.Labels{"priority": string(p)},
			}, func() float64 {
				if refused.Load() {
					return 0
				}
				return 1
			}))
		}
	}
	return g
}

// Admits reports whether an event of a priority may come in now; it counts those
// that may not.
func (g *Gauge) Admits(p event.Priority) bool {
	if g == nil || !g.refused[p].Load() {
		return true
	}
	g.turned[p].Inc()
	return false
}

// Writes reports whether what is refused may be written to the validation dead
// letters now.
func (g *Gauge) Writes() bool { return g == nil || !g.buried.Load() }

// RetryAfter is when somebody who was turned away may come again: later the more
// there is too much, and not for all at the same moment.
func (g *Gauge) RetryAfter() time.Duration {
	wait := minWait
	if g != nil {
		if over := float64(g.load.Load())/1000 - thresholds[event.Low]; over > 0 {
			// Twice the limit asks for the longest wait.
			wait += time.Duration(over / (2 - thresholds[event.Low]) * float64(maxWait-minWait))
		}
	}
	wait = min(wait, maxWait)
	return wait/2 + rand.N(wait)
}

// Start begins to look.
func (g *Gauge) Start() {
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.done.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			g.Look(ctx)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	})
}

// Stop ends that.
func (g *Gauge) Stop() {
	g.stop()
	g.done.Wait()
}

// Look reads the figures once and decides anew.
func (g *Gauge) Look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { g.lookAtQueues(ctx) })
	for name, store := range g.o.Stores {
		if store.Most > 0 {
			wg.Go(func() { g.lookAt(ctx, name, store) })
		}
	}
	wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	load, of := 0.0, ""
	for limit, share := range g.shares {
		if share > load {
			load, of = share, limit
		}
	}
	g.load.Store(int64(load * 1000))
	g.decide(load, of)
}

func (g *Gauge) lookAtQueues(ctx context.Context) {
	l := g.o.Limits
	if l.Depth == 0 && l.Age == 0 && l.Refusals == 0 {
		return
	}
	all, err := g.o.Queues.Stats(ctx)
	depth, age, letters := 0, time.Duration(0), 0
	for _, s := range all {
		if s.Queue == queue.Validation {
			letters = s.Ready
		}
		if ingest[s.Queue] {
			depth += s.Ready + s.InFlight + s.Delayed
			age = max(age, s.Oldest)
		}
	}
	if full := l.Refusals > 0 && letters >= l.Refusals; err == nil && g.buried.Swap(full) != full {
		if full {
			g.o.Log.Warn("there are so many validation dead letters that what is refused is only counted", "letters", letters)
		} else {
			g.o.Log.Info("what is refused is written to the validation dead letters again", "letters", letters)
		}
	}
	if l.Depth > 0 {
		g.note("depth", float64(depth)/float64(l.Depth), err)
	}
	if l.Age > 0 {
		g.note("age", age.Seconds()/l.Age.Seconds(), err)
	}
}

func (g *Gauge) lookAt(ctx context.Context, name string, s Store) {
	used, limit, err := s.Room.Room(ctx)
	share := 0.0
	if limit > 0 {
		share = float64(used) / float64(limit) / s.Most
	}
	g.note(name, share, err)
}

// note keeps a share. One that cannot be read stands for a while.
func (g *Gauge) note(limit string, share float64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		if g.failed[limit]++; g.failed[limit] < forget {
			return
		}
		if g.failed[limit] == forget {
			g.o.Log.Warn("a limit cannot be read, so nothing is turned away for it", "limit", limit, "error", err)
		}
		share = 0
	} else {
		g.failed[limit] = 0
	}
	g.shares[limit] = share
	g.share.WithLabelValues(limit).Set(share)
}

func (g *Gauge) decide(load float64, of string) {
	for _, p := range event.Priorities {
		was := g.refused[p].Load()
		now := load >= thresholds[p] || was && load >= thresholds[p]-slack
		if was == now {
			continue
		}
		g.refused[p].Store(now)
		if now {
			g.o.Log.Warn("events are turned away under pressure", "priority", string(p), "limit", of, "share", load)
		} else {
			g.o.Log.Info("events are admitted again", "priority", string(p))
		}
	}
}

// ingest are the queues that the collector fills.
var ingest = func() map[string]bool {
	m := map[string]bool{}
	for _, p := range event.Priorities {
		m[queue.Ingest(p)] = true
	}
	return m
}()

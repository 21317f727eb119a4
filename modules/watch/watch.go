// Package watch looks, again and again, at what no role counts by itself and
// somebody is woken for: how much waits in which queue and for how long, whether
// what the process depends on works, and when certificates end.
//
// Every process tells what it sees, whatever its roles, so that no restart of one
// of them blinds the alerts. All see the same queues: take the max, not the sum.
package watch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue"
)

const (
	every = 5 * time.Second
	// patient is how long one look may take.
	patient = 4 * time.Second
	// hourly is how often certificates are looked at, and closely where one could not be
	// read or ends within soon: whoever renews it wants to see that it helped.
	hourly, closely = time.Hour, time.Minute
	soon            = 30 * 24 * time.Hour
)

// Stats gives the queues' figures; queue.Inspector does.
type Stats interface {
	Stats(ctx context.Context) ([]queue.Stats, error)
}

// Certificate is one whose end would be an outage. Ends returns a zero time where
// there is none to look at.
type Certificate struct {
	Name string // the setting that names it
	Ends func(context.Context) (time.Time, error)
}

// Options are what a Watch looks at.
type Options struct {
	Queues       Stats
	Checks       []health.Check
	Certificates []Certificate
	Log          *slog.Logger
	Metrics      prometheus.Registerer
}

// Watch keeps the gauges.
type Watch struct {
	o        Options
	messages *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
	failed   prometheus.Counter
	health   *prometheus.GaugeVec
	ends     *prometheus.GaugeVec

	known  map[string]bool // queues that have gauges
	looked map[string]time.Time
	silent map[string]bool // certificates that could not be read
	urgent map[string]bool // or that end soon

	stop context.CancelFunc
	done sync.WaitGroup
}

// New registers the gauges; they are filled once the watch is started.
func New(o Options) (*Watch, error) {
	w := &Watch{
		o: o, known: map[string]bool{}, looked: map[string]time.Time{}, silent: map[string]bool{}, urgent: map[string]bool{},
		messages: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_queue_messages", Help: "Messages in a queue: ready, in flight (held by a process) or delayed (wait for their time). Every process tells the same: take the max.",
		}, []string{"queue", "state"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_queue_oldest_seconds", Help: "Age of the oldest message of a queue that is not done; 0 where it is empty. Every process tells the same: take the max.",
		}, []string{"queue"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pixel_queue_look_failures_total", Help: "Looks at the queues that failed; meanwhile their gauges are absent.",
		}),
		health: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_health", Help: "What the process depends on, as in /readyz: 1 works, 0.5 works with a warning, 0 does not.",
		}, []string{"check"}),
		ends: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_certificate_expires_timestamp_seconds", Help: "When a certificate ends, by the setting that names it; 0: it could not be read.",
		}, []string{"certificate"}),
	}
	for _, c := range []prometheus.Collector{w.messages, w.oldest, w.failed, w.health, w.ends} {
		if err := o.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Start begins to look.
func (w *Watch) Start(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	w.done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			w.Look(ctx, time.Now())
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return nil
}

// Stop ends it.
func (w *Watch) Stop(context.Context) error {
	w.stop()
	w.done.Wait()
	return nil
}

// Look looks once.
func (w *Watch) Look(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { w.queues(ctx) })
	all.Go(func() { w.checks(ctx) })
	all.Go(func() { w.certificates(ctx, now) })
	all.Wait()
}

func (w *Watch) queues(ctx context.Context) {
	stats, err := w.o.Queues.Stats(ctx)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	if err != nil {
		w.failed.Inc()
		stats = nil // an old figure would look like a true one
	}
	there := make(map[string]bool, len(stats))
	for _, s := range stats {
		there[s.Queue] = true
		for state, n := range map[queue.State]int{queue.Ready: s.Ready, queue.InFlight: s.InFlight, queue.Delayed: s.Delayed} {
			w.messages.WithLabelValues(s.Queue, string(state)).Set(float64(n))
		}
		w.oldest.WithLabelValues(s.Queue).Set(s.Oldest.Seconds())
	}
	for name := range w.known {
		if !there[name] {
			w.messages.DeletePartialMatch(prometheus.Labels{"queue": name})
			w.oldest.DeleteLabelValues(name)
		}
	}
	w.known = there
}

func (w *Watch) checks(ctx context.Context) {
	var all sync.WaitGroup
	for _, c := range w.o.Checks {
		all.Go(func() {
			err := c.Run(ctx)
			if err != nil && errors.Is(ctx.Err(), context.Canceled) {
				return
			}
			value := 1.0
			if _, ok := errors.AsType[health.Warning](err); ok {
				value = 0.5
			} else if err != nil {
				value = 0
			}
			w.health.WithLabelValues(c.Name).Set(value)
		})
	}
	all.Wait()
}

func (w *Watch) certificates(ctx context.Context, now time.Time) {
	for _, c := range w.o.Certificates {
		pause := hourly
		if w.urgent[c.Name] {
			pause = closely
		}
		if at, ok := w.looked[c.Name]; ok && now.Sub(at) < pause {
			continue
		}
		w.looked[c.Name] = now
		ends, err := c.Ends(ctx)
		switch {
		case err != nil:
			if !w.silent[c.Name] {
				w.o.Log.Warn("a certificate cannot be read", "certificate", c.Name, "error", err)
			}
			w.silent[c.Name], w.urgent[c.Name] = true, true
			w.ends.WithLabelValues(c.Name).Set(0)
		case !ends.IsZero():
			w.silent[c.Name], w.urgent[c.Name] = false, ends.Sub(now) < soon
			w.ends.WithLabelValues(c.Name).Set(float64(ends.Unix()))
		}
	}
}

package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/queue"
)

// Stats gives the queues' real lengths; queue.Inspector does.
type Stats interface {
	Stats(ctx context.Context) ([]queue.Stats, error)
}

// Tallier recounts what is stored, or knows it without; analytics.Reader does.
type Tallier interface {
	Tally(ctx context.Context, since, until time.Time) ([]analytics.Tally, error)
	Stored(ctx context.Context, since, until time.Time) ([]analytics.Tally, error)
}

const (
	// every is how often the keeper looks, and seldom how often at least.
	every, seldom = 10 * time.Second, 2 * time.Minute
	// again is how often it looks at hours too whose counts did not change.
	again = 10 * time.Minute
	// kept is how long the queues keep an hour's counts.
	kept = 41 * 24 * time.Hour
	// Window is how far back the keeper looks each time.
	Window = 48 * time.Hour
)

// Keeper looks at the books again and again, and remembers what did not balance
// the last time.
type Keeper struct {
	books   queue.Books
	stats   Stats
	tallier Tallier
	history History // nil: nowhere
	log     *slog.Logger
	now     func() time.Time

	mu     sync.Mutex
	report Report
	err    error

	seen    map[int32][]queue.Count // of hours that balanced, as they were then
	whole   time.Time               // when all hours were last looked at
	older   []queue.Count           // of the hours before the window, as they were then
	filed   filed                   // what the history has
	unfiled bool                    // the last try failed
	gauge   *prometheus.GaugeVec
	at      prometheus.Gauge
	failed  prometheus.Counter

	stop context.CancelFunc
	done sync.WaitGroup
}

// Report is what the keeper found at a time.
type Report struct {
	At          time.Time    `json:"checked_at,omitzero"`
	Differences []Difference `json:"differences"`
}

// NewKeeper returns a keeper that looks once it is started. The registerer may be
// nil.
func NewKeeper(b queue.Books, s Stats, t Tallier, h History, log *slog.Logger, r prometheus.Registerer, now func() time.Time) (*Keeper, error) {
	k := &Keeper{
		books: b, stats: s, tallier: t, history: h, log: log, now: now, seen: map[int32][]queue.Count{},
		gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_ledger_imbalance", Help: "Events or deliveries by which a check of the books fails; 0 is as it should be.",
		}, []string{"check"}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "pixel_ledger_checked_timestamp_seconds", Help: "When the books were last checked.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pixel_ledger_check_failures_total", Help: "Checks of the books that could not be made, since a store did not answer.",
		}),
	}
	for _, c := range Checks {
		k.gauge.WithLabelValues(c)
	}
	if r == nil {
		return k, nil
	}
	for _, c := range []prometheus.Collector{k.gauge, k.at, k.failed} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// Start begins to look.
func (k *Keeper) Start(context.Context) error {
	var ctx context.Context
	ctx, k.stop = context.WithCancel(context.Background())
	k.done.Go(func() {
		for {
			began := time.Now()
			k.look(ctx)
			k.record(ctx)
			wait := time.NewTimer(pause(time.Since(began)))
			select {
			case <-ctx.Done():
				wait.Stop()
				return
			case <-wait.C:
			}
		}
	})
	return nil
}

// pause is for how long a look that took so long is enough: to recount a busy hour is
// work for the store, of which events are to have nearly all.
func pause(took time.Duration) time.Duration { return min(max(every, 20*took), seldom) }

// Stop ends it.
func (k *Keeper) Stop(context.Context) error {
	k.stop()
	k.done.Wait()
	return nil
}

// Last is what was found last; an error where the books could not be read then.
func (k *Keeper) Last() (Report, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.report, k.err
}

// look checks, and says in the log what is new.
func (k *Keeper) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	found, err := k.Look(ctx)
	if ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	k.mu.Lock()
	was := k.report.Differences
	first := err != nil && k.err == nil
	k.err = err
	if err == nil {
		k.report = Report{At: k.now().UTC(), Differences: found}
	}
	k.mu.Unlock()
	if err != nil {
		k.failed.Inc()
		if first {
			k.log.Warn("the books cannot be checked", "error", err)
		}
		return
	}
	sums := map[string]int64{}
	for _, d := range found {
		sums[d.Check] += max(d.N, -d.N)
		if !slices.Contains(was, d) {
			k.log.Error("the books do not balance", "check", d.Check, "pixel", d.Pixel, "hour", d.Hour, "partner", d.Partner, "queue", d.Queue, "difference", d.N)
		}
	}
	if len(was) > 0 && len(found) == 0 {
		k.log.Info("the books balance again")
	}
	for _, c := range Checks {
		k.gauge.WithLabelValues(c).Set(float64(sums[c]))
	}
	k.at.Set(float64(k.now().Unix()))
}

// record brings the books to the history, and says in the log that it could not when
// it could before. The queues keep them for weeks, so it is tried again.
func (k *Keeper) record(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := k.File(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	if failed := err != nil; failed != k.unfiled {
		if k.unfiled = failed; failed {
			k.log.Warn("the ledger's history could not be written; it is tried again", "error", err)
		}
	}
}

// Look checks the books once. Recounting is what costs, so an hour that balanced
// is recounted only once its counts change, and now and then.
func (k *Keeper) Look(ctx context.Context) ([]Difference, error) {
	now := k.now()
	since, until := queue.Hour(now.Add(-Window)), queue.Hour(now)+2
	all := now.Sub(k.whole) >= again
	if all {
		// Hours before the window change rarely: by what is replayed, or waited long.
		older, err := k.books.Counts(ctx, queue.Hour(now.Add(-kept)), since)
		if err != nil {
			return nil, err
		}
		k.older, k.seen = older, map[int32][]queue.Count{}
	}
	found, err := k.window(ctx, since, until)
	if err != nil {
		return nil, err
	}
	if !all && slices.ContainsFunc(found, func(d Difference) bool { return d.Check == Waits && d.Pixel == "" }) {
		// It may be one of the older hours that changed.
		k.whole = time.Time{}
		return k.Look(ctx)
	}
	if all {
		k.whole = now
	}
	return found, nil
}

func (k *Keeper) window(ctx context.Context, since, until int32) ([]Difference, error) {
	r := Reading{}
	var err error
	if r.Before, err = k.books.Counts(ctx, since, until); err != nil {
		return nil, err
	}
	fresh := k.changed(r.Before)
	if r.Depths, err = k.stats.Stats(ctx); err != nil {
		return nil, err
	}
	if r.Tallies, err = k.tally(ctx, fresh); err != nil {
		return nil, err
	}
	if r.After, err = k.books.Counts(ctx, since, until); err != nil {
		return nil, err
	}
	if len(fresh) > 0 {
		r.skip = func(hour int32) bool { return !slices.Contains(fresh, hour) }
	} else {
		r.Tallies = nil
	}
	r.Before, r.After = append(slices.Clone(k.older), r.Before...), append(slices.Clone(k.older), r.After...)
	found := r.Check()
	after := byHour(r.After)
	for _, d := range found {
		delete(after, queue.Hour(d.Hour))
	}
	k.seen = after
	return found, nil
}

// changed are the hours whose counts are not those of the last look.
func (k *Keeper) changed(counts []queue.Count) (hours []int32) {
	for hour, list := range byHour(counts) {
		if !slices.Equal(list, k.seen[hour]) {
			hours = append(hours, hour)
		}
	}
	slices.Sort(hours)
	return hours
}

func byHour(counts []queue.Count) map[int32][]queue.Count {
	out := map[int32][]queue.Count{}
	for _, c := range counts {
		out[c.Account.Hour] = append(out[c.Account.Hour], c)
	}
	return out
}

// tally recounts hours, those that follow one another in one question.
func (k *Keeper) tally(ctx context.Context, hours []int32) ([]analytics.Tally, error) {
	out := []analytics.Tally{}
	for len(hours) > 0 {
		n := 1
		for n < len(hours) && hours[n] == hours[n-1]+1 {
			n++
		}
		found, err := k.tallier.Tally(ctx, queue.Account{Hour: hours[0]}.Time(), queue.Account{Hour: hours[n-1] + 1}.Time())
		if err != nil {
			return nil, fmt.Errorf("recount what is stored: %w", err)
		}
		out, hours = append(out, found...), hours[n:]
	}
	return out, nil
}

package backfill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/enrich"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lease"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

const (
	// look is how often a runner looks for work.
	look = 2 * time.Second
	// page is how many events are replayed between two looks at the job.
	page = 500
	// save is how often progress is written, at most.
	save = time.Second
)

// sites is what the runner needs of settings.Store.
type sites interface {
	Pixel(id string) (settings.Pixel, bool)
	Partner(name string) settings.Partner
	Credentials(p settings.Partner, account string) (map[string]string, error)
}

// Crediter gives what replayed events bring of touchpoints and conversions, as
// attribution does with those that come. What it remembers of visitors it remembers for
// the job alone; the events come in the order that they were received in, pixel by pixel.
type Crediter interface {
	Credit(ctx context.Context, job string, events []Permitted) error
}

// Deps is what a Runner is built of.
type Deps struct {
	Docs     state.Documents
	Keys     state.Keys
	Archive  archive.Archive
	Upkeep   archive.Upkeep
	Writer   analytics.Writer
	Receipts analytics.ReceiptWriter
	// Lines are what the archive keeps beside events; may be nil.
	Lines    Log
	Credits  Crediter
	Push     func(context.Context, ...queue.Item) error
	Settings sites
	Decider  *consent.Decider
	Adapters []partner.Adapter
	// Enricher is for rehearsals of a change of what is found out; may be nil.
	Enricher *enrich.Enricher
	Log      *slog.Logger
	Metrics  prometheus.Registerer // nil: none
	Now      func() time.Time
}

// Runner works on jobs.
type Runner struct {
	d           Deps
	jobs        *Jobs
	adapters    map[string]partner.Adapter
	expressions *routes.Expressions
	events      *prometheus.CounterVec
	every       time.Duration // between two looks
	patience    time.Duration
	page        int           // events between two looks at the job
	noting      time.Duration // between two notes of its progress

	stop context.CancelFunc
	done sync.WaitGroup
}

// NewRunner returns a runner that begins with Start.
func NewRunner(d Deps) (*Runner, error) {
	r := &Runner{d: d, adapters: map[string]partner.Adapter{}, every: look, patience: patience, page: page, noting: save, events: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "pixel_backfill_events_total", Help: "Events that backfills went through: read, stored, queued (once for each partner) or skipped.",
	}, []string{"outcome"})}
	var err error
	if r.expressions, err = routes.NewExpressions(); err != nil {
		return nil, err
	}
	for _, a := range d.Adapters {
		r.adapters[a.Spec().Name] = a
	}
	r.jobs = NewJobs(d.Docs, func(name string) bool { return r.adapters[name] != nil }, r.expressions, d.Now)
	for _, o := range []string{"read", "stored", "queued", "skipped"} {
		r.events.WithLabelValues(o)
	}
	if d.Metrics != nil {
		return r, d.Metrics.Register(r.events)
	}
	return r, nil
}

// Start begins to look for jobs.
func (r *Runner) Start(context.Context) error {
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.done.Go(func() {
		tick := time.NewTicker(r.every)
		defer tick.Stop()
		version, healthy := int64(-1), true
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// A job whose runner died changes nothing, hence the look at those that are there.
			next, err := r.look(ctx, version)
			if err != nil && ctx.Err() == nil && healthy {
				r.d.Log.Warn("backfills cannot be looked for", "error", err)
			}
			version, healthy = next, err == nil
		}
	})
	return nil
}

// Stop hands the job under way to whoever looks next.
func (r *Runner) Stop(context.Context) error {
	r.stop()
	r.done.Wait()
	return nil
}

// look works on the oldest jobs that nobody works on. While none is open it only
// asks for the collection's version.
func (r *Runner) look(ctx context.Context, idle int64) (int64, error) {
	version, err := r.d.Docs.Version(ctx, collection)
	if err != nil || version == idle {
		return idle, err
	}
	list, err := r.jobs.List(ctx)
	if err != nil {
		return -1, err
	}
	open := false
	for _, job := range slices.Backward(list) {
		if job.State.Ended() {
			continue
		}
		open = true
		err := lease.New(r.d.Keys, "backfill:"+job.ID).Do(ctx, func(ctx context.Context) error { return r.Run(ctx, job.ID) })
		if err != nil && !errors.Is(err, lease.ErrHeld) && ctx.Err() == nil {
			r.d.Log.Warn("a backfill was interrupted; it goes on", "backfill", job.ID, "error", err)
		}
	}
	if open {
		return -1, nil
	}
	return version, nil
}

// errEnded says that somebody cancelled the job.
var errEnded = errors.New("the backfill was cancelled")

// Run works on a job until it is done, fails, or the context ends. The caller holds
// the job's lease.
func (r *Runner) Run(ctx context.Context, id string) error {
	job, err := r.jobs.change(ctx, id, func(job *Job) error {
		if job.State.Ended() {
			return errEnded
		}
		if job.State = Running; job.StartedAt.IsZero() {
			job.StartedAt = r.d.Now().UTC()
		}
		return nil
	})
	if errors.Is(err, errEnded) {
		return nil
	}
	if err != nil {
		return err
	}
	err = r.replay(ctx, &job)
	switch {
	case errors.Is(err, errEnded):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx) // another goes on
	}
	end := func(is *Job) error {
		if is.State.Ended() {
			return errEnded
		}
		is.Progress, is.Report = job.Progress, job.Report
		is.State, is.EndedAt = Done, r.d.Now().UTC()
		if err != nil {
			is.State, is.Error = Failed, err.Error()
		}
		return nil
	}
	if _, err := r.jobs.change(ctx, id, end); err != nil && !errors.Is(err, errEnded) {
		return err
	}
	r.d.Log.Info("a backfill ended", "backfill", id, "read", job.Progress.Read, "stored", job.Progress.Stored, "error", err)
	return nil
}

// replay goes through the archive: its events, and then what is kept beside them.
func (r *Runner) replay(ctx context.Context, job *Job) error {
	if job.Progress.Position == "" {
		// What is not filed yet has no order to go on in.
		if err := lease.New(r.d.Keys, lease.Archive).Await(ctx, time.Second, func(ctx context.Context) error {
			_, err := r.d.Upkeep.File(ctx)
			return err
		}); err != nil {
			return fmt.Errorf("file what was archived lately: %w", err)
		}
	}
	if job.Spec.Credits && job.Progress.Position != "" && r.d.Now().Sub(job.StartedAt) > Memory {
		return fmt.Errorf("what is remembered of visitors for credits is kept for %d hours from the beginning: start it anew", int(Memory.Hours()))
	}
	if !strings.HasPrefix(job.Progress.Position, inLog) {
		if err := r.walk(ctx, job); err != nil {
			return err
		}
	}
	if err := r.lines(ctx, job); err != nil || !job.Spec.Credits {
		return err
	}
	// The data-driven models need all of them at once.
	return attribution.Ask(ctx, r.d.Keys, r.d.Now())
}

// walk goes through the events, page by page.
func (r *Runner) walk(ctx context.Context, job *Job) error {
	w, err := r.work(job)
	if err != nil {
		return err
	}
	size := r.page
	if job.Spec.Rate > 0 {
		size = min(size, max(1, job.Spec.Rate/2))
	}
	var events []event.Event
	began, saved, since := time.Now(), time.Now(), int64(0)
	p := &job.Progress
	flush := func(last bool) error {
		if err := r.insist(ctx, job.ID, func() error { return w.do(ctx, events) }); err != nil {
			return err
		}
		n := int64(len(events))
		events = events[:0]
		if since += n; last || time.Since(saved) >= r.noting {
			p.Rate = float64(since) / max(time.Since(saved).Seconds(), 0.001)
			if err := r.save(ctx, job); err != nil {
				return err
			}
			saved, since = time.Now(), 0
		}
		if job.Spec.Rate > 0 && !last {
			pause(ctx, time.Duration(n)*time.Second/time.Duration(job.Spec.Rate)-time.Since(began))
			began = time.Now()
		}
		return ctx.Err()
	}
	unchosen := 0
	filter := archive.Filter{PixelID: job.Spec.PixelID, Since: job.Spec.Since, Until: job.Spec.Until, After: p.Position, Filed: true}
	for rec, err := range r.d.Archive.Read(ctx, filter) {
		if err != nil {
			return err
		}
		p.Read++
		p.Position, p.At, p.Pixel = rec.Position, rec.Event.ReceivedAt, rec.Event.PixelID
		r.events.WithLabelValues("read").Inc()
		if !r.chosen(job, &rec.Event) {
			if unchosen++; unchosen%10_000 == 0 {
				if err := flush(false); err != nil {
					return err
				}
			}
			continue
		}
		p.Chosen++
		if events = append(events, rec.Event); len(events) >= size {
			if err := flush(false); err != nil {
				return err
			}
		}
	}
	return flush(true)
}

// chosen asks a job's names and its condition. What the condition fails on is left out,
// and counted.
func (r *Runner) chosen(job *Job, e *event.Event) bool {
	if len(job.Spec.Events) > 0 && !slices.Contains(job.Spec.Events, e.Name) {
		return false
	}
	if job.Spec.Where == "" {
		return true
	}
	holds, err := r.expressions.Holds(job.Spec.Where, e)
	if err != nil {
		job.Progress.skip(skipWhere)
		r.events.WithLabelValues("skipped").Inc()
	}
	return err == nil && holds
}

// patience is how long a store may be away before the job fails. It can be resumed.
const patience = 10 * time.Minute

// insist does a page again while a store is away. What was counted of a page that
// failed half-way is counted again.
func (r *Runner) insist(ctx context.Context, id string, do func() error) error {
	for began, wait := time.Now(), 100*time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := do()
		if err == nil || ctx.Err() != nil || time.Since(began) > r.patience {
			return err
		}
		r.d.Log.Warn("a page of a backfill could not be done; it is tried again", "backfill", id, "error", err)
		pause(ctx, wait)
	}
}

func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// save writes how far it is, unless the job was cancelled.
func (r *Runner) save(ctx context.Context, job *Job) error {
	is, err := r.jobs.change(ctx, job.ID, func(is *Job) error {
		// Of one that was cancelled too: it may be resumed.
		is.Progress, is.Report = job.Progress, job.Report
		return nil
	})
	if err == nil && is.State.Ended() {
		err = errEnded
	}
	return err
}

// worker does something to a page of events.
type worker interface {
	do(ctx context.Context, events []event.Event) error
}

func (r *Runner) work(job *Job) (worker, error) {
	if job.Spec.Rehearsal() {
		return r.rehearsal(job)
	}
	return &sending{r: r, job: job}, nil
}

// account is what a partner's requests are made with.
func (r *Runner) account(name, account string) (delivery.Account, error) {
	p := r.d.Settings.Partner(name)
	c, err := r.d.Settings.Credentials(p, account)
	if err != nil {
		return delivery.Account{}, err
	}
	return delivery.Account{Settings: p.Settings, Credentials: c}, nil
}

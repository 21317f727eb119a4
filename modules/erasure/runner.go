package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lease"
	"github.com/miq/pixel/modules/state"
)

// The stores, as certificates name them.
const (
	inQueues    = "queues"
	inState     = "state"
	inArchive   = "archive"
	inAnalytics = "analytics"
)

const (
	look     = 2 * time.Second  // how often requests are looked for
	tryAgain = 30 * time.Second // after what could not be done
)

// Queues are the queues that events wait in; purge.Sweeper has them.
type Queues interface {
	Take(ctx context.Context, match func(*event.Event) bool) (int, error)
	Held(ctx context.Context, match func(*event.Event) bool) (int, error)
	Scrubber
}

// Forgetter keeps something of a visitor in the shared state.
type Forgetter interface {
	// Forget removes it, and returns how much was there.
	Forget(ctx context.Context, pixel, visitor string) (int, error)
}

// Scrubber overwrites what was deleted on its disk.
type Scrubber interface {
	Scrub(ctx context.Context) error
}

// Log keeps in the archive what is said of events.
type Log interface {
	// Erase deletes what is said of events for good, and returns how many lines.
	Erase(ctx context.Context, pixelID string, of func(eventID string) bool) (int, error)
}

// Stores are everything that keeps something of people.
type Stores struct {
	Queues   Queues
	Keys     state.Keys
	Consent  *consent.Book
	Receipts analytics.ReceiptWriter
	Forget   map[string]Forgetter // by what they keep
	Archive  archive.Upkeep
	Log      Log // nil: none is kept
	Finder   Finder
	Erase    analytics.Eraser
	Scrub    []Scrubber
}

// Runner carries requests out, in one process at a time.
type Runner struct {
	*Book
	Stores

	log  *slog.Logger
	stop context.CancelFunc
	done sync.WaitGroup
}

// NewRunner returns a runner that begins with Start.
func NewRunner(b *Book, s Stores, log *slog.Logger) *Runner {
	return &Runner{Book: b, Stores: s, log: log}
}

// Start begins to look for requests.
func (r *Runner) Start(context.Context) error {
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.done.Go(func() {
		wait := time.Duration(0)
		for {
			timer := time.NewTimer(max(wait, look))
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			wait = 0
			switch err := r.Look(ctx); {
			case err == nil, ctx.Err() != nil, errors.Is(err, lease.ErrHeld):
			default:
				wait = tryAgain
				r.log.Warn("an erasure could not be ended; it is tried again", "error", err)
			}
		}
	})
	return nil
}

// Stop ends it; what is unfinished goes on at the next start, or elsewhere.
func (r *Runner) Stop(context.Context) error {
	r.stop()
	r.done.Wait()
	return nil
}

// due are the requests that something has to be done for now.
func (r *Runner) due(ctx context.Context) (all []Request, due []*Request, err error) {
	if all, err = r.List(ctx); err != nil {
		return nil, nil, err
	}
	now := r.now()
	for i := range all {
		q := &all[i]
		switch {
		case q.State == Waiting, q.State == Running:
			due = append(due, q)
		case q.State == Done && !now.Before(q.Certificate.Finished.Add(LookAgain)):
			due = append(due, q)
		}
	}
	slices.Reverse(due) // oldest first
	return all, due, nil
}

// Look does what is due, if no other process is at it.
func (r *Runner) Look(ctx context.Context) error {
	if _, due, err := r.due(ctx); err != nil || len(due) == 0 {
		return err
	}
	return lease.New(r.Keys, "erasure").Do(ctx, func(ctx context.Context) error {
		all, due, err := r.due(ctx) // again: somebody else may just have been at it
		if err != nil || len(due) == 0 {
			return err
		}
		return r.run(ctx, all, due)
	})
}

// job is a request with whom it is about.
type job struct {
	*Request
	whom
}

// run takes requests through all stores together, since queues and the archive have to
// be read whole.
func (r *Runner) run(ctx context.Context, all []Request, due []*Request) error {
	var jobs []*job
	var again error // one that cannot be begun keeps nobody else waiting
	for _, q := range due {
		j := &job{Request: q}
		var err error
		if j.whom, err = r.open(q); err != nil {
			again = errors.Join(again, r.failed(ctx, []*job{j}, err))
			continue
		}
		if q.State == Running || q.Tries > 0 {
			q.Tries++
		}
		if q.State != Done {
			q.State = Running
		} else if q.Erased != nil && q.Stage == "" {
			q.Erased, q.Tries = nil, 0 // the certificate has them
		}
		if err := r.find(ctx, j); err != nil {
			again = errors.Join(again, r.failed(ctx, []*job{j}, err))
			continue
		}
		if j.State == Refused {
			if err := r.save(ctx, q); err != nil {
				return err
			}
			continue
		}
		jobs = append(jobs, j)
	}
	if len(jobs) == 0 {
		return again
	}
	for _, s := range []struct {
		stage string
		do    func(context.Context, []*job) error
	}{
		{"keeping late events out", r.bury},
		{"going through the queues", r.queues},
		{"forgetting visitors", r.forget},
		{"rewriting the archive", r.archive},
		{"deleting stored events", r.analytics},
		{"rewriting the archive's log", r.lines},
		{"overwriting what was deleted", r.scrub},
	} {
		err := r.stage(ctx, jobs, s.stage)
		if err == nil {
			err = s.do(ctx, jobs)
		}
		if err != nil {
			return r.failed(ctx, jobs, fmt.Errorf("%s: %w", s.stage, err))
		}
	}
	left, err := r.left(ctx, jobs)
	if err != nil {
		return r.failed(ctx, jobs, fmt.Errorf("looking for what is left: %w", err))
	}
	for i, j := range jobs {
		if n := total(left[i]); n > 0 {
			again = errors.Join(again, r.failed(ctx, []*job{j}, fmt.Errorf("%d messages are being worked on, or were left: %v", n, left[i])))
			continue
		}
		if err := r.certify(ctx, all, j, left[i]); err != nil {
			return err
		}
	}
	return again
}

// stage says what is being done.
func (r *Runner) stage(ctx context.Context, jobs []*job, stage string) error {
	for _, j := range jobs {
		j.Stage, j.Error = stage, ""
		if err := r.seal(j.Request, j.whom); err != nil {
			return err
		}
		if err := r.save(ctx, j.Request); err != nil {
			return err
		}
	}
	return nil
}

// failed leaves the jobs for another try.
func (r *Runner) failed(ctx context.Context, jobs []*job, cause error) error {
	for _, j := range jobs {
		if j.State == Running {
			j.State = Waiting
		}
		j.Error = cause.Error()
		j.Tries = max(j.Tries, 1)
		if err := r.save(context.WithoutCancel(ctx), j.Request); err != nil {
			return errors.Join(cause, err)
		}
	}
	return cause
}

// find collects what each person can be told by. What was found in an earlier try is
// kept, since by now it may be gone from where it was.
func (r *Runner) find(ctx context.Context, j *job) error {
	people, err := r.Finder.People(ctx, j.PixelID, j.Identifiers, j.People...)
	if crowd, ok := errors.AsType[*CrowdError](err); ok {
		j.State, j.Stage, j.Error, j.sealed = Refused, "", crowd.Error(), nil
		return nil
	}
	if err != nil {
		return err
	}
	j.People, j.Found = people, found(people)
	return nil
}

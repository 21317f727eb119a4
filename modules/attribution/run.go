package attribution

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/lease"
	"github.com/miq/pixel/modules/state"
)

// Where it is kept when a run was last asked for, and what the last one did.
const (
	dueKey    = "attribution:due"
	statusKey = "attribution:status"
)

// nightly is when the data-driven models are given by themselves, after midnight UTC.
const nightly = 3 * time.Hour

// Status is what the last run of the data-driven models did.
type Status struct {
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	// Error says why it did not end well; what it gave until then stays.
	Error  string   `json:"error,omitempty"`
	Pixels []Result `json:"pixels"`
}

// Ask asks for a run: some worker begins it within a minute.
func Ask(ctx context.Context, keys state.Keys, now time.Time) error {
	b, err := now.UTC().MarshalText()
	if err != nil {
		return err
	}
	if err := keys.Set(ctx, state.Entry{Key: dueKey, Value: b, TTL: 24 * time.Hour}); err != nil {
		return fmt.Errorf("ask for a run: %w", err)
	}
	return nil
}

// LastRun returns what the last run did, nil if there was none, and whether one is
// asked for that has not begun.
func LastRun(ctx context.Context, keys state.Keys) (last *Status, asked bool, err error) {
	values, err := keys.Get(ctx, statusKey, dueKey)
	if err != nil {
		return nil, false, fmt.Errorf("read the last run: %w", err)
	}
	if values[0] != nil {
		last = &Status{}
		if json.Unmarshal(values[0], last) != nil {
			last = nil
		}
	}
	return last, values[1] != nil, nil
}

// Runner runs the job each night, and when it was asked for: one process at a time.
type Runner struct {
	Job    Job
	Keys   state.Keys
	Pixels func() []string
	Log    *slog.Logger
	Now    func() time.Time
}

// look is how often it is asked whether a run is due; maxRun ends one.
const (
	look   = 20 * time.Second
	maxRun = time.Hour
)

// Run looks until the context ends.
func (r *Runner) Run(ctx context.Context) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		if err := r.IfDue(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("the data-driven attribution could not be run", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// IfDue runs the job where that is due and nobody else does.
func (r *Runner) IfDue(ctx context.Context) error {
	last, asked, err := LastRun(ctx, r.Keys)
	if err != nil || !asked && !r.due(last) {
		return err
	}
	err = lease.New(r.Keys, "attribution").Do(ctx, func(ctx context.Context) error {
		// Again, as whoever held the lease may have done it.
		last, asked, err := LastRun(ctx, r.Keys)
		if err != nil || !asked && !r.due(last) {
			return err
		}
		return r.all(ctx)
	})
	if errors.Is(err, lease.ErrHeld) {
		return nil
	}
	return err
}

// due reports whether the night's run is still to come. One that was cut short is begun
// again.
func (r *Runner) due(last *Status) bool {
	now := r.Now().UTC()
	night := now.Add(-nightly).Truncate(24 * time.Hour).Add(nightly)
	return last == nil || last.Started.Before(night) || last.Finished.IsZero() && now.Sub(last.Started) > maxRun
}

func (r *Runner) all(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxRun)
	defer cancel()
	s := Status{Started: r.Now().UTC(), Pixels: []Result{}}
	if err := r.keep(ctx, &s); err != nil {
		return err
	}
	if err := r.Keys.Delete(ctx, dueKey); err != nil {
		return fmt.Errorf("begin a run: %w", err)
	}
	var failed []error
	for _, id := range r.Pixels() {
		one, err := r.Job.Run(ctx, id, s.Started)
		if one.Conversions > 0 {
			s.Pixels = append(s.Pixels, one)
		}
		if err != nil {
			failed = append(failed, err)
			if ctx.Err() != nil {
				break
			}
		}
	}
	s.Finished = r.Now().UTC()
	err := errors.Join(failed...)
	if err != nil {
		s.Error = "some conversions were not given: " + failed[0].Error()
	}
	// The time of the run may be over; what it did is to be known all the same.
	keep, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	return errors.Join(err, r.keep(keep, &s))
}

func (r *Runner) keep(ctx context.Context, s *Status) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := r.Keys.Set(ctx, state.Entry{Key: statusKey, Value: b}); err != nil {
		return fmt.Errorf("note a run: %w", err)
	}
	return nil
}

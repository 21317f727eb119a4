package erasure

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/lease"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// retainEvery is how often it is looked for what was kept long enough.
const retainEvery = time.Hour

// Retention deletes stored events that were kept for as long as their pixel says, in
// one process at a time, of a store that does not do so by itself.
type Retention struct {
	Expirer analytics.Expirer
	Keys    state.Keys
	Pixels  func() []settings.Pixel
	Log     *slog.Logger
	Now     func() time.Time

	stop context.CancelFunc
	done sync.WaitGroup
}

// Start begins to look.
func (r *Retention) Start(context.Context) error {
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.done.Go(func() {
		for wait := time.Minute; ; wait = retainEvery {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			err := lease.New(r.Keys, "retention").Do(ctx, r.Look)
			if err != nil && ctx.Err() == nil && !errors.Is(err, lease.ErrHeld) {
				r.Log.Warn("stored events that were kept long enough could not be deleted; it is tried again", "error", err)
			}
		}
	})
	return nil
}

// Stop ends it.
func (r *Retention) Stop(context.Context) error {
	r.stop()
	r.done.Wait()
	return nil
}

// Look deletes what is due.
func (r *Retention) Look(ctx context.Context) error {
	today := r.Now().UTC().Truncate(24 * time.Hour)
	for _, p := range r.Pixels() {
		var events, syncs time.Time
		if d := p.Retention.EventsDays; d > 0 {
			events = today.AddDate(0, 0, -d)
		}
		if d := p.Retention.SyncsDays; d > 0 {
			syncs = today.AddDate(0, 0, -d)
		}
		if events.IsZero() && syncs.IsZero() {
			continue
		}
		gone, err := r.Expirer.Expire(ctx, p.ID, events, syncs)
		if err != nil {
			return err
		}
		if gone.Total() > 0 {
			r.Log.Info("what was kept long enough is deleted", "pixel_id", p.ID, "events", gone.Events, "syncs", gone.Syncs)
		}
	}
	return nil
}

// Package keeper looks after the archive: it files what was written lately, merges
// small files, and deletes what is too old, in one process at a time.
package keeper

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/lease"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

const (
	// look is how often the backlog is looked at.
	look = 10 * time.Second
	// much is a backlog that is filed at once, in packed bytes.
	much = 32 << 20
	// mergeEvery is how often hours that ended are looked through, and expired days.
	mergeEvery = 15 * time.Minute
	// recent is how far back those are looked through, but for the first time.
	recent = 26 * time.Hour
)

// sites knows how long each pixel's events are kept.
type sites interface {
	Pixels() []settings.Pixel
}

// Keeper does what Upkeep says when it is due.
type Keeper struct {
	upkeep archive.Upkeep
	keys   state.Keys
	sites  sites
	every  time.Duration
	log    *slog.Logger
	now    func() time.Time

	merged time.Time // when hours were last looked through; zero: never

	backlog *prometheus.GaugeVec
	events  prometheus.Counter
	failed  *prometheus.CounterVec

	stop context.CancelFunc
	done sync.WaitGroup
}

// New returns a keeper that begins with Start. The registerer may be nil.
func New(c config.Archive, u archive.Upkeep, keys state.Keys, s sites, log *slog.Logger, r prometheus.Registerer, now func() time.Time) (*Keeper, error) {
	k := &Keeper{
		upkeep: u, keys: keys, sites: s, every: c.FileEvery, log: log, now: now,
		backlog: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pixel_archive_backlog", Help: "What is archived and not yet filed as Parquet: objects, bytes, and the age of the oldest in seconds.",
		}, []string{"of"}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pixel_archive_filed_events_total", Help: "Events that this process filed as Parquet.",
		}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_archive_upkeep_failures_total", Help: "Times that filing, merging or expiring failed; it is tried again.",
		}, []string{"what"}),
	}
	for _, what := range []string{"file", "merge", "expire"} {
		k.failed.WithLabelValues(what)
	}
	if r == nil {
		return k, nil
	}
	for _, c := range []prometheus.Collector{k.backlog, k.events, k.failed} {
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
		tick := time.NewTicker(look)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			err := lease.New(k.keys, lease.Archive).Do(ctx, k.Look)
			if err != nil && ctx.Err() == nil && !errors.Is(err, lease.ErrHeld) && !errors.Is(err, lease.ErrLost) {
				k.log.Warn("the archive's upkeep could not be done; it is tried again", "error", err)
			}
		}
	})
	return nil
}

// Stop ends it.
func (k *Keeper) Stop(context.Context) error {
	k.stop()
	k.done.Wait()
	return nil
}

// Look does what is due. The caller holds the lease.
func (k *Keeper) Look(ctx context.Context) error {
	now := k.now()
	b, err := k.upkeep.Backlog(ctx)
	if err != nil {
		return err
	}
	if b.Objects > 0 && (b.Bytes >= much || now.Sub(b.Oldest) >= k.every) {
		n, err := k.upkeep.File(ctx)
		k.events.Add(float64(n))
		if err != nil {
			k.failed.WithLabelValues("file").Inc()
			return err
		}
		if b, err = k.upkeep.Backlog(ctx); err != nil {
			return err
		}
	}
	k.backlog.WithLabelValues("objects").Set(float64(b.Objects))
	k.backlog.WithLabelValues("bytes").Set(float64(b.Bytes))
	age := 0.0
	if !b.Oldest.IsZero() {
		age = max(0, now.Sub(b.Oldest).Seconds())
	}
	k.backlog.WithLabelValues("oldest_seconds").Set(age)
	if now.Sub(k.merged) < mergeEvery {
		return nil
	}
	return k.tidy(ctx, now)
}

// tidy merges and expires.
func (k *Keeper) tidy(ctx context.Context, now time.Time) error {
	since := time.Time{}
	if !k.merged.IsZero() {
		since = now.Add(-recent)
	}
	// Events that were received in an hour may be processed and filed after it.
	if err := k.upkeep.Merge(ctx, since, now.Add(-2*k.every)); err != nil {
		k.failed.WithLabelValues("merge").Inc()
		return err
	}
	for _, p := range k.sites.Pixels() {
		days := p.Retention.ArchiveDays
		if days <= 0 {
			continue
		}
		n, err := k.upkeep.Expire(ctx, p.ID, now.AddDate(0, 0, -days))
		if err != nil {
			k.failed.WithLabelValues("expire").Inc()
			return err
		}
		if n > 0 {
			k.log.Info("days that were kept long enough are deleted from the archive", "pixel_id", p.ID, "days", n)
		}
	}
	k.merged = now
	return nil
}

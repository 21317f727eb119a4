package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/spill"
	"github.com/miq/pixel/modules/sqlitedb"
)

// spilling is what the collector pushes to: the queue itself, or in front of a
// Redis that may be away, a spill with a queue of its own on this disk.
func spilling(c config.Config) fx.Option {
	if !c.Spills() {
		return fx.Provide(func(q queue.Queue) queue.Pusher { return q })
	}
	return fx.Options(
		fx.Supply(health.Spared(true)),
		fx.Provide(func(p spillParams) (spillResult, error) { return newSpill(p, c) }),
	)
}

// settingsCopy is where a collector keeps the pixels beside its spill, so that it
// takes events also if it starts while Redis is away. Other roles can do nothing
// without Redis, and a dispatcher must not go by what a partner once was.
func settingsCopy(c config.Config) settings.Copy {
	if roles := c.Roles(); !c.Spills() || len(roles) != 1 {
		return ""
	}
	return settings.Copy(filepath.Join(c.DataDir, "spill", "pixels.json"))
}

type spillParams struct {
	fx.In

	Lifecycle fx.Lifecycle
	Queue     queue.Queue
	Log       *slog.Logger
	Metrics   prometheus.Registerer
}

type spillResult struct {
	fx.Out

	Pusher queue.Pusher
	Room   queue.Room `name:"spill"`
	Told   settings.Spill
	Health health.Check `group:"health"`
}

// spillOptions let the drain alone decide what becomes of a message.
var spillOptions = queue.Options{Lease: 5 * time.Minute, MaxDeliveries: 1 << 30, Wait: time.Millisecond}

// newSpill opens the disk. Its lock is not that of data_dir, which processes of
// other roles may share while Redis holds what they share.
func newSpill(p spillParams, c config.Config) (spillResult, error) {
	dir := filepath.Join(c.DataDir, "spill")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return spillResult{}, fmt.Errorf("data_dir: %w (spill.max_bytes: 0 does without)", err)
	}
	if err := lockFile(p.Lifecycle, dir, "or set spill.max_bytes to 0"); err != nil {
		return spillResult{}, err
	}
	db, err := sqlitedb.Open(filepath.Join(dir, "queue.db"))
	if err != nil {
		return spillResult{}, err
	}
	p.Lifecycle.Append(fx.StopHook(db.Close))
	opts := spillOptions
	opts.MaxBytes = c.Spill.MaxBytes
	disk, err := sqlitequeue.New(db, opts)
	if err != nil {
		return spillResult{}, err
	}
	log := p.Log.With("component", "spill")
	p.Lifecycle.Append(fx.StartStopHook(func() { disk.Start(log) }, disk.Close))
	s := spill.New(spill.Options{Queue: p.Queue, Disk: disk, Timeout: c.Spill.Timeout, Log: log, Metrics: p.Metrics})
	p.Lifecycle.Append(fx.StartStopHook(s.Start, s.Stop))
	return spillResult{Pusher: s, Room: s, Told: told(s), Health: health.Check{Name: "spill", Check: s.Check}}, nil
}

// told is what the other processes are told of a spill.
func told(s *spill.Spill) settings.Spill {
	return func() *settings.Spilled {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		st, err := s.Status(ctx)
		if err != nil {
			return nil
		}
		return &settings.Spilled{Items: st.Items, Oldest: st.Oldest.Seconds(), Used: st.Used, Limit: st.Limit, Dead: st.Dead}
	}
}

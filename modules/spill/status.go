package spill

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/health"
)

// metrics are what a spill counts.
type metrics struct {
	spilled, drained, refused, outages prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Spill) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		spilled: counter("pixel_spill_spilled_total", "Items that went to this process's disk since the queue was away."),
		drained: counter("pixel_spill_drained_total", "Items that went from the disk to the queue."),
		refused: counter("pixel_spill_refused_total", "Items that neither the queue nor the disk took."),
		outages: counter("pixel_spill_outages_total", "How often the queue went away."),
	}
	if reg == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	reg.MustRegister(m.spilled, m.drained, m.refused, m.outages,
		gauge("pixel_spill_items", "Items on this process's disk that the queue does not have yet.", func() float64 { return float64(s.onDisk.Load()) }),
		gauge("pixel_spill_dead_letters", "Items on this process's disk that cannot be read, or that the queue refuses: they stay there, and the next start tries them again.", func() float64 { return float64(s.dead.Load()) }),
		gauge("pixel_spill_active", "1 while the queue is away and items go to the disk.", func() float64 { return number(s.away.Load()) }),
		gauge("pixel_spill_draining", "1 while the queue is back and items go there from the disk.", func() float64 { return number(!s.away.Load() && s.onDisk.Load() > 0) }),
		gauge("pixel_spill_bytes", "Bytes that are used on the disk.", func() float64 { return float64(s.look().Used) }),
		gauge("pixel_spill_limit_bytes", "Bytes that may be used.", func() float64 { return float64(s.look().Limit) }),
		gauge("pixel_spill_oldest_seconds", "Age of the oldest item on the disk.", func() float64 { return s.look().Oldest.Seconds() }),
	)
	return m
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Status is what there is to know of a spill.
type Status struct {
	Away        bool // the queue is
	Items       int
	Oldest      time.Duration
	Used, Limit int64 // bytes
	Dead        int   // letters that cannot be drained, or that the queue refuses
}

func (s *Spill) look() Status {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	st, _ := s.Status(ctx)
	return st
}

// Status looks at the disk.
func (s *Spill) Status(ctx context.Context) (Status, error) {
	st := Status{Away: s.away.Load(), Items: int(s.onDisk.Load()), Dead: int(s.dead.Load())}
	var err error
	if st.Used, st.Limit, err = s.o.Disk.Room(ctx); err != nil {
		return st, err
	}
	if st.Items > 0 {
		_, _, st.Oldest, err = s.waiting(ctx)
	}
	return st, err
}

// Room is how full the disk is, but nothing of it while nothing is spilled.
func (s *Spill) Room(ctx context.Context) (used, limit int64, err error) {
	if s.onDisk.Load() == 0 {
		return 0, 0, nil
	}
	return s.o.Disk.Room(ctx)
}

// nearlyFull is the share of the room from which on it is time to act.
const nearlyFull = 0.8

// Check fails only where neither the queue nor the disk takes anything. While the
// queue is away, or something waits on the disk, it warns.
func (s *Spill) Check(ctx context.Context) error {
	st, err := s.Status(ctx)
	switch {
	case st.Away && (err != nil || s.stuck.Load()):
		return fmt.Errorf("the queue is away, and the disk takes no more events (%d are kept there, in %d of %d bytes)", st.Items, st.Used, st.Limit)
	case err != nil:
		return health.Warning("the disk for when the queue is away cannot be used: " + err.Error())
	case st.Items == 0 && !st.Away:
		return nil
	}
	what := "draining"
	if st.Away {
		what = "the queue is away since " + time.Unix(0, s.since.Load()).UTC().Format(time.RFC3339)
	}
	share := 0.0
	if st.Limit > 0 {
		share = float64(st.Used) / float64(st.Limit)
	}
	text := fmt.Sprintf("%s: %d events are kept on this disk, the oldest for %s, in %d%% of its room", what, st.Items, st.Oldest.Round(time.Second), int(share*100))
	if share > nearlyFull {
		text += "; it is nearly full, and then events are refused"
	}
	return health.Warning(text)
}

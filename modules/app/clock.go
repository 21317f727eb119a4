package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/redisclient"
)

const (
	// clockEvery is how often our clock is compared with that of Redis, which all
	// processes share.
	clockEvery = 5 * time.Second
	// clockWrong is what tells a clock that nobody sets from a slow answer. Times of
	// events, windows of attribution and signatures of edges are off by as much.
	clockWrong = 2 * time.Second
)

// clockWatch compares this machine's clock with that of Redis.
type clockWatch struct {
	looking
	client redis.UniversalClient
	log    *slog.Logger
	gauge  prometheus.Gauge
	offset atomic.Int64
	known  atomic.Bool
	wrong  bool // as it was logged
}

func newClockWatch(client redis.UniversalClient, log *slog.Logger, metrics prometheus.Registerer) *clockWatch {
	w := &clockWatch{client: client, log: log, gauge: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pixel_clock_offset_seconds", Help: "By how much the process's clock is ahead of that of Redis; negative: behind it.",
	})}
	metrics.MustRegister(w.gauge)
	return w
}

func (w *clockWatch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, clockEvery)
	defer cancel()
	offset, err := redisclient.ClockOffset(ctx, w.client)
	if err != nil {
		return // that Redis is away is said by others
	}
	w.offset.Store(int64(offset))
	w.known.Store(true)
	w.gauge.Set(offset.Seconds())
	if wrong := offset.Abs() > clockWrong; wrong != w.wrong {
		w.wrong = wrong
		if wrong {
			w.log.WarnContext(ctx, "the clock of this machine or that of Redis is wrong", "ahead", offset)
		} else {
			w.log.InfoContext(ctx, "the clocks of this machine and of Redis agree again", "ahead", offset)
		}
	}
}

// ahead is the last offset, once there is one.
func (w *clockWatch) ahead() (time.Duration, bool) {
	return time.Duration(w.offset.Load()), w.known.Load()
}

// check is nil, or a warning that leaves the process ready.
func (w *clockWatch) check(context.Context) error {
	if offset, _ := w.ahead(); offset.Abs() > clockWrong {
		return health.Warning(fmt.Sprintf("this machine's clock is %s ahead of that of Redis: set both by NTP", offset.Round(time.Millisecond)))
	}
	return nil
}

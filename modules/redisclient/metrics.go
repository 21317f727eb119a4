package redisclient

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/miq/pixel/modules/exemplar"
)

// Measure counts what a client asks of the servers, and its connections.
func Measure(client redis.UniversalClient, reg prometheus.Registerer) error {
	m := &meter{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pixel_redis_seconds", Help: "Time that Redis took for a command, waits for a connection included; commands sent together are one, called pipeline.",
			Buckets: []float64{.0002, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"command"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pixel_redis_errors_total", Help: "Commands that Redis refused, or did not answer.",
		}, []string{"command"}),
	}
	pool := func(name, help string, value func(*redis.PoolStats) uint32) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value(client.PoolStats())) })
	}
	client.AddHook(m)
	for _, c := range []prometheus.Collector{
		m.seconds, m.errors,
		pool("pixel_redis_connections", "Connections to Redis that are open.", func(s *redis.PoolStats) uint32 { return s.TotalConns }),
		pool("pixel_redis_connections_idle", "Connections to Redis that nobody uses now.", func(s *redis.PoolStats) uint32 { return s.IdleConns }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "pixel_redis_pool_timeouts_total", Help: "Commands that got no connection in time."},
			func() float64 { return float64(client.PoolStats().Timeouts) }),
	} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// meter is a hook of the client. Its labels are names of commands that our own
// code sends, so there are few.
type meter struct {
	seconds *prometheus.HistogramVec
	errors  *prometheus.CounterVec
}

func (m *meter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			m.errors.WithLabelValues("dial").Inc()
		}
		return conn, err
	}
}

func (m *meter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmd)
		m.done(ctx, strings.ToLower(cmd.Name()), start, err)
		return err
	}
}

func (m *meter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		start := time.Now()
		err := next(ctx, cmds)
		m.done(ctx, "pipeline", start, err)
		return err
	}
}

func (m *meter) done(ctx context.Context, command string, start time.Time, err error) {
	exemplar.Observe(ctx, m.seconds.WithLabelValues(command), time.Since(start).Seconds())
	// Nothing there is an answer, a script that must be sent whole is too, and who
	// gave up waiting was not failed by Redis.
	if err != nil && !errors.Is(err, redis.Nil) && !errors.Is(err, context.Canceled) && !strings.HasPrefix(err.Error(), "NOSCRIPT") {
		m.errors.WithLabelValues(command).Inc()
	}
}

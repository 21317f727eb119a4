package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/ratelimit/redislimit"
	"github.com/miq/pixel/modules/redisclient"
	"github.com/miq/pixel/modules/settings"
)

// redisModule provides the client, and watches how the servers keep what they
// acknowledge.
//
// A process with a copy of the settings starts without them.
func redisModule(c config.Redis, copy settings.Copy) fx.Option {
	if c.URL == "" {
		return fx.Options()
	}
	return fx.Options(
		redislimit.Module,
		fx.Supply(redisqueue.Settings{Partitions: c.Parts(), Replicas: c.WaitReplicas, Timeout: c.Timeout}),
		fx.Provide(func(lc fx.Lifecycle, log *slog.Logger, metrics prometheus.Registerer) (redisResult, error) {
			log = log.With("component", "redis")
			redisclient.Log(log)
			client, err := redisclient.New(c)
			if err != nil {
				return redisResult{}, err
			}
			if err := redisclient.Measure(client, metrics); err != nil {
				return redisResult{}, err
			}
			w := newRiskWatch(client, c.WaitReplicas, log, metrics)
			clock := newClockWatch(client, log, metrics)
			lc.Append(fx.StartStopHook(func(ctx context.Context) error {
				if err := redisclient.Ping(ctx, client); err != nil {
					if !errors.Is(err, redisclient.ErrAway) || !copy.Exists() {
						return err
					}
					log.Warn("redis is away; this process starts without it", "error", err)
				}
				w.start(relook, w.look)
				clock.start(clockEvery, clock.look)
				return nil
			}, func() error {
				w.stop()
				clock.stop()
				return client.Close()
			}))
			return redisResult{
				Client: client, Scrub: redisScrub{client}, Ahead: clock.ahead,
				Health: health.Check{Name: "redis", Check: w.check}, Clock: health.Check{Name: "clock", Check: clock.check},
			}, nil
		}),
		keyModule,
	)
}

type redisResult struct {
	fx.Out

	Client redis.UniversalClient
	Ahead  settings.Ahead
	Health health.Check     `group:"health"`
	Clock  health.Check     `group:"health"`
	Scrub  erasure.Scrubber `group:"scrub"`
}

// redisScrub has the servers write their logs anew, which hold what was deleted until
// then. A server that does not let us does so by itself once the log has doubled.
type redisScrub struct{ client redis.UniversalClient }

func (r redisScrub) Scrub(ctx context.Context) error {
	rewrite := func(ctx context.Context, c redis.Cmdable) error {
		err := c.BgRewriteAOF(ctx).Err()
		if err != nil && (strings.HasPrefix(err.Error(), "NOPERM") || strings.Contains(err.Error(), "already in progress") || strings.HasPrefix(err.Error(), "ERR unknown command")) {
			return nil
		}
		return err
	}
	var err error
	if cluster, ok := r.client.(*redis.ClusterClient); ok {
		err = cluster.ForEachShard(ctx, func(ctx context.Context, c *redis.Client) error { return rewrite(ctx, c) })
	} else {
		err = rewrite(ctx, r.client)
	}
	if err != nil {
		return fmt.Errorf("have Redis write its log anew: %w", err)
	}
	return nil
}

// relook is how often the servers are asked again: a failover may have brought
// one that is set otherwise.
const relook = time.Minute

// riskWatch looks for ways in which the servers would lose what they
// acknowledged, and tells the log, the metrics and readiness.
type riskWatch struct {
	looking
	client   redis.UniversalClient
	replicas int
	log      *slog.Logger
	gauge    *prometheus.GaugeVec

	mu    sync.Mutex
	known []redisclient.Risk
}

func newRiskWatch(client redis.UniversalClient, replicas int, log *slog.Logger, metrics prometheus.Registerer) *riskWatch {
	w := &riskWatch{client: client, replicas: replicas, log: log, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "pixel_redis_risk", Help: "How many Redis masters would lose writes that they acknowledged, by why.",
	}, []string{"risk"})}
	metrics.MustRegister(w.gauge)
	return w
}

func (w *riskWatch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := redisclient.Risks(ctx, w.client, w.replicas)
	if err != nil {
		return // that Redis is away is said by others
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	known := map[redisclient.Risk]bool{}
	for _, r := range w.known {
		known[r] = true
	}
	counts := map[string]int{}
	for _, r := range found {
		counts[r.Name]++
		if !known[r] {
			w.log.WarnContext(ctx, "redis may lose what was acknowledged", "risk", r.Name, "server", r.Server, "why", r.Message)
		}
	}
	for _, name := range redisclient.Names {
		w.gauge.WithLabelValues(name).Set(float64(counts[name]))
	}
	w.known = found
}

// check is nil, or a warning that leaves the process ready.
func (w *riskWatch) check(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) == 0 {
		return nil
	}
	lines := make([]string, len(w.known))
	for i, r := range w.known {
		lines[i] = r.Server + ": " + r.Message
	}
	return health.Warning(strings.Join(lines, "; "))
}

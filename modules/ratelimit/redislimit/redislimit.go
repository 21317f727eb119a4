// Package redislimit keeps the token buckets that replicas share in Redis, by the clock
// of Redis, so that it does not matter what those of the replicas say.
package redislimit

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/ratelimit"
)

// Module shares the limits through Redis.
var Module = fx.Provide(func(client redis.UniversalClient) ratelimit.Shared { return New(client) })

// Buckets are a ratelimit.Shared.
type Buckets struct{ client redis.UniversalClient }

// New returns the buckets of a Redis.
func New(client redis.UniversalClient) *Buckets { return &Buckets{client} }

// take refills a bucket, takes of it, and says what is left. A debt is never more than a
// burst, and a bucket that is full by then vanishes.
var take = redis.NewScript(`
local took, rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local was = redis.call('HMGET', KEYS[1], 'left', 'at')
local left, at = tonumber(was[1]) or burst, tonumber(was[2]) or now
left = math.max(-burst, math.min(burst, left + math.max(0, now - at) * rate) - took)
redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(2000 * burst / rate) + 1000)
return string.format('%.6f', left)`)

// Take is a ratelimit.Shared's.
func (b *Buckets) Take(ctx context.Context, l ratelimit.Limit, wants []ratelimit.Want) ([]float64, error) {
	left, err := b.take(ctx, l, wants)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		if err := b.load(ctx); err != nil {
			return nil, err
		}
		left, err = b.take(ctx, l, wants)
	}
	return left, err
}

func (b *Buckets) take(ctx context.Context, l ratelimit.Limit, wants []ratelimit.Want) ([]float64, error) {
	pipe := b.client.Pipeline()
	answers := make([]*redis.Cmd, len(wants))
	for i, w := range wants {
		answers[i] = take.EvalSha(ctx, pipe, []string{w.Key}, w.Took, l.Rate, l.Burst)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	left := make([]float64, len(wants))
	for i, a := range answers {
		text, err := a.Text()
		if err != nil {
			return nil, err
		}
		if left[i], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, fmt.Errorf("a bucket's answer: %w", err)
		}
	}
	return left, nil
}

// load teaches the script to whoever may be asked.
func (b *Buckets) load(ctx context.Context) error {
	if cluster, ok := b.client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return take.Load(ctx, c).Err() })
	}
	return take.Load(ctx, b.client).Err()
}

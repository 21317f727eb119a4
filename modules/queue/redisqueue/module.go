package redisqueue

import (
	"github.com/redis/go-redis/v9"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue"
)

// Module keeps the queues in Redis lists.
var Module = fx.Module("redisqueue", fx.Provide(provide))

type params struct {
	fx.In

	Lifecycle fx.Lifecycle
	Client    redis.UniversalClient
	Options   queue.Options
	Settings  Settings
	Spared    health.Spared `optional:"true"`
}

type result struct {
	fx.Out

	Queue     queue.Queue
	Inspector queue.Inspector
	Books     queue.Books
	Room      queue.Room
	Health    health.Check `group:"health"`
}

func provide(p params) result {
	q := New(p.Client, p.Options, p.Settings)
	p.Lifecycle.Append(fx.StopHook(q.Close))
	return result{Queue: q, Inspector: q, Books: q, Room: q, Health: health.Check{Name: "queue", Check: q.Check, Spared: bool(p.Spared)}}
}

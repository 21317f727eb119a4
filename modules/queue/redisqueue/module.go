package redisqueue

import (
	"github.com/redis/go-redis/v9"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue"
)

// Module keeps the queues in Redis lists.
var Module = fx.Module("redisqueue", fx.Provide(provide))

type result struct {
	fx.Out

	Queue     queue.Queue
	Inspector queue.Inspector
	Books     queue.Books
	Health    health.Check `group:"health"`
}

func provide(client redis.UniversalClient, opts queue.Options) result {
	q := New(client, opts)
	return result{Queue: q, Inspector: q, Books: q, Health: health.Check{Name: "queue", Check: q.Check}}
}

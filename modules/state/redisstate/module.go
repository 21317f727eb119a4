package redisstate

import (
	"github.com/redis/go-redis/v9"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/state"
)

// Module keeps the shared state in Redis.
var Module = fx.Module("redisstate", fx.Provide(provide))

type result struct {
	fx.Out

	Keys      state.Keys
	Documents state.Documents
	Store     state.Store
	Health    health.Check `group:"health"`
}

type params struct {
	fx.In

	Client redis.UniversalClient
	Spared health.Spared `optional:"true"`
}

func provide(p params) result {
	s := New(p.Client)
	return result{Keys: s, Documents: s, Store: s, Health: health.Check{Name: "state", Check: s.Check, Spared: bool(p.Spared)}}
}

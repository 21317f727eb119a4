package sqlitestate

import (
	"context"
	"log/slog"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
)

// Module keeps the state in the SQLite file "state_db", which must be its alone.
var Module = fx.Module("sqlitestate", fx.Provide(provide))

type params struct {
	fx.In

	Lifecycle fx.Lifecycle
	DB        *sqlitedb.DB `name:"state_db"`
	Log       *slog.Logger
}

type result struct {
	fx.Out

	Keys      state.Keys
	Documents state.Documents
	Store     state.Store
	Health    health.Check `group:"health"`
}

func provide(p params) (result, error) {
	s, err := New(p.DB)
	if err != nil {
		return result{}, err
	}
	p.Lifecycle.Append(fx.Hook{
		OnStart: func(context.Context) error {
			s.Start(p.Log)
			return nil
		},
		OnStop: func(context.Context) error {
			s.Stop()
			return s.Close()
		},
	})
	return result{Keys: s, Documents: s, Store: s, Health: health.Check{Name: "state", Check: s.Check}}, nil
}

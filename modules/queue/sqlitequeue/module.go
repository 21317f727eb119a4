package sqlitequeue

import (
	"log/slog"

	"go.uber.org/fx"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// Module keeps the queues in the SQLite file "queue_db", which must be theirs alone.
var Module = fx.Module("sqlitequeue", fx.Provide(provide))

type params struct {
	fx.In

	Lifecycle fx.Lifecycle
	DB        *sqlitedb.DB `name:"queue_db"`
	Options   queue.Options
	Log       *slog.Logger
}

type result struct {
	fx.Out

	Queue     queue.Queue
	Inspector queue.Inspector
	Books     queue.Books
	Room      queue.Room
	Health    health.Check `group:"health"`
}

func provide(p params) (result, error) {
	q, err := New(p.DB, p.Options)
	if err != nil {
		return result{}, err
	}
	p.Lifecycle.Append(fx.StartStopHook(func() { q.Start(p.Log) }, q.Close))
	return result{Queue: q, Inspector: q, Books: q, Room: q, Health: health.Check{Name: "queue", Check: q.Check}}, nil
}

package ledger

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/queue"
)

// Module checks the books where the console runs.
var Module = fx.Module("ledger", fx.Provide(provide))

func provide(lc fx.Lifecycle, b queue.Books, q queue.Inspector, events analytics.Reader, history analytics.History, log *slog.Logger, r prometheus.Registerer) (*Keeper, error) {
	k, err := NewKeeper(b, q, events, history, log.With("component", "ledger"), r, time.Now)
	if err != nil {
		return nil, err
	}
	lc.Append(fx.StartStopHook(k.Start, k.Stop))
	return k, nil
}

package collector

import (
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// entered adds to a request's items what the ledger is told of it. Each queue's
// books must balance alone, since what goes to one may be stored and what goes to
// another not: so what was received is counted where its event goes, and what goes
// nowhere with the most urgent of those.
func entered(items []queue.Item, account queue.Account, received int, a *answer) []queue.Item {
	home := ""
	for i, p := range event.Priorities {
		name, n := queue.Ingest(p), a.priorities[i]
		switch {
		case n == 0:
		case home == "":
			home = name
		default:
			items = append(items, queue.Item{Queue: name, Account: account, Stage: ledger.Received, N: int64(n)})
			received -= n
		}
	}
	if home == "" {
		home = queue.Ingest(event.Low)
	}
	items = append(items, queue.Item{Queue: home, Account: account, Stage: ledger.Received, N: int64(received)})
	if a.suppressed > 0 {
		items = append(items, queue.Item{Queue: home, Account: account, Stage: ledger.Suppressed, N: int64(a.suppressed)})
	}
	if a.rejected > 0 {
		items = append(items, queue.Item{Queue: home, Account: account, Stage: ledger.Rejected, N: int64(a.rejected)})
	}
	return items
}

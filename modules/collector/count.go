package collector

import (
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// entered adds to a request's items what the ledger is told of what goes nowhere.
// What was accepted is counted as received by its own item, so that the two stay
// together, whatever becomes of the rest.
func entered(items []queue.Item, account queue.Account, a *answer) []queue.Item {
	turned := int64(len(a.results)) // the second figure: by the items, not by what was decided
	for i := range items {
		if items[i].Stage == ledger.Received {
			turned -= items[i].N
		}
	}
	home := queue.Ingest(event.Low)
	for i, p := range event.Priorities {
		if a.priorities[i] > 0 {
			home = queue.Ingest(p) // which is written to anyway
			break
		}
	}
	if a.suppressed > 0 {
		items = append(items, queue.Item{Queue: home, Account: account, Stage: ledger.Suppressed, N: int64(a.suppressed)})
	}
	if a.rejected > 0 {
		items = append(items, queue.Item{Queue: home, Account: account, Stage: ledger.Rejected, N: int64(a.rejected)})
	}
	if turned > 0 {
		items = append(items, queue.Item{Queue: home, Account: account, Stage: ledger.Refused, N: turned})
	}
	return items
}

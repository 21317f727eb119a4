package dispatcher

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// verdict is what is done to the messages of a batch.
type verdict struct {
	ends   map[string][]*job // by what became of them
	retry  map[time.Time][]string
	buried map[string][]*job // by reason
	copies []*job            // in whose place a copy goes, since the queue would not give them again
	park   []*job            // go to where they wait for their route or for a decision
}

func newVerdict() *verdict {
	return &verdict{ends: map[string][]*job{}, retry: map[time.Time][]string{}, buried: map[string][]*job{}}
}

func (v *verdict) end(as string, j *job) { v.ends[as] = append(v.ends[as], j) }

func (v *verdict) bury(reason string, j *job) { v.buried[reason] = append(v.buried[reason], j) }

// putOff has a message come again at a time. The queue gives a message only so
// often; after that a copy takes its place, and the record keeps the time.
func (v *verdict) putOff(l *lane, j *job, at time.Time) {
	if m := l.limits.MaxDeliveries; m > 0 && j.message.Deliveries >= m {
		v.copies = append(v.copies, j)
		return
	}
	v.retry[at] = append(v.retry[at], j.message.ID)
}

// comeBack turns every end into a retry.
func (v *verdict) comeBack(l *lane, at time.Time) {
	for _, ends := range []map[string][]*job{v.ends, v.buried} {
		for _, jobs := range ends {
			for _, j := range jobs {
				v.putOff(l, j, at)
			}
		}
		clear(ends)
	}
}

// ends are messages by account and by what became of them, as the queue's books
// want it.
type ends map[endKey][]string

type endKey struct {
	account queue.Account
	outcome string
}

func (e ends) add(outcome string, m queue.Message) {
	k := endKey{m.Account, outcome}
	e[k] = append(e[k], m.ID)
}

func (e ends) list() []queue.End {
	out := make([]queue.End, 0, len(e))
	for k, ids := range e {
		out = append(out, queue.End{Account: k.account, Outcome: k.outcome, IDs: ids})
	}
	return out
}

// apply tells the queue. What fails comes back when its lease ends. Once the lease
// of what was pulled then is over, only what came to its end is told: all else is
// for the holder that the message has now to decide. It reports whether all was told.
func (l *lane) apply(ctx context.Context, v *verdict, pulled time.Time) bool {
	if l.lapsed(pulled) {
		v = &verdict{ends: v.ends}
	}
	name := queue.Partner(l.name)
	told := true
	failed := func(what string, err error) {
		if err != nil {
			told = false
			l.log.Warn("the queue did not take what became of a delivery", "operation", what, "error", err)
		}
	}
	all := ends{}
	for outcome, jobs := range v.ends {
		for _, j := range jobs {
			all.add(outcome, j.message)
		}
	}
	// What goes elsewhere is there before it is gone from here.
	var items []queue.Item
	moved := ends{}
	for _, j := range v.copies {
		items = append(items, queue.Item{Queue: name, Body: j.message.Body, Account: j.message.Account})
		moved.add(ledger.Moved, j.message)
	}
	var parked []queue.Item
	for _, j := range v.park {
		item, err := l.heldItem(j)
		if err != nil {
			failed("park", err) // it comes back
			continue
		}
		parked = append(parked, item)
		moved.add(ledger.Moved, j.message)
	}
	if items = append(items, parked...); len(items) > 0 {
		if err := l.queue.Push(ctx, items...); err != nil {
			failed("push", err)
		} else {
			l.released(parked)
			for k, ids := range moved {
				all[k] = append(all[k], ids...)
			}
		}
	}
	if len(all) > 0 {
		failed("settle", l.queue.Settle(ctx, name, all.list()...))
	}
	for _, at := range slices.SortedFunc(maps.Keys(v.retry), time.Time.Compare) {
		failed("retry", l.queue.Retry(ctx, name, at, v.retry[at]...))
	}
	for reason, jobs := range v.buried {
		failed("bury", l.queue.Bury(ctx, name, reason, messageIDs(jobs)...))
	}
	return told
}

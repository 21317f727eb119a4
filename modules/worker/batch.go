package worker

import (
	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// What becomes of an event, as metrics count it.
const (
	stored      = "stored"
	duplicate   = "duplicate"   // the same event came before
	repeated    = "repeated"    // the same purchase did, as another event
	revoked     = "revoked"     // the visitor withdrew consent after the event
	suppressed  = "suppressed"  // its signals do not allow keeping it any more
	undecodable = "undecodable" // buried
	poisoned    = "poisoned"    // buried: a step fails on it and on it alone
)

// item is one event on its way through the steps.
type item struct {
	message queue.Message
	event   event.Event
	// pixel is as it is set now; known is false if it was removed meanwhile.
	pixel settings.Pixel
	known bool
	// newest is the visitor's newest consent, nil if none is known.
	newest *consent.Newest
	// linked are the other visitors who are the same person, by the identity step; merged
	// is set where that changed by this event.
	linked []string
	merged bool
	// partners are those whose queues got it.
	partners []string
	// span is this event's part of a trace, nil if it is not traced.
	span trace.Span
}

// end is an event that a step took out.
type end struct {
	item    *item
	outcome string
	// bury is the reason to put the message among the dead letters; empty: it is
	// done.
	bury string
}

// entry is what the ledger is told of it.
func (e end) entry() string {
	switch e.outcome {
	case duplicate:
		return ledger.DuplicateFor("event", e.item.event.Source)
	case repeated:
		return ledger.DuplicateFor("order", e.item.event.Source)
	}
	return ledger.Purged // revoked or suppressed: consent took it back
}

// ends gathers messages by account and by what became of them.
type ends map[endKey][]string

type endKey struct {
	account queue.Account
	outcome string
}

func (e ends) add(m queue.Message, outcome string) {
	k := endKey{m.Account, outcome}
	e[k] = append(e[k], m.ID)
}

func (e ends) list() []queue.End {
	list := make([]queue.End, 0, len(e))
	for k, ids := range e {
		list = append(list, queue.End{Account: k.account, Outcome: k.outcome, IDs: ids})
	}
	return list
}

// batch is what the steps work on: each takes out what does not go on.
type batch struct {
	queue string
	items []*item
	ended []end
	// stored are the events as they are stored, once a step asked for them.
	stored []event.Event
	// writes is what the steps have to say of the events, to be stored with them.
	writes analytics.Batch
	// handed is what goes to the partners' queues.
	handed []queue.Item
}

func newBatch(name string, messages []queue.Message) *batch {
	b := &batch{queue: name, items: make([]*item, len(messages))}
	for i, m := range messages {
		b.items[i] = &item{message: m}
	}
	return b
}

// sort keeps the items for which outcome says "", and takes out the others.
func (b *batch) sort(outcome func(*item) string) {
	kept := b.items[:0]
	for _, it := range b.items {
		if o := outcome(it); o != "" {
			b.ended = append(b.ended, end{item: it, outcome: o})
		} else {
			kept = append(kept, it)
		}
	}
	b.items = kept
}

// kept are the events as they are stored: with the network instead of the address,
// and without a place in clear. From the first step that stores them on, none
// changes them and none is taken out.
func (b *batch) kept() []event.Event {
	if len(b.stored) != len(b.items) {
		b.stored = make([]event.Event, len(b.items))
		for i, it := range b.items {
			e := &b.stored[i]
			*e = it.event
			e.Context.IP = consent.Truncate(e.Context.IP)
			e.Subject.Locality, e.Crossing = event.Locality{}, event.Crossing{}
		}
	}
	return b.stored
}

// events are the items' events, to be changed in place.
func (b *batch) events() []*event.Event {
	list := make([]*event.Event, len(b.items))
	for i, it := range b.items {
		list[i] = &it.event
	}
	return list
}

// all are the items, also those that were taken out.
func (b *batch) all() []*item {
	list := append(make([]*item, 0, len(b.items)+len(b.ended)), b.items...)
	for _, e := range b.ended {
		list = append(list, e.item)
	}
	return list
}

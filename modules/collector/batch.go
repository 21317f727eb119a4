package collector

import (
	"net/http"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// maxStored bounds what one request may become: what the events share is stored
// with each of them.
const maxStored = 8 << 20

// batch is the memory that accept needs for one request, and uses again.
type batch struct {
	made    event.Event
	encoder event.Encoder
	bytes   []byte // of all events
	items   []queue.Item
	ends    []int // of each item's body in bytes; -1: it has its own

	// read is whether somebody may read bytes still.
	read bool

	// Of all messages of a request that holds several envelopes:
	before int                               // bytes of those done
	held   int64                             // bytes of room that are reserved
	told   map[consent.Visitor]event.Verdict // whose change of consent is recorded, and what it was
}

// keptBatch bounds what a batch keeps.
const keptBatch = 256 << 10

func (c *Collector) newBatch() *batch {
	if b, _ := c.batches.Get().(*batch); b != nil {
		return b
	}
	return &batch{}
}

func (c *Collector) reuse(b *batch) {
	c.room.give(b.held)
	if b.read || cap(b.bytes) > keptBatch {
		return
	}
	clear(b.items)
	*b = batch{encoder: b.encoder, bytes: b.bytes[:0], items: b.items[:0], ends: b.ends[:0]}
	c.batches.Put(b)
}

// next makes room for the next envelope of the same request, beside what the items point to.
func (b *batch) next() {
	b.before += len(b.bytes)
	clear(b.items)
	b.made, b.bytes, b.items, b.ends = event.Event{}, make([]byte, 0, firstRead/4), b.items[:0], b.ends[:0]
}

// hold reserves room for what a request becomes, which may be many times its body. A
// usual request needs none beside its body's.
func (c *Collector) hold(b *batch) error {
	n := int64(b.before + len(b.bytes))
	switch {
	case n > maxStored:
		return httpserver.NewProblem(http.StatusRequestEntityTooLarge, "too_large", "the events are too large together with what they share; send fewer at once")
	case n <= keptBatch || 2*n <= b.held:
		return nil
	}
	// Twice, since it grows by being copied; and in steps of a piece.
	more := 2*(n+keptBatch) - b.held
	if !c.room.take(more) {
		return busy()
	}
	b.held += more
	return nil
}

// add encodes one event, without what a state does not allow to keep, and where it
// must not be kept without what is sensitive.
func (b *batch) add(made *event.Event, state event.State, salt []byte, sensitive bool) {
	if state != event.Full {
		stripped := *made
		consent.Strip(&stripped, state, salt)
		made = &stripped
	}
	if sensitive {
		consent.StripSensitive(made)
	}
	if len(b.bytes) == 0 {
		b.encoder.Share(made)
	}
	b.bytes = b.encoder.Append(b.bytes, made)
	b.items = append(b.items, queue.Item{Queue: queue.Ingest(made.Priority)})
	b.ends = append(b.ends, len(b.bytes))
}

// finish gives the events' items their bodies, which are parts of bytes.
func (b *batch) finish(account queue.Account) {
	from := 0
	for i, end := range b.ends {
		if end >= 0 {
			b.items[i].Body, b.items[i].Account = b.bytes[from:end:end], account
			b.items[i].Stage, b.items[i].N = ledger.Received, 1
			from = end
		}
	}
}

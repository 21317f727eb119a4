package ledger

import (
	"strings"

	"github.com/miq/pixel/modules/queue"
)

// flow is what an account came to in one part of the way: in processing, which
// is the three ingest queues and their dead letters, or at one partner.
type flow struct {
	received, suppressed, rejected int64 // received: of what was accepted
	refused                        int64 // suppressed and rejected, counted otherwise
	// door is, by queue, by how much more was received for it than came in.
	door map[string]int64

	in, revived, buried, dropped     int64            // of the queues
	deadIn, deadRevived, deadDropped int64            // of their dead letters
	ended                            map[string]int64 // by outcome, without its detail
	total                            int64            // of ended
	routed                           map[string]int64 // stored and handed to a partner, by partner
	reasons                          map[string]int64 // not sent, by code
	repeats                          map[string]int64 // duplicates, by what told so and the way they came
}

// key names a flow; partner is empty for processing.
type key struct {
	queue.Account
	partner string
}

// read sorts counts into flows.
func read(counts []queue.Count) map[key]*flow {
	flows := map[key]*flow{}
	for _, c := range counts {
		partner, dead := place(c.Queue)
		k := key{c.Account, partner}
		f := flows[k]
		if f == nil {
			f = &flow{ended: map[string]int64{}}
			flows[k] = f
		}
		if dead {
			f.enterDead(c)
		} else {
			f.enter(c)
		}
	}
	return flows
}

// place says where a queue is on the way: in processing, or at a partner.
func place(name string) (partner string, dead bool) {
	box := name
	if dead = queue.IsDead(name); !dead {
		box = queue.DeadLetters(name)
	}
	if box == queue.Validation {
		return "", dead
	}
	return strings.TrimPrefix(box, queue.PartnerDead("")), dead
}

func (f *flow) enterDead(c queue.Count) {
	switch c.Stage {
	case queue.In:
		f.deadIn += c.N
	case queue.Revived:
		f.deadRevived += c.N
	case queue.Dropped:
		f.deadDropped += c.N
	}
}

func (f *flow) enter(c queue.Count) {
	add := func(m *map[string]int64, key string, n int64) {
		if *m == nil {
			*m = map[string]int64{}
		}
		(*m)[key] += n
	}
	switch c.Stage {
	case Received:
		f.received += c.N
		add(&f.door, c.Queue, c.N)
	case Suppressed:
		f.suppressed += c.N
	case Rejected:
		f.rejected += c.N
	case Refused:
		f.refused += c.N
	case queue.In:
		f.in += c.N
		add(&f.door, c.Queue, -c.N)
	case Moved:
		f.in -= c.N
	case queue.Revived:
		f.revived += c.N
	case queue.Buried:
		f.buried += c.N
	case queue.Dropped:
		f.dropped += c.N
	default:
		outcome, detail, _ := strings.Cut(c.Stage, ":")
		f.ended[outcome] += c.N
		f.total += c.N
		switch {
		case outcome == Stored && detail != "":
			for p := range strings.SplitSeq(detail, ",") {
				add(&f.routed, p, c.N)
			}
		case outcome == Duplicate && detail != "":
			add(&f.repeats, detail, c.N)
		case outcome == NotSent:
			if detail == "" {
				detail = "other"
			}
			add(&f.reasons, detail, c.N)
		}
	}
}

// waiting is what the books say is in the queues.
func (f *flow) waiting() int64 { return f.in + f.revived - f.buried - f.dropped - f.total }

// dead is what is among the dead letters of what was in the queues.
func (f *flow) dead() int64 { return f.buried - f.revived - f.deadDropped }

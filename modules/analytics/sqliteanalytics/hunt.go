package sqliteanalytics

import (
	"context"
	"database/sql"
	"slices"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// hunt is for the events that an erasure is about. Nobody keeps an index of visitors: they
// are found by their digests in columns, all in one pass, and with them where else these
// visitors were, which decides what is said of them in the sets of an hour or a day.
type hunt struct {
	analytics.Erasure
	to       int64
	visitors map[string]bool // those whose events go
	events   map[string]bool // the ids of others that go
	found    []int64         // by seq
	digests  map[uint64]bool // of the visitors of all of these
	upto     int64           // up to here it was looked
	visits   map[visit]int   // how many events of a visitor there are
}

// visit is a visitor in one hour or day of the pixel.
type visit struct{ level, bucket, visitor uint64 }

func visitsOf(at int64, visitor uint64) (out [2]visit) {
	for i, level := range [...]int64{anHour, aDay} {
		out[i] = visit{uint64(level), uint64(floor(at, level*micros)), visitor} //nolint:gosec // and back in slot
	}
	return out
}

func (v visit) slot(pixel string) slot {
	return slot{level: int64(v.level), bucket: int64(v.bucket), pixel: pixel} //nolint:gosec // they were
}

func (s *Store) hunt(ctx context.Context, e analytics.Erasure) (*hunt, error) {
	h := &hunt{Erasure: e, visitors: map[string]bool{}, events: map[string]bool{}, digests: map[uint64]bool{}, visits: map[visit]int{}}
	_, h.to = within(e.Until, e.Until)
	gone := map[uint64]bool{}
	for _, v := range e.Visitors {
		if v != "" {
			h.visitors[v], gone[digest(v)], h.digests[digest(v)] = true, true, true
		}
	}
	for _, id := range e.Events {
		h.events[id] = true
	}
	err := s.snapshot(ctx, "look for events", func(tx *sql.Tx) error {
		for ids := range slices.Chunk(e.Events, eraseChunk) {
			w := where{}
			w.equal("pixel_id", e.PixelID)
			w.in("id", ids)
			if err := s.events(ctx, tx, func(seq int64, e *event.Event) bool {
				if h.wants(e) && !h.visitors[e.Subject.VisitorID] {
					h.found = append(h.found, seq)
					if v := e.Subject.VisitorID; v != "" {
						h.digests[digest(v)] = true
					}
				}
				return true
			}, w.clause(), w.args...); err != nil {
				return err
			}
		}
		return h.look(ctx, tx, s, func(seq, at int64, visitor uint64) {
			if gone[visitor] && at < h.to {
				h.found = append(h.found, seq)
			}
		})
	})
	slices.Sort(h.found)
	return h, err
}

// wants reports whether an event goes.
func (h *hunt) wants(e *event.Event) bool {
	return e.PixelID == h.PixelID && e.ReceivedAt.UnixMicro() < h.to && (h.events[e.ID] || h.visitors[e.Subject.VisitorID])
}

// goOn takes in what was written since.
func (h *hunt) goOn(ctx context.Context, tx *sql.Tx, s *Store) error {
	return h.look(ctx, tx, s, func(_, _ int64, _ uint64) {})
}

// look finds what the visitors did behind where it was looked already.
func (h *hunt) look(ctx context.Context, tx *sql.Tx, s *Store, f func(seq, at int64, visitor uint64)) error {
	if len(h.digests) == 0 {
		return nil
	}
	last := h.upto
	conds := []analytics.Condition{analytics.Is("pixel_id", h.PixelID)}
	err := s.partsAfter(ctx, tx, h.upto, -far, far, func(p *part) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		last = max(last, p.last)
		visitors, some, err := visitorsIn(p, h.digests)
		if err != nil || !some {
			return err
		}
		of, some, err := picks(p, conds)
		if err != nil || !some {
			return err
		}
		of = append(of, visitors)
		digests, err := p.column(colVisitor)
		if err != nil {
			return err
		}
		at, err := p.column(colAt)
		if err != nil {
			return err
		}
		seq, err := p.column(colSeq)
		if err != nil {
			return err
		}
		for row, at := range at.ints {
			if seq.ints[row] <= h.upto || !holds(of, row) {
				continue
			}
			visitor := digests.digests[digests.codes[row]]
			for _, v := range visitsOf(at, visitor) {
				h.visits[v]++
			}
			f(seq.ints[row], at, visitor)
		}
		return nil
	})
	h.upto = last
	return err
}

// leave takes events that go out of the visits, and returns those of which nothing is
// left.
func (h *hunt) leave(gone []counted) (over []visit) {
	for i := range gone {
		if gone[i].visitor == "" {
			continue
		}
		for _, v := range visitsOf(gone[i].at, gone[i].visitorDigest()) {
			if h.visits[v]--; h.visits[v] == 0 {
				over = append(over, v)
			}
		}
	}
	return over
}

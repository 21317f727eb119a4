package sqliteanalytics

import (
	"context"
	"database/sql"
	"sync"
)

// waiting are the columns of events that are not rolled up yet: those behind a seq.
type waiting struct {
	after   int64
	batches []*batch
}

func (w *waiting) add(s *Store, c *counted, visitor uint64) {
	if n := len(w.batches); n == 0 || w.batches[n-1].full() {
		w.batches = append(w.batches, newBatch(s.rolled))
	}
	w.batches[len(w.batches)-1].add(c, visitor)
}

// last is the last event's seq.
func (w *waiting) last() int64 {
	if n := len(w.batches); n > 0 {
		return w.batches[n-1].last
	}
	return w.after
}

// parts are what it holds up to a seq.
func (w *waiting) parts(upto int64) (out []*part) {
	first := w.after + 1
	for _, b := range w.batches {
		p := partOf(b, first, upto, true)
		if p == nil {
			break
		}
		out, first = append(out, p), p.last+1
	}
	return out
}

// tail are the columns of the events that are not rolled up yet, as readers find them:
// those that whoever wrote the events counted, and else those that the first question
// behind them reads, each event once.
type tail struct {
	mu sync.Mutex // held for as long as it takes to add some events
	// now is what the writer adds to, in a transaction that may not be committed: a reader
	// takes what is up to the newest event that he sees. before is what was rolled up
	// since, for those who see the state before.
	now, before *waiting

	reading sync.Mutex // held while events are read
	cuts    int64      // the state that what was read is of
	read    waiting
}

// begin is for a writer who counts what he writes from here on.
func (t *tail) begin(w *waiting) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now, t.before = w, t.now
}

// lose is for what a writer counted and does not hold: it was rolled back, or deleted.
func (t *tail) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now, t.before = nil, nil
}

func (t *tail) parts(ctx context.Context, tx *sql.Tx, s *Store, p position) ([]*part, error) {
	if out, ok := t.counted(p); ok {
		return out, nil
	}
	t.reading.Lock()
	defer t.reading.Unlock()
	w := &t.read
	if t.cuts != p.cuts || w.after != p.rolled {
		t.cuts, *w = p.cuts, waiting{after: p.rolled}
	}
	if w.last() < p.newest {
		if err := s.count(ctx, tx, func(c *counted) { w.add(s, c, c.visitorDigest()) }, `seq > ? ORDER BY seq`, w.last()); err != nil {
			return nil, err
		}
	}
	return w.parts(p.newest), nil
}

func (t *tail) counted(p position) ([]*part, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range [...]*waiting{t.now, t.before} {
		if w != nil && w.after == p.rolled && w.last() >= p.newest {
			return w.parts(p.newest), true
		}
	}
	return nil, false
}

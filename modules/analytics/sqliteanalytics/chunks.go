package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/maypok86/otter/v2"
)

// part are events that follow one another by seq, as columns.
type part struct {
	first, last  int64 // no event between them is in another
	n            int
	since, until int64 // of receipt, both inclusive
	late         bool  // they are not rolled up yet
	column       func(name string) (*column, error)
}

// chunk is a part that is stored.
type chunk struct {
	id, first, last int64
	n               int
	since, until    int64
}

const (
	putChunk  = `INSERT INTO chunks (first, last, n, since, until) VALUES (?, ?, ?, ?, ?) RETURNING id`
	putColumn = `INSERT INTO chunk_columns (chunk, name, body) VALUES (?, ?, ?)`
)

// putChunks stores the events behind a seq up to another.
func (s *Store) putChunks(ctx context.Context, tx *sql.Tx, after, last int64, list []*batch) error {
	chunk, col := tx.StmtContext(ctx, s.putChunk), tx.StmtContext(ctx, s.putColumn)
	for i, b := range list {
		end := b.last
		if i == len(list)-1 {
			end = last
		}
		var id int64
		if err := chunk.QueryRowContext(ctx, after+1, end, b.n, b.since, b.until).Scan(&id); err != nil {
			return err
		}
		for name, c := range b.columns() {
			if _, err := col.ExecContext(ctx, id, name, c.encode()); err != nil {
				return err
			}
		}
		after = end
	}
	return nil
}

// cut takes away the chunks of events that are being deleted, in the same transaction;
// they come in the order of seq. What is in memory of the store holds no longer. Mend makes them anew of what is left.
func (s *Store) cut(ctx context.Context, tx *sql.Tx, list []int64) error {
	for len(list) > 0 {
		var c chunk
		err := tx.QueryRowContext(ctx, `SELECT id, first, last FROM chunks WHERE last >= ? ORDER BY last LIMIT 1`, list[0]).Scan(&c.id, &c.first, &c.last)
		if err == sql.ErrNoRows { //nolint:errorlint // QueryRow wraps nothing
			break
		}
		if err != nil {
			return err
		}
		hit := false
		for len(list) > 0 && list[0] <= c.last {
			hit = hit || list[0] >= c.first
			list = list[1:]
		}
		if hit {
			if _, err := tx.ExecContext(ctx, `DELETE FROM chunks WHERE id = ?`, c.id); err != nil {
				return err
			}
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE rolled SET cuts = cuts + 1`)
	return err
}

func chunks(ctx context.Context, tx *sql.Tx) (list []chunk, err error) {
	var c chunk
	err = each(ctx, tx, `SELECT id, first, last, n, since, until FROM chunks ORDER BY last`, nil,
		[]any{&c.id, &c.first, &c.last, &c.n, &c.since, &c.until}, func() { list = append(list, c) })
	return list, err
}

// seqs are those from one to another, both inclusive.
type seqs struct{ first, last int64 }

// gaps are what no chunk stands for of the events that are rolled up.
func gaps(ctx context.Context, tx *sql.Tx, list []chunk, rolled int64) (out []seqs, err error) {
	var oldest int64
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(min(seq), 0) FROM events`).Scan(&oldest); err != nil || oldest == 0 {
		return nil, err
	}
	for _, c := range append(list, chunk{first: rolled + 1, last: rolled}) {
		if oldest < c.first {
			var some int
			if err := countOf(ctx, tx, &some, `(SELECT 1 FROM events WHERE seq >= ? AND seq < ? LIMIT 1)`, []any{oldest, c.first}); err != nil {
				return nil, err
			}
			if some > 0 {
				out = append(out, seqs{oldest, c.first - 1})
			}
		}
		oldest = max(oldest, c.last+1)
	}
	return out, nil
}

// parts are the events that were received at a time, and some more: those that are rolled
// up from chunks, the others as they are kept in memory. Both in the order of seq.
func (s *Store) parts(ctx context.Context, tx *sql.Tx, from, to int64, f func(*part) error) error {
	p, err := place(ctx, tx)
	if err != nil {
		return err
	}
	list, err := chunks(ctx, tx)
	if err != nil {
		return err
	}
	open, err := gaps(ctx, tx, list, p.rolled)
	if err != nil {
		return err
	}
	for _, c := range list {
		if c.until < from || c.since >= to {
			continue
		}
		err := f(&part{first: c.first, last: c.last, n: c.n, since: c.since, until: c.until, column: func(name string) (*column, error) { return s.column(ctx, tx, c.id, name) }})
		if err != nil {
			return err
		}
	}
	for _, g := range open {
		if err := s.unchunked(ctx, tx, g, from, to, false, f); err != nil {
			return err
		}
	}
	if p.newest-p.rolled > 4*s.rollEvery { // more than is kept: an older version's store is being caught up with
		return s.unchunked(ctx, tx, seqs{p.rolled + 1, p.newest}, from, to, true, f)
	}
	batches, err := s.tail.read(ctx, tx, s, p)
	if err != nil {
		return err
	}
	for _, b := range batches {
		if b.until < from || b.since >= to {
			continue
		}
		if err := f(b); err != nil {
			return err
		}
	}
	return nil
}

// column reads a chunk's, or has it in memory.
func (s *Store) column(ctx context.Context, tx *sql.Tx, chunk int64, name string) (*column, error) {
	k := columnKey{chunk, name}
	if c, ok := s.columns.GetIfPresent(k); ok {
		return c, nil
	}
	var body []byte
	if err := tx.QueryRowContext(ctx, `SELECT body FROM chunk_columns WHERE chunk = ? AND name = ?`, chunk, name).Scan(&body); err != nil {
		return nil, fmt.Errorf("read column %s of chunk %d: %w", name, chunk, err)
	}
	c, err := decodeColumn(name, body)
	if err != nil {
		return nil, fmt.Errorf("chunk %d: %w", chunk, err)
	}
	s.columns.Set(k, c)
	return c, nil
}

type columnKey struct {
	chunk int64
	name  string
}

// columnMemory is how many bytes of columns are kept in memory: a few of two million
// events.
const columnMemory = 64 << 20

func newColumns() (*otter.Cache[columnKey, *column], error) {
	return otter.New(&otter.Options[columnKey, *column]{
		MaximumWeight: columnMemory,
		Weigher:       func(_ columnKey, c *column) uint32 { return uint32(c.weight()) }, //nolint:gosec // some ten thousand
	})
}

// partOf is a batch as it is now.
func partOf(b *batch, first int64, late bool) *part {
	all := b.columns()
	return &part{first: first, last: b.last, n: b.n, since: b.since, until: b.until, late: late, column: func(name string) (*column, error) {
		if c := all[name]; c != nil {
			return c, nil
		}
		return nil, fmt.Errorf("there is no column %s", name)
	}}
}

// unchunked reads events one by one, where nothing better is there.
func (s *Store) unchunked(ctx context.Context, tx *sql.Tx, of seqs, from, to int64, late bool, f func(*part) error) error {
	for of.first <= of.last {
		b := newBatch(s.rolled)
		err := s.count(ctx, tx, func(c *counted) { b.add(c, c.visitorDigest()) },
			`seq >= ? AND seq <= ? AND +received_at >= ? AND +received_at < ? ORDER BY seq LIMIT ?`, of.first, of.last, from, to, chunkRows)
		if err != nil || b.n == 0 {
			return err
		}
		if err := f(partOf(b, of.first, late)); err != nil {
			return err
		}
		of.first = b.last + 1
	}
	return nil
}

// tail keeps in memory the columns of the events that are not rolled up yet: each is read
// once, by the first question that comes after it. It costs writers nothing.
type tail struct {
	mu          sync.Mutex
	cuts, after int64 // the state that it is of
	upto        int64
	batches     []*batch
}

func (t *tail) read(ctx context.Context, tx *sql.Tx, s *Store, p position) ([]*part, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cuts != p.cuts || t.after != p.rolled {
		t.cuts, t.after, t.upto, t.batches = p.cuts, p.rolled, p.rolled, nil
	}
	if t.upto < p.newest {
		err := s.count(ctx, tx, func(c *counted) {
			if len(t.batches) == 0 || t.batches[len(t.batches)-1].full() {
				t.batches = append(t.batches, newBatch(s.rolled))
			}
			t.batches[len(t.batches)-1].add(c, c.visitorDigest())
			t.upto = c.seq
		}, `seq > ? ORDER BY seq`, t.upto)
		if err != nil {
			return nil, err
		}
	}
	out, first := make([]*part, len(t.batches)), t.after+1
	for i, b := range t.batches {
		out[i] = partOf(b, first, true)
		first = b.last + 1
	}
	return out, nil
}

// Mend makes chunks of events that are rolled up and have none: of what is left where
// some were deleted.
func (s *Store) Mend(ctx context.Context) error {
	for more := true; more; {
		err := s.alone(ctx, "make chunks", 1, func(tx *sql.Tx) error {
			more = false
			p, err := place(ctx, tx)
			if err != nil {
				return err
			}
			list, err := chunks(ctx, tx)
			if err != nil {
				return err
			}
			open, err := gaps(ctx, tx, list, p.rolled)
			if err != nil || len(open) == 0 {
				return err
			}
			more = true
			b := newBatch(s.rolled)
			if err := s.count(ctx, tx, func(c *counted) { b.add(c, c.visitorDigest()) }, `seq >= ? AND seq <= ? ORDER BY seq LIMIT ?`, open[0].first, open[0].last, chunkRows); err != nil {
				return err
			}
			last := open[0].last
			if b.full() {
				last = b.last
			}
			return s.putChunks(ctx, tx, open[0].first-1, last, []*batch{b})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

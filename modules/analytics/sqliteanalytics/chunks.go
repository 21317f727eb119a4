package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

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
		for name, c := range b.columns(b.n) {
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

// cover is where the columns of all events are, in the order of seq.
type cover struct {
	position
	chunks []*part
	gaps   []seqs  // rolled up, and in no chunk
	tail   []*part // not rolled up yet
	waits  []seqs  // or these, which are more than is kept in memory: an older version's store is being caught up with
}

// cover finds the columns of the events behind a seq, and of some before it.
func (s *Store) cover(ctx context.Context, tx *sql.Tx, after int64) (c cover, err error) {
	if c.position, err = place(ctx, tx); err != nil {
		return c, err
	}
	list, err := chunks(ctx, tx)
	if err != nil {
		return c, err
	}
	if c.gaps, err = gaps(ctx, tx, list, c.rolled); err != nil {
		return c, err
	}
	c.gaps = slices.DeleteFunc(c.gaps, func(g seqs) bool { return g.last <= after })
	for _, one := range list {
		if one.last > after {
			c.chunks = append(c.chunks, &part{first: one.first, last: one.last, n: one.n, since: one.since, until: one.until,
				column: func(name string) (*column, error) { return s.column(ctx, tx, one.id, name) }})
		}
	}
	if c.newest-c.rolled > 4*s.rollEvery {
		c.waits = []seqs{{max(c.rolled, after) + 1, c.newest}}
		return c, nil
	}
	if c.tail, err = s.tail.parts(ctx, tx, s, c.position); err != nil {
		return c, err
	}
	c.tail = slices.DeleteFunc(c.tail, func(p *part) bool { return p.last <= after })
	return c, nil
}

// during is where the events of a time are, and more.
func (c *cover) during(from, to int64) []seqs {
	out := slices.Concat(c.gaps, c.waits)
	for _, p := range slices.Concat(c.chunks, c.tail) {
		if p.until >= from && p.since < to {
			out = append(out, seqs{p.first, p.last})
		}
	}
	slices.SortFunc(out, func(x, y seqs) int { return cmp.Compare(x.first, y.first) })
	return out
}

// parts are the events that were received at a time, and some more: those that are rolled
// up from chunks, the others as they are kept in memory. Both in the order of seq.
func (s *Store) parts(ctx context.Context, tx *sql.Tx, from, to int64, f func(*part) error) error {
	return s.partsAfter(ctx, tx, 0, from, to, f)
}

// partsAfter are those of the events behind a seq, and of some before it.
func (s *Store) partsAfter(ctx context.Context, tx *sql.Tx, after, from, to int64, f func(*part) error) error {
	c, err := s.cover(ctx, tx, after)
	if err != nil {
		return err
	}
	for _, of := range []struct {
		parts []*part
		bare  []seqs
		late  bool
	}{{c.chunks, c.gaps, false}, {c.tail, c.waits, true}} {
		for _, p := range of.parts {
			if p.until < from || p.since >= to {
				continue
			}
			if err := f(p); err != nil {
				return err
			}
		}
		for _, g := range of.bare {
			if err := s.unchunked(ctx, tx, g, from, to, of.late, f); err != nil {
				return err
			}
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
	if name == colWho {
		pixels, err := s.column(ctx, tx, chunk, "pixel_id")
		if err != nil {
			return nil, err
		}
		visitors, err := s.column(ctx, tx, chunk, colVisitor)
		if err != nil {
			return nil, err
		}
		c := whoColumn(pixels, visitors)
		s.columns.Set(k, c)
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

// partOf is a batch up to a seq, as it is now; none where it begins later.
func partOf(b *batch, first, upto int64, late bool) *part {
	n := b.n
	if b.last > upto {
		n, _ = slices.BinarySearch(b.seq, upto+1)
	}
	if n == 0 {
		return nil
	}
	all := b.columns(n)
	return &part{first: first, last: b.seq[n-1], n: n, since: b.since, until: b.until, late: late, column: func(name string) (*column, error) {
		if c := all[name]; c != nil {
			return c, nil
		}
		if name == colWho {
			all[name] = whoColumn(all["pixel_id"], all[colVisitor])
			return all[name], nil
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
		if err := f(partOf(b, of.first, of.last, late)); err != nil {
			return err
		}
		of.first = b.last + 1
	}
	return nil
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
			if err != nil {
				return err
			}
			if len(open) == 0 {
				if open, err = outdated(ctx, tx); err != nil || len(open) == 0 {
					return err
				}
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

// outdated takes away a chunk of before there were all the columns of today.
func outdated(ctx context.Context, tx *sql.Tx) (of []seqs, err error) {
	var one seqs
	err = each(ctx, tx, `DELETE FROM chunks WHERE id = (SELECT id FROM chunks WHERE id NOT IN (SELECT chunk FROM chunk_columns WHERE name = ?) LIMIT 1) RETURNING first, last`,
		[]any{colValue}, []any{&one.first, &one.last}, func() { of = append(of, one) })
	return of, err
}

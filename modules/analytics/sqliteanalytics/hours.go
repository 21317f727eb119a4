package sqliteanalytics

import (
	"context"
	"database/sql"
)

// hours keep in memory what the rows of each hour come to, once somebody asked. Nobody
// but this process writes the store, and what was written is noted by the hour.
type hours[T any] struct {
	turns
	changed noted[int64] // hours
	// span asks for the least and the greatest time of a row; two nulls: there is none.
	span string
	// read tells of the rows from a time to before another, in the order of time: of gives
	// what is told of an hour.
	read func(ctx context.Context, tx *sql.Tx, from, to int64, of func(hour int64) *T) error
	// weigh is how much of an hour there is to be kept, and most about how much is kept:
	// what is asked for beyond is read each time.
	weigh func(*T) int
	most  int

	cuts   int64 // the state of deletions that they are of
	known  map[int64]*T
	weight int
}

// longestKept is how many hours are asked of memory: two months.
const longestKept = 62 * 24

// with calls f with what there is from a time to before another, hour by hour.
func (m *hours[T]) with(ctx context.Context, s *Store, from, to int64, f func(hour int64, of *T)) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer m.give()
	changed, over := m.changed.take()
	if over {
		m.known = nil
	}
	for h := range changed {
		if of := m.known[h]; of != nil {
			m.weight -= m.weigh(of)
		}
		delete(m.known, h)
	}
	return s.snapshot(ctx, "read what hours come to", func(tx *sql.Tx) error {
		var least, most sql.NullInt64
		if err := tx.QueryRowContext(ctx, m.span).Scan(&least, &most); err != nil || !least.Valid {
			return err
		}
		// Of hours that are asked for as far as there is anything in them the whole is.
		if from <= least.Int64 {
			from = floor(least.Int64, hour) * hour
		}
		if to > most.Int64 {
			to = (floor(most.Int64, hour) + 1) * hour
		}
		if from >= to {
			return nil
		}
		first, end := -floor(-from, hour), floor(to, hour)
		if first >= end || end-first > longestKept {
			return m.apart(ctx, tx, from, to, f)
		}
		p, err := place(ctx, tx)
		if err != nil {
			return err
		}
		if m.known == nil || m.cuts != p.cuts {
			m.known, m.cuts, m.weight = map[int64]*T{}, p.cuts, 0
		}
		if m.weight > m.most {
			m.keepOnly(first, end)
		}
		if err := m.apart(ctx, tx, from, first*hour, f); err != nil {
			return err
		}
		for h := first; h < end; h++ {
			_, known := m.known[h]
			if !known && m.weight > m.most {
				if err := m.apart(ctx, tx, h*hour, (h+1)*hour, f); err != nil {
					return err
				}
				continue
			}
			if !known {
				if err := m.load(ctx, tx, h, min(h+24, end)); err != nil {
					return err
				}
			}
			if of := m.known[h]; of != nil {
				f(h, of)
			}
		}
		return m.apart(ctx, tx, end*hour, to, f)
	})
}

// keepOnly lets the hours go that are not asked for.
func (m *hours[T]) keepOnly(first, end int64) {
	for h, of := range m.known {
		if h >= first && h < end {
			continue
		}
		if of != nil {
			m.weight -= m.weigh(of)
		}
		delete(m.known, h)
	}
}

// apart reads what is not kept.
func (m *hours[T]) apart(ctx context.Context, tx *sql.Tx, from, to int64, f func(int64, *T)) error {
	if from >= to {
		return nil
	}
	at, of := int64(0), (*T)(nil)
	err := m.read(ctx, tx, from, to, func(h int64) *T {
		if of == nil || h != at {
			if of != nil {
				f(at, of)
			}
			at, of = h, new(T)
		}
		return of
	})
	if err == nil && of != nil {
		f(at, of)
	}
	return err
}

// load reads an hour that is not known, and those after it up to one that is or the end.
func (m *hours[T]) load(ctx context.Context, tx *sql.Tx, first, end int64) error {
	until := first + 1
	for ; until < end; until++ {
		if _, known := m.known[until]; known {
			break
		}
	}
	read := map[int64]*T{}
	err := m.read(ctx, tx, first*hour, until*hour, func(h int64) *T {
		of := read[h]
		if of == nil {
			of = new(T)
			read[h] = of
		}
		return of
	})
	if err != nil {
		return err
	}
	for h := first; h < until; h++ {
		of := read[h]
		if m.known[h] = of; of != nil {
			m.weight += m.weigh(of)
		}
	}
	return nil
}

package sqliteanalytics

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"sort"

	"github.com/miq/pixel/modules/analytics"
)

// walk is a way through events as columns: those that were received in some pieces of
// time and fulfil conditions.
type walk struct {
	conds []analytics.Condition
	// early are the pieces that events which are rolled up are wanted of, in the order of
	// time; late those of the others.
	early, late []piece
	group       string // the dimension to group by; empty: none
	amounts     string // a column: events without such an amount are left out; empty: none is
}

// taken are the rows of a part that fulfil what is asked.
type taken struct {
	*part
	rows  []int32
	steps []int32 // of the rows
	// No row's step is before the first of them or behind the last.
	first, last int32
	// codes are of all rows of the part, and texts say which groups they stand for; nil
	// without groups.
	codes []uint16
	texts []string
}

// of is the group of a row.
func (t *taken) of(row int32) string {
	if t.codes == nil {
		return ""
	}
	return t.texts[t.codes[row]]
}

// pick are the rows whose value is one of those that are asked for.
type pick struct {
	codes []uint16
	ok    []bool
}

// picks are the conditions on a part; none is left where no row can fulfil all.
func picks(p *part, conds []analytics.Condition) (list []pick, some bool, err error) {
	for _, c := range conds {
		col, err := p.column(c.Dimension)
		if err != nil {
			return nil, false, err
		}
		in := make(map[string]bool, len(c.Values))
		for _, v := range c.Values {
			in[v] = true
		}
		ok, n := make([]bool, len(col.texts)), 0
		for i, v := range col.texts {
			if ok[i] = in[v] != c.Not; ok[i] {
				n++
			}
		}
		switch n {
		case 0:
			return nil, false, nil
		case len(ok): // nothing to look at
		default:
			list = append(list, pick{col.codes, ok})
		}
	}
	return list, true, nil
}

func holds(list []pick, row int) bool {
	for _, p := range list {
		if !p.ok[p.codes[row]] {
			return false
		}
	}
	return true
}

// among leaves of some rows those that it picks, in their place.
func (p pick) among(rows []int32) []int32 {
	n := 0
	for _, row := range rows {
		rows[n] = row
		n += bit(p.ok[p.codes[row]])
	}
	return rows[:n]
}

// bit is a truth as a number, which a processor counts without having to guess it.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// touches reports whether a piece could hold an event of the part.
func touches(list []piece, since, until int64) bool {
	i := sort.Search(len(list), func(i int) bool { return list[i].to > since })
	return i < len(list) && list[i].from <= until
}

// covers is the piece that holds all of a part.
func covers(list []piece, since, until int64) (now piece, ok bool) {
	i := sort.Search(len(list), func(i int) bool { return list[i].to > since })
	if i == len(list) || list[i].from > since || list[i].to <= until {
		return now, false
	}
	return list[i], true
}

// walk calls f with what it finds in each part. What f is handed is its own only until it
// returns.
func (s *Store) walk(ctx context.Context, tx *sql.Tx, w walk, f func(*taken) error) error {
	from, to := far, -far
	for _, list := range [][]piece{w.early, w.late} {
		if len(list) > 0 {
			from, to = min(from, list[0].from), max(to, list[len(list)-1].to)
		}
	}
	t := taken{}
	var rows, steps []int32
	return s.parts(ctx, tx, from, to, func(p *part) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		list := w.early
		if p.late {
			list = w.late
		}
		if !touches(list, p.since, p.until) {
			return nil
		}
		conds, some, err := picks(p, w.conds)
		if err != nil || !some {
			return err
		}
		t.part, t.codes, t.texts = p, nil, nil
		if w.group != "" {
			c, err := p.column(w.group)
			if err != nil {
				return err
			}
			t.codes, t.texts = c.codes, c.texts
		}
		if rows, err = w.candidates(p, rows[:0]); err != nil {
			return err
		}
		for _, c := range conds {
			rows = c.among(rows)
		}
		if len(rows) == 0 {
			return nil
		}
		steps = slices.Grow(steps[:0], len(rows))[:len(rows)]
		t.first, t.last = math.MaxInt32, -1
		if now, ok := covers(list, p.since, p.until); ok {
			t.first = int32(now.step) //nolint:gosec // they are few
			t.last = t.first
			for i := range steps {
				steps[i] = t.first
			}
			t.rows, t.steps = rows, steps
			return f(&t)
		}
		at, err := p.column(colAt)
		if err != nil {
			return err
		}
		now, step, n := piece{}, int32(0), 0
		for _, row := range rows {
			if at := at.ints[row]; at < now.from || at >= now.to {
				i := sort.Search(len(list), func(i int) bool { return list[i].to > at })
				if i == len(list) || list[i].from > at {
					continue
				}
				now, step = list[i], int32(list[i].step) //nolint:gosec // they are few
				t.first, t.last = min(t.first, step), max(t.last, step)
			}
			rows[n], steps[n] = row, step
			n++
		}
		if t.rows, t.steps = rows[:n], steps[:n]; n == 0 {
			return nil
		}
		return f(&t)
	})
}

// candidates are the rows of a part that the walk could take.
func (w walk) candidates(p *part, rows []int32) ([]int32, error) {
	if w.amounts == "" {
		rows = slices.Grow(rows, p.n)[:p.n]
		for row := range rows {
			rows[row] = int32(row) //nolint:gosec // chunkRows bounds it
		}
		return rows, nil
	}
	c, err := p.column(w.amounts)
	if err != nil {
		return nil, err
	}
	for _, row := range c.rows {
		rows = append(rows, int32(row))
	}
	return rows, nil
}

// conditions are all that the question asks of an event.
func (q question) conditions() []analytics.Condition {
	list := slices.Clone(q.where)
	for d, v := range map[string]string{"pixel_id": q.pixel, "name": q.name} {
		if v != "" {
			list = append(list, analytics.Is(d, v))
		}
	}
	if len(q.only) > 0 {
		list = append(list, analytics.Is(q.dimension, q.only...))
	}
	return list
}

// way is the question's walk: early are the pieces of what no roll-up answers.
func (q question) way(early []piece) walk {
	from, to := within(q.since, q.until)
	return walk{conds: q.conditions(), early: early, late: pieces(q.starts, from, to)[0], group: q.dimension, amounts: q.amounts()}
}

// whole is the walk where no roll-up answers anything.
func (q question) whole() walk {
	w := q.way(nil)
	w.early = w.late
	return w
}

// addSums adds up what a walk finds.
func (s *Store) addSums(ctx context.Context, tx *sql.Tx, w walk, steps int, sums map[figure]*sum) error {
	found := newCells[sum](steps)
	err := s.walk(ctx, tx, w, func(t *taken) error {
		found.begin(t)
		if w.amounts == "" {
			for i, row := range t.rows {
				found.of(t, row, t.steps[i]).events++
			}
			return nil
		}
		c, err := t.column(w.amounts)
		if err != nil {
			return err
		}
		k := 0
		for i, row := range t.rows {
			for int32(c.rows[k]) < row { // both ascend
				k++
			}
			if one := found.of(t, row, t.steps[i]); w.amounts == colRevenue {
				one.revenue += c.amounts[k]
			} else {
				one.base += c.amounts[k]
			}
		}
		return nil
	})
	found.each(func(f figure, v *sum) {
		switch {
		case *v == sum{}:
		case sums[f] == nil:
			sums[f] = v
		default:
			sums[f].add(*v)
		}
	})
	return err
}

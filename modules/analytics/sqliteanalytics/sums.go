package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sort"

	"github.com/miq/pixel/modules/analytics"
)

// sumsOf answers from the roll-ups of one dimension: whole days and hours from
// them, what lies before and after from single events, and so what is not rolled
// up yet.
func (s *Store) sumsOf(ctx context.Context, tx *sql.Tx, q question, dimension string) (map[figure]float64, error) {
	known, err := place(ctx, tx)
	if err != nil {
		return nil, err
	}
	sums := map[figure]*sum{}
	var f figure
	var v sum
	add := func() {
		if sums[f] == nil {
			sums[f] = &sum{}
		}
		sums[f].add(v)
	}
	levels := []int64{aDay, anHour}
	if dimension == "" {
		levels = append(levels, minute)
	}
	from, to := within(q.since, q.until)
	for level, list := range pieces(q.starts, from, to, levels...) {
		if level != 0 && dimension != "" {
			if err := q.binned(ctx, tx, level, list, dimension, sums); err != nil {
				return nil, err
			}
			continue
		}
		w := where{}
		query := ""
		if level == 0 {
			w.add("received_at >= a AND received_at < b AND +seq <= ?", known.rolled)
			query = `SELECT i, ` + q.group(same) + `, count(*), total(iif(name = 'purchase', round(value * 1000000), 0)), total(iif(name = 'purchase', round(base_value * 1000000), 0))
				FROM steps CROSS JOIN events`
		} else {
			w.add("level = ? AND bucket >= a AND bucket < b", level)
			query = `SELECT i, ` + q.group(same) + `, sum(events), total(revenue), total(base) FROM steps CROSS JOIN rollups`
		}
		q.selects(&w, same)
		err := each(ctx, tx, table(list)+query+w.String()+` GROUP BY 1, 2`, w.args, []any{&f.step, &f.group, &v.events, &v.revenue, &v.base}, add)
		if err != nil {
			return nil, err
		}
	}
	var at int64
	var name string
	var revenue, base sql.NullFloat64
	err = q.waiting(ctx, tx, known.rolled, q.group(same)+`, name, value, base_value`, []any{&at, &f.group, &name, &revenue, &base}, func() {
		f.step, v = q.step(at), one(name, revenue, base)
		add()
	})
	if err != nil {
		return nil, err
	}
	out := make(map[figure]float64, len(sums))
	for f, v := range sums {
		switch q.metric {
		case analytics.MetricRevenue:
			out[f] = v.revenue / 1e6
		case analytics.MetricBaseRevenue:
			out[f] = v.base / 1e6
		default:
			out[f] = float64(v.events)
		}
	}
	return out, nil
}

// binned adds what the bins of some hours or days hold.
func (q question) binned(ctx context.Context, tx *sql.Tx, level int64, list []piece, dimension string, sums map[figure]*sum) error {
	key := dimension
	if q.asks("name") {
		key = byName + dimension
	}
	w := where{}
	w.add("dimension = ? AND level = ? AND bucket >= a AND bucket < b", key, level)
	of, column := q.apart(dimension), q.dimension
	of.selects(&w, same)
	if column == "" || column == dimension {
		column = "''"
	}
	asked := q.values(dimension)
	var f figure
	var blob sql.RawBytes
	var broken error
	err := each(ctx, tx, table(list)+`SELECT i, `+column+`, sums FROM steps CROSS JOIN sums`+w.String(), w.args, []any{&f.step, &f.group, &blob}, func() {
		for rest := []byte(blob); len(rest) > 0 && broken == nil; {
			var value []byte
			var v sum
			if value, v, rest, broken = cutSum(rest); broken != nil || !asked(value) {
				continue
			}
			// A key made within the brackets costs no string.
			s := sums[figure{f.step, f.group}]
			if q.dimension == dimension {
				s = sums[figure{f.step, string(value)}]
			}
			if s == nil {
				k := f
				if q.dimension == dimension {
					k.group = string(value)
				}
				s = &sum{}
				sums[k] = s
			}
			s.add(v)
		}
	})
	if err == nil && broken != nil {
		err = fmt.Errorf("the sums of %s: %w", dimension, broken)
	}
	return err
}

// apart is the question without what it asks of one dimension.
func (q question) apart(dimension string) question {
	q.where = slices.DeleteFunc(slices.Clone(q.where), func(c analytics.Condition) bool { return c.Dimension == dimension })
	if q.dimension == dimension {
		q.only = nil
	}
	return q
}

// values says what the question asks of one dimension's values.
func (q question) values(dimension string) func([]byte) bool {
	type set struct {
		not bool
		in  map[string]bool
	}
	var sets []set
	add := func(not bool, values []string) {
		in := make(map[string]bool, len(values))
		for _, v := range values {
			in[v] = true
		}
		sets = append(sets, set{not, in})
	}
	for _, c := range q.where {
		if c.Dimension == dimension {
			add(c.Not, c.Values)
		}
	}
	if q.dimension == dimension && len(q.only) > 0 {
		add(false, q.only)
	}
	return func(value []byte) bool {
		for _, s := range sets {
			if s.in[string(value)] == s.not {
				return false
			}
		}
		return true
	}
}

// waiting reads the question's events that are not rolled up yet: when each was
// received, and then the columns.
func (q question) waiting(ctx context.Context, tx *sql.Tx, rolled int64, columns string, into []any, row func()) error {
	from, to := within(q.since, q.until)
	w := where{}
	// A unary plus keeps a column's index out of the plan: those that wait are few,
	// and the last of the table.
	w.add("seq > ? AND +received_at >= ? AND +received_at < ?", rolled, from, to)
	w.equal("+pixel_id", q.pixel)
	w.equal("+name", q.name)
	q.pixel, q.name = "", ""
	q.selects(&w, func(d string) string { return "+" + d })
	return each(ctx, tx, `SELECT received_at, `+columns+` FROM events`+w.String(), w.args, into, row)
}

// step is the one that a moment lies in.
func (q question) step(at int64) int {
	return max(0, sort.Search(len(q.starts), func(i int) bool { return q.starts[i].UnixMicro() > at })-1)
}

// each calls row for each row, once it is in the variables.
func each(ctx context.Context, tx *sql.Tx, query string, args, into []any, row func()) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		row()
	}
	return rows.Err()
}

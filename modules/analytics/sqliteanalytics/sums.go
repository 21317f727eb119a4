package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/miq/pixel/modules/analytics"
)

// sumsOf answers from the roll-ups of one dimension: whole days and hours from
// them, what lies before and after from columns, and so what is not rolled up yet.
func (s *Store) sumsOf(ctx context.Context, tx *sql.Tx, q question, dimension string) (map[figure]float64, error) {
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
	parts := pieces(q.starts, from, to, levels...)
	for _, level := range levels {
		list := parts[level]
		if len(list) == 0 {
			continue
		}
		if dimension != "" {
			if err := q.binned(ctx, tx, level, list, dimension, sums); err != nil {
				return nil, err
			}
			continue
		}
		w := where{}
		w.add("level = ? AND bucket >= a AND bucket < b", level)
		q.selects(&w)
		err := each(ctx, tx, table(list)+`SELECT i, `+q.group()+`, sum(events), total(revenue), total(base) FROM steps CROSS JOIN rollups`+w.String()+` GROUP BY 1, 2`,
			w.args, []any{&f.step, &f.group, &v.events, &v.revenue, &v.base}, add)
		if err != nil {
			return nil, err
		}
	}
	if err := s.addSums(ctx, tx, q.way(parts[0]), len(q.starts), sums); err != nil {
		return nil, err
	}
	return q.figures(sums), nil
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
	of.selects(&w)
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

package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// question is what Series and Top ask. It holds checked arguments only: metric,
// dimension and column names come from lists in the code, never from a caller's
// string.
type question struct {
	metric               analytics.Metric
	pixel, name, partner string
	where                []analytics.Condition
	since, until         time.Time
	starts               []time.Time // of steps; none: the whole time is one
	dimension            string      // to group by; empty: all together
	only                 []string    // groups; empty: all
}

// figure names one in an answer.
type figure struct {
	step  int
	group string
}

// answering counts what a question asks for.
type answering func(question) (map[figure]float64, error)

// asking calls f with a snapshot, and with what answers questions of it. Questions of the sync
// log have none: they wait for their turn at its lines, and whoever has it waits for a
// connection, which those who wait must not hold.
func (s *Store) asking(ctx context.Context, what string, metric analytics.Metric, f func(*sql.Tx, answering) error) error {
	if metric == analytics.MetricSyncs {
		return f(nil, func(q question) (map[figure]float64, error) { return s.syncs(ctx, q) })
	}
	return s.snapshot(ctx, what, func(tx *sql.Tx) error {
		return f(tx, func(q question) (map[figure]float64, error) { return s.answer(ctx, tx, q) })
	})
}

// answer takes the cheapest way that is exact.
func (s *Store) answer(ctx context.Context, tx *sql.Tx, q question) (map[figure]float64, error) {
	if q.visited() {
		return s.visitorsOf(ctx, tx, q)
	}
	if d, ok := q.rolled(); ok {
		return s.sumsOf(ctx, tx, q, d)
	}
	return s.walked(ctx, tx, q)
}

// walked answers from columns, where nothing is rolled up for the question.
func (s *Store) walked(ctx context.Context, tx *sql.Tx, q question) (map[figure]float64, error) {
	if q.metric == analytics.MetricVisitors {
		m, err := s.met(ctx, tx, q.whole(), len(q.starts))
		if err != nil {
			return nil, err
		}
		return m.figures(), nil
	}
	sums := map[figure]*sum{}
	err := s.addSums(ctx, tx, q.whole(), len(q.starts), sums)
	return q.figures(sums), err
}

// visited reports whether the sets of visitors of hours and days answer the question.
func (q question) visited() bool {
	return q.metric == analytics.MetricVisitors && q.name == "" && q.rollable("pixel_id")
}

// amounts is the column of what the question adds up; empty: it counts.
func (q question) amounts() string {
	switch q.metric {
	case analytics.MetricRevenue:
		return colRevenue
	case analytics.MetricBaseRevenue:
		return colBase
	}
	return ""
}

// figures are what the question asks of sums.
func (q question) figures(sums map[figure]*sum) map[figure]float64 {
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
	return out
}

func (s *Store) knowPeople(ctx context.Context, m analytics.Metric) error {
	if m != analytics.MetricVisitors {
		return nil
	}
	return s.people.load(ctx, s.db.Read)
}

// rollable reports whether the question is about no other dimensions.
func (q question) rollable(dimensions ...string) bool {
	ok := q.dimension == "" || slices.Contains(dimensions, q.dimension)
	for _, c := range q.where {
		ok = ok && slices.Contains(dimensions, c.Dimension)
	}
	return ok
}

// asks reports whether the answer depends on a dimension.
func (q question) asks(dimension string) bool {
	return q.dimension == dimension || dimension == "name" && q.name != "" ||
		slices.ContainsFunc(q.where, func(c analytics.Condition) bool { return c.Dimension == dimension })
}

// rolled is the dimension of the roll-ups that answer the question. They know
// pixels, names and one dimension more.
func (q question) rolled() (dimension string, ok bool) {
	if q.metric == analytics.MetricSyncs || q.metric == analytics.MetricVisitors {
		return "", false
	}
	asked := []string{q.dimension}
	for _, c := range q.where {
		asked = append(asked, c.Dimension)
	}
	for _, d := range asked {
		if d != "" && d != "pixel_id" && d != "name" {
			dimension = d
		}
	}
	return dimension, q.rollable("pixel_id", "name", dimension)
}

// selects adds what rows must fulfil.
func (q question) selects(w *where) {
	w.equal("pixel_id", q.pixel)
	w.equal("name", q.name)
	w.equal("partner", q.partner)
	w.conditions("", q.where)
	if len(q.only) > 0 {
		// A unary plus: these groups are most of the rows, and the index over time is
		// the better one.
		w.conditions("+", []analytics.Condition{{Dimension: q.dimension, Values: q.only}})
	}
}

// group is the expression to group by.
func (q question) group() string {
	if q.dimension == "" {
		return "''"
	}
	return q.dimension
}

// readSyncs counts lines of a long sync log, by an index that holds all that can be asked.
func (q question) readSyncs(ctx context.Context, tx *sql.Tx) (map[figure]float64, error) {
	from, to := within(q.since, q.until)
	w := where{}
	w.add("at >= a AND at < b")
	q.selects(&w)
	var f figure
	var v float64
	out := map[figure]float64{}
	err := each(ctx, tx, table(pieces(q.starts, from, to)[0])+`SELECT i, `+q.group()+`, count(*) FROM steps CROSS JOIN syncs`+w.String()+` GROUP BY 1, 2`, w.args,
		[]any{&f.step, &f.group, &v}, func() { out[f] = v })
	return out, err
}

// greatest are the groups, greatest first, without those that come to zero.
func greatest(figures map[figure]float64, limit int) []analytics.TopRow {
	var top []analytics.TopRow
	for f, v := range figures {
		if v != 0 {
			top = append(top, analytics.TopRow{Group: f.group, Value: v})
		}
	}
	slices.SortFunc(top, func(x, y analytics.TopRow) int {
		return cmp.Or(cmp.Compare(y.Value, x.Value), strings.Compare(x.Group, y.Group))
	})
	return top[:min(limit, len(top))]
}

// Top counts by one dimension.
func (s *Store) Top(ctx context.Context, q analytics.TopQuery) (top []analytics.TopRow, err error) {
	q, err = q.Check()
	if err != nil {
		return nil, err
	}
	if err := s.knowPeople(ctx, q.Metric); err != nil {
		return nil, err
	}
	err = s.asking(ctx, "count the greatest", q.Metric, func(_ *sql.Tx, answer answering) error {
		figures, err := answer(question{metric: q.Metric, pixel: q.PixelID, name: q.Name, partner: q.Partner, where: q.Where, since: q.Since, until: q.Until, dimension: q.Dimension})
		top = greatest(figures, q.Limit)
		return err
	})
	return top, err
}

// Series counts over time.
func (s *Store) Series(ctx context.Context, q analytics.SeriesQuery) (series []analytics.Series, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	ask := question{metric: q.Metric, pixel: q.PixelID, name: q.Name, partner: q.Partner, where: q.Where, since: q.Since, until: q.Until, dimension: q.GroupBy}
	starts, err := q.Starts()
	if err != nil {
		return nil, err
	}
	if err := s.knowPeople(ctx, q.Metric); err != nil {
		return nil, err
	}
	err = s.asking(ctx, "count over time", q.Metric, func(tx *sql.Tx, answer answering) error {
		groups := []analytics.TopRow{{}}
		var figures map[figure]float64
		if q.GroupBy != "" && q.Metric == analytics.MetricVisitors && !ask.visited() {
			// People cannot be added up, but those of the steps can be put together.
			ask.starts = starts
			m, err := s.met(ctx, tx, ask.whole(), len(starts))
			if err != nil {
				return err
			}
			figures, groups = m.figures(), greatest(m.wholeGroups(), analytics.MaxGroups)
		} else if q.GroupBy != "" {
			figures, err := answer(ask)
			if err != nil {
				return err
			}
			if groups = greatest(figures, analytics.MaxGroups); len(groups) == 0 {
				return nil
			}
			for _, g := range groups {
				ask.only = append(ask.only, g.Group)
			}
		}
		if ask.starts = starts; figures == nil {
			if figures, err = answer(ask); err != nil {
				return err
			}
		}
		for _, g := range groups {
			one := analytics.Series{Group: g.Group, Points: make([]analytics.Point, len(starts))}
			for i, t := range starts {
				one.Points[i] = analytics.Point{Time: t.UTC(), Value: figures[figure{i, g.Group}]}
			}
			series = append(series, one)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return series, nil
}

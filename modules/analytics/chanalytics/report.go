package chanalytics

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
)

// question is what a Series and a Top have in common. Metric, dimension and column
// names come from lists in the code, never from a caller's string.
type question struct {
	metric               analytics.Metric
	dimension            string // empty: all in one group
	pixel, name, partner string
	where                []analytics.Condition
	since, until         time.Time
	starts               []time.Time        // of steps; none: the whole time is one
	only                 []analytics.TopRow // only these groups; nil: all
}

// measure is how a metric is counted: of a row, and of what a pass made.
type measure struct{ state, column, merge string }

func (q question) measure(who string) measure {
	switch q.metric {
	case analytics.MetricVisitors:
		return measure{"uniqExactIfState(" + who + ", " + who + " != 0)", "visitors", "toFloat64(uniqExactIfMerge(s))"}
	case analytics.MetricRevenue:
		return measure{"sumKahanState(round(ifNull(value, 0) * 1000000))", "revenue", "sumKahanMerge(s) / 1000000"}
	case analytics.MetricBaseRevenue:
		return measure{"sumKahanState(round(ifNull(base_value, 0) * 1000000))", "base", "sumKahanMerge(s) / 1000000"}
	case analytics.MetricSyncs:
		return measure{"countState()", "syncs", "toFloat64(countMerge(s))"}
	}
	return measure{"countState()", "events", "toFloat64(countMerge(s))"}
}

func (q question) source() string {
	if q.metric == analytics.MetricSyncs {
		return sourceSyncs
	}
	return sourceEvents
}

// filter selects by what both rows and series have.
func (q question) filter() (w where) {
	w.equal("pixel_id", q.pixel)
	name := q.name
	if q.metric == analytics.MetricRevenue || q.metric == analytics.MetricBaseRevenue {
		if name != "" && name != "purchase" {
			w.add("0")
		}
		name = "purchase"
	}
	w.equal("name", name)
	w.equal("partner", q.partner)
	return w
}

// of is when the step begins that a moment in microseconds lies in.
func (q question) of(micros string) string {
	if len(q.starts) == 0 {
		return "toInt64(0)"
	}
	b := []byte("roundDown(toInt64(" + micros + "), CAST([")
	for i, t := range q.starts {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, t.UnixMicro(), 10)
	}
	return string(b) + "], 'Array(Int64)'))"
}

// rolled is the dimension of the series that answer the question, which know pixels,
// names and one dimension more; ok is false where only rows do.
func (q question) rolled() (dimension string, ok bool) {
	asked := []string{q.dimension}
	for _, c := range q.where {
		asked = append(asked, c.Dimension)
	}
	for _, d := range asked {
		switch {
		case whole[d], d == dimension:
		case dimension == "" && q.metric != analytics.MetricVisitors:
			dimension = d
		default:
			return "", false
		}
	}
	return dimension, true
}

func (q question) groups(column string, w *where) string {
	if q.only != nil {
		names := make([]string, len(q.only))
		for i, g := range q.only {
			names[i] = g.Group
		}
		w.add(column + " IN (" + list(names) + ")")
	}
	return "toString(" + column + ")"
}

// whole are dimensions that series have in their key.
var whole = map[string]bool{"": true, "pixel_id": true, "name": true, "partner": true, "outcome": true, "code": true}

// answer is the query that counts per step and group, from series where a pass
// counted a whole hour or day, and from rows where none did.
func (q question) answer(p plan) (inner string, args []any, m measure) {
	m = q.measure("visitor")
	var parts []string
	for _, unit := range []string{"day", "hour", "minute"} {
		passes := p.passes[unit]
		if len(passes) == 0 {
			continue
		}
		w := q.filter()
		w.add("unit = '" + unit + "' AND bucket >= toDateTime(" + strconv.FormatInt(p.first.Unix(), 10) + ") AND bucket < toDateTime(" + strconv.FormatInt(p.last.Unix(), 10) + ")")
		w.add("pass IN (" + numbers(passes) + ")")
		column := func(d string) string {
			if d == p.dimension {
				return "grp"
			}
			return d
		}
		if q.metric != analytics.MetricSyncs {
			w.add("dimension = '" + p.dimension + "'")
		}
		w.conditions(q.where, column)
		group := "''"
		if q.dimension != "" {
			group = q.groups(column(q.dimension), &w)
		}
		parts = append(parts, `SELECT `+q.of("toInt64(toUnixTimestamp(bucket)) * 1000000")+` AS step, `+group+` AS grp, `+m.column+` AS s FROM series_`+q.source()+w.String())
		args = append(args, w.args...)
	}
	if len(p.rows) > 0 || len(parts) == 0 {
		w := q.filter()
		at := "received_at"
		if q.metric == analytics.MetricSyncs {
			at = "at"
		}
		between(&w, at, p.rows)
		w.conditions(q.where, same)
		group := "''"
		if q.dimension != "" {
			group = q.groups(q.dimension, &w)
		}
		from := q.source() + " FINAL" + w.String()
		if p.profiles {
			from = `(SELECT *, visitor FROM ` + from + `)` + byPerson
			m = q.measure(person)
		}
		parts = append(parts, `SELECT `+q.of("toUnixTimestamp64Micro("+at+")")+` AS step, `+group+` AS grp, `+m.state+` AS s FROM `+from+` GROUP BY step, grp`)
		args = append(args, w.args...)
	}
	return strings.Join(parts, " UNION ALL "), args, m
}

// between selects rows of any of some stretches of time.
func between(w *where, at string, list []stretch) {
	var conds []string
	var args []any
	for _, x := range list {
		o := where{}
		o.between(at, x.since, x.until)
		if len(o.conds) == 0 {
			return // all of time
		}
		conds = append(conds, "("+strings.Join(o.conds, " AND ")+")")
		args = append(args, o.args...)
	}
	if len(conds) == 0 {
		conds = []string{"0"}
	}
	w.add("("+strings.Join(conds, " OR ")+")", args...)
}

func numbers(list []uint64) string {
	b := make([]byte, 0, 21*len(list))
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, n, 10)
	}
	return string(b)
}

func (s *Store) top(ctx context.Context, q question, p plan, limit int) (top []analytics.TopRow, err error) {
	inner, args, m := q.answer(p)
	err = s.ask(ctx, "count the greatest", `SELECT grp, `+m.merge+` AS n FROM (`+inner+`) GROUP BY grp HAVING n <> 0 ORDER BY n DESC, grp LIMIT ?`, append(args, limit), func(r driver.Rows) error {
		var row analytics.TopRow
		err := r.Scan(&row.Group, &row.Value)
		top = append(top, row)
		return err
	})
	return top, err
}

// Top counts by one dimension.
func (s *Store) Top(ctx context.Context, q analytics.TopQuery) ([]analytics.TopRow, error) {
	q, err := q.Check()
	if err != nil {
		return nil, err
	}
	ask := question{metric: q.Metric, dimension: q.Dimension, pixel: q.PixelID, name: q.Name, partner: q.Partner, where: q.Where, since: q.Since, until: q.Until}
	p, err := s.plan(ctx, ask)
	if err != nil {
		return nil, err
	}
	return s.top(ctx, ask, p, q.Limit)
}

// Series counts over time.
func (s *Store) Series(ctx context.Context, q analytics.SeriesQuery) ([]analytics.Series, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	starts, err := q.Starts()
	if err != nil {
		return nil, err
	}
	ask := question{metric: q.Metric, dimension: q.GroupBy, pixel: q.PixelID, name: q.Name, partner: q.Partner, where: q.Where, since: q.Since, until: q.Until, starts: starts}
	p, err := s.plan(ctx, ask)
	if err != nil {
		return nil, err
	}
	groups := []analytics.TopRow{{}}
	if q.GroupBy != "" {
		all := ask
		all.starts = nil
		if groups, err = s.top(ctx, all, p, analytics.MaxGroups); err != nil || len(groups) == 0 {
			return nil, err
		}
		ask.only = groups
	}
	at := make(map[string]int, len(groups))
	series := make([]analytics.Series, len(groups))
	for i, g := range groups {
		at[g.Group] = i
		series[i] = analytics.Series{Group: g.Group, Points: make([]analytics.Point, len(starts))}
		for j, t := range starts {
			series[i].Points[j].Time = t.UTC()
		}
	}
	place := make(map[int64]int, len(starts))
	for i, t := range starts {
		place[t.UnixMicro()] = i
	}
	inner, args, m := ask.answer(p)
	err = s.ask(ctx, "count over time", `SELECT step, grp, `+m.merge+` FROM (`+inner+`) GROUP BY step, grp`, args, func(r driver.Rows) error {
		var step int64
		var group string
		var v float64
		if err := r.Scan(&step, &group, &v); err != nil {
			return err
		}
		i, mine := at[group]
		j, ours := place[step]
		if !mine || !ours {
			return fmt.Errorf("the step at %d does not belong to the question", step)
		}
		series[i].Points[j].Value = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	return series, nil
}

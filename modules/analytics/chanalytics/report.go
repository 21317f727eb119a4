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

// question is what a Series and a Top have in common.
type question struct {
	metric               analytics.Metric
	dimension            string // empty: all in one group
	pixel, name, partner string
	since, until         time.Time
	// from and step cut time; no step: it is not cut.
	from time.Time
	step time.Duration
	only []analytics.TopRow // only these groups; nil: all
}

// measure is how a metric is counted: of a row, and of what a pass made.
type measure struct{ state, column, merge string }

func (q question) measure(person string) measure {
	switch q.metric {
	case analytics.MetricVisitors:
		return measure{"uniqExactIfState(" + person + ", " + person + " != 0)", "visitors", "toFloat64(uniqExactIfMerge(s))"}
	case analytics.MetricRevenue:
		return measure{"sumKahanState(value)", "revenue", "sumKahanMerge(s)"}
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
	if q.metric == analytics.MetricRevenue {
		if name != "" && name != "purchase" {
			w.add("0")
		}
		name = "purchase"
	}
	w.equal("name", name)
	w.equal("partner", q.partner)
	return w
}

// of is the number of the step that a moment in microseconds lies in.
func (q question) of(micros string) string {
	if q.step == 0 {
		return "toInt64(0)"
	}
	return "intDiv(" + micros + " - " + strconv.FormatInt(q.from.UnixMicro(), 10) + ", " + strconv.FormatInt(q.step.Microseconds(), 10) + ")"
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
	person := "visitor"
	if p.profiles {
		person = "person"
	}
	m = q.measure(person)
	var parts []string
	for _, unit := range []string{"day", "hour", "minute"} {
		passes := p.passes[unit]
		if len(passes) == 0 {
			continue
		}
		w := q.filter()
		w.add("unit = '" + unit + "' AND bucket >= toDateTime(" + strconv.FormatInt(p.first.Unix(), 10) + ") AND bucket < toDateTime(" + strconv.FormatInt(p.last.Unix(), 10) + ")")
		w.add("pass IN (" + numbers(passes) + ")")
		group := "''"
		if q.metric != analytics.MetricSyncs {
			dim := q.dimension
			if whole[dim] {
				dim = ""
			}
			w.add("dimension = '" + dim + "'")
			if dim != "" {
				group = q.groups("grp", &w)
			}
		}
		if q.dimension != "" && whole[q.dimension] {
			group = q.groups(q.dimension, &w)
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
		group := "''"
		if q.dimension != "" {
			group = q.groups(q.dimension, &w)
		}
		from := q.source() + " FINAL" + w.String()
		if p.profiles {
			from = `(SELECT *, visitor FROM ` + from + `) e LEFT ANY JOIN (
				SELECT pixel_id AS p, visitor_id AS v, xxh3(profile_id) AS profile FROM identities FINAL WHERE profile_id <> '') i ON i.p = e.pixel_id AND i.v = e.visitor_id`
			m.state = strings.ReplaceAll(m.state, "person", "if(profile != 0, profile, visitor)")
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
	ask := question{metric: q.Metric, dimension: q.Dimension, pixel: q.PixelID, name: q.Name, partner: q.Partner, since: q.Since, until: q.Until}
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
	ask := question{metric: q.Metric, dimension: q.GroupBy, pixel: q.PixelID, name: q.Name, partner: q.Partner, since: q.Since, until: q.Until, from: q.From(), step: q.Step}
	p, err := s.plan(ctx, ask)
	if err != nil {
		return nil, err
	}
	groups := []analytics.TopRow{{}}
	if q.GroupBy != "" {
		whole := ask
		whole.step = 0
		if groups, err = s.top(ctx, whole, p, analytics.MaxGroups); err != nil || len(groups) == 0 {
			return nil, err
		}
		ask.only = groups
	}
	at := make(map[string]int, len(groups))
	series := make([]analytics.Series, len(groups))
	for i, g := range groups {
		at[g.Group] = i
		series[i] = zeros(q, g.Group)
	}
	inner, args, m := ask.answer(p)
	err = s.ask(ctx, "count over time", `SELECT step, grp, `+m.merge+` FROM (`+inner+`) GROUP BY step, grp`, args, func(r driver.Rows) error {
		var step int64
		var group string
		var v float64
		if err := r.Scan(&step, &group, &v); err != nil {
			return err
		}
		i, ok := at[group]
		if !ok || step < 0 || step >= int64(len(series[i].Points)) {
			return fmt.Errorf("step %d does not belong to the question", step)
		}
		series[i].Points[step].Value = v
		return nil
	})
	if err != nil {
		return nil, err
	}
	return series, nil
}

func zeros(q analytics.SeriesQuery, group string) analytics.Series {
	points := make([]analytics.Point, q.Steps())
	for i := range points {
		points[i].Time = q.From().Add(time.Duration(i) * q.Step)
	}
	return analytics.Series{Group: group, Points: points}
}

package sqliteanalytics

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// source is where a metric is counted, and how.
type source struct {
	table, time, value string
	where
}

// count has checked arguments only: metric, dimension and column names come from
// lists in the code, never from a caller's string.
func count(m analytics.Metric, pixelID, name, partner string, where []analytics.Condition, since, until time.Time) source {
	s := source{table: "events", time: "received_at", value: "count(*)"}
	switch m {
	case analytics.MetricVisitors:
		s.value = "count(DISTINCT " + person + ")"
	case analytics.MetricRevenue:
		s.value = "total(value)"
		s.add("name = 'purchase'")
	case analytics.MetricSyncs:
		s.table, s.time = "syncs", "at"
	}
	s.equal("pixel_id", pixelID)
	s.equal("name", name)
	s.equal("partner", partner)
	s.conditions("", where)
	s.between(s.time, since, until)
	return s
}

func (s source) top(ctx context.Context, tx *sql.Tx, dimension string, limit int) (top []analytics.TopRow, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+dimension+`, `+s.value+` AS v FROM `+s.table+s.String()+
		` GROUP BY 1 HAVING v <> 0 ORDER BY v DESC, 1 LIMIT ?`, append(s.args, limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r analytics.TopRow
		if err := rows.Scan(&r.Group, &r.Value); err != nil {
			return nil, err
		}
		top = append(top, r)
	}
	return top, rows.Err()
}

// Top counts by one dimension.
func (s *Store) Top(ctx context.Context, q analytics.TopQuery) (top []analytics.TopRow, err error) {
	q, err = q.Check()
	if err != nil {
		return nil, err
	}
	err = s.snapshot(ctx, "count the greatest", func(tx *sql.Tx) error {
		top, err = count(q.Metric, q.PixelID, q.Name, q.Partner, q.Where, q.Since, q.Until).top(ctx, tx, q.Dimension, q.Limit)
		return err
	})
	return top, err
}

// Series counts over time.
func (s *Store) Series(ctx context.Context, q analytics.SeriesQuery) (series []analytics.Series, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	starts, err := q.Starts()
	if err != nil {
		return nil, err
	}
	err = s.snapshot(ctx, "count over time", func(tx *sql.Tx) error {
		src := count(q.Metric, q.PixelID, q.Name, q.Partner, q.Where, q.Since, q.Until)
		dimension, groups := "''", []analytics.TopRow{{}}
		if q.GroupBy != "" {
			dimension = q.GroupBy
			if groups, err = src.top(ctx, tx, dimension, analytics.MaxGroups); err != nil || len(groups) == 0 {
				return err
			}
		}
		at := make(map[string]int, len(groups))
		for i, g := range groups {
			at[g.Group] = i
			series = append(series, zeros(starts, g.Group))
		}
		// The steps bound the time, so that each is a seek in an index.
		src = count(q.Metric, q.PixelID, q.Name, q.Partner, q.Where, time.Time{}, time.Time{})
		src.add(src.time + " >= a AND " + src.time + " < b")
		if q.GroupBy != "" {
			names := make([]any, len(groups))
			for i, g := range groups {
				names[i] = g.Group
			}
			// A unary plus: these groups are most of the rows, and the index over
			// time is the better one.
			src.add("+"+dimension+" IN (?"+strings.Repeat(", ?", len(names)-1)+")", names...)
		}
		rows, err := tx.QueryContext(ctx, stepTable(starts, q.Since, q.Until)+` SELECT i, `+dimension+`, `+src.value+` FROM steps CROSS JOIN `+src.table+src.String()+` GROUP BY 1, 2`, src.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var step int
			var group string
			var v float64
			if err := rows.Scan(&step, &group, &v); err != nil {
				return err
			}
			series[at[group]].Points[step].Value = v
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return series, nil
}

func zeros(starts []time.Time, group string) analytics.Series {
	points := make([]analytics.Point, len(starts))
	for i, t := range starts {
		points[i].Time = t.UTC()
	}
	return analytics.Series{Group: group, Points: points}
}

// stepTable is a table of when each step begins and ends, by its number: what of it
// lies from since to before until.
func stepTable(starts []time.Time, since, until time.Time) string {
	b := []byte("WITH steps (i, a, b) AS (VALUES ")
	for i, t := range starts {
		if t.Before(since) {
			t = since
		}
		end := until
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		if i > 0 {
			b = append(b, ", "...)
		}
		for j, n := range [...]int64{int64(i), t.UnixMicro(), end.UnixMicro()} {
			b = append(b, "(,,"[j])
			b = strconv.AppendInt(b, n, 10)
		}
		b = append(b, ')')
	}
	return string(append(b, ')'))
}

package sqliteanalytics

import (
	"context"
	"database/sql"
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
func count(m analytics.Metric, pixelID, name, partner string, since, until time.Time) source {
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
		top, err = count(q.Metric, q.PixelID, q.Name, q.Partner, q.Since, q.Until).top(ctx, tx, q.Dimension, q.Limit)
		return err
	})
	return top, err
}

// Series counts over time.
func (s *Store) Series(ctx context.Context, q analytics.SeriesQuery) (series []analytics.Series, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	err = s.snapshot(ctx, "count over time", func(tx *sql.Tx) error {
		src := count(q.Metric, q.PixelID, q.Name, q.Partner, q.Since, q.Until)
		dimension, groups := "''", []analytics.TopRow{{}}
		if q.GroupBy != "" {
			dimension = q.GroupBy
			if groups, err = src.top(ctx, tx, dimension, analytics.MaxGroups); err != nil || len(groups) == 0 {
				return err
			}
			names := make([]any, len(groups))
			for i, g := range groups {
				names[i] = g.Group
			}
			// A unary plus: these groups are most of the rows, and the index over
			// time is the better one.
			src.add("+"+dimension+" IN (?"+strings.Repeat(", ?", len(names)-1)+")", names...)
		}
		at := make(map[string]int, len(groups))
		for i, g := range groups {
			at[g.Group] = i
			series = append(series, zeros(q, g.Group))
		}
		rows, err := tx.QueryContext(ctx, `SELECT (`+src.time+` - ?) / ?, `+dimension+`, `+src.value+` FROM `+src.table+src.String()+` GROUP BY 1, 2`,
			append([]any{q.From().UnixMicro(), q.Step.Microseconds()}, src.args...)...)
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

func zeros(q analytics.SeriesQuery, group string) analytics.Series {
	points := make([]analytics.Point, q.Steps())
	for i := range points {
		points[i].Time = q.From().Add(time.Duration(i) * q.Step)
	}
	return analytics.Series{Group: group, Points: points}
}

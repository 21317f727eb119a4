package sqliteanalytics

import (
	"context"
	"database/sql"
	"strings"

	"github.com/miq/pixel/modules/analytics"
)

// Attribution adds credits up.
func (s *Store) Attribution(ctx context.Context, q analytics.AttributionQuery) (out []analytics.AttributionRow, err error) {
	q, err = q.Check()
	if err != nil {
		return nil, err
	}
	models := make([]any, len(q.Models))
	for i, m := range q.Models {
		models[i] = m
	}
	w := where{}
	w.add("model IN (?"+strings.Repeat(", ?", len(models)-1)+")", models...)
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.equal("name", q.Name)
	w.between("received_at", q.Since, q.Until)
	sums := analytics.CreditSums{Models: q.Models}
	err = s.snapshot(ctx, "add credits up", func(tx *sql.Tx) error {
		// Sums of weights are whole numbers, and those of money are compensated: a
		// year's millionths may be more than a whole number holds.
		rows, err := tx.QueryContext(ctx, `SELECT `+q.Dimension+`, model, currency, sum(weight), total(value), total(refunded) FROM credits`+
			w.String()+` GROUP BY 1, 2, 3`, w.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var group, model, currency string
			var weight int64
			var value, refunded float64
			if err := rows.Scan(&group, &model, &currency, &weight, &value, &refunded); err != nil {
				return err
			}
			sums.Add(group, model, currency, weight, value, refunded)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return sums.Rows(q.Limit), nil
}

// Paths counts paths.
func (s *Store) Paths(ctx context.Context, q analytics.PathQuery) (out []analytics.PathRow, err error) {
	q, err = q.Check()
	if err != nil {
		return nil, err
	}
	var count analytics.PathCount
	err = s.snapshot(ctx, "count paths", func(tx *sql.Tx) error {
		w := where{}
		w.add("model = ?", analytics.PathModel)
		w.equal("pixel_id", q.PixelID)
		w.among("pixel_id", q.Pixels)
		w.equal("name", q.Name)
		w.between("received_at", q.Since, q.Until)
		if err := steps(ctx, tx, `SELECT event_id, pixel_id, channel, currency, value FROM credits`+w.String()+` ORDER BY event_id, pixel_id, place`, w.args, count.Converted); err != nil {
			return err
		}
		w = where{}
		w.equal("pixel_id", q.PixelID)
		w.among("pixel_id", q.Pixels)
		w.between("at", q.Since, q.Until)
		w.add(`NOT EXISTS (SELECT 1 FROM credits c WHERE c.model = 'linear' AND c.touch_id = touches.id AND c.pixel_id = touches.pixel_id)`)
		return steps(ctx, tx, `SELECT visitor_id, pixel_id, channel, '', 0 FROM touches`+w.String()+` ORDER BY visitor_id, pixel_id, at, id`, w.args,
			func(path []string, _ string, _ int64) { count.Null(path) })
	})
	if err != nil {
		return nil, err
	}
	return count.Rows(q.Limit), nil
}

// steps gathers rows of one key to a path.
func steps(ctx context.Context, tx *sql.Tx, query string, args []any, path func(steps []string, currency string, value int64)) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	type key struct{ id, pixel string }
	var last key
	var list []string
	var money string
	var sum int64
	for rows.Next() {
		var k key
		var channel, currency string
		var value int64
		if err := rows.Scan(&k.id, &k.pixel, &channel, &currency, &value); err != nil {
			return err
		}
		if k != last && list != nil {
			path(list, money, sum)
			list, sum = nil, 0
		}
		last, money = k, currency
		list, sum = append(list, channel), sum+value
	}
	if list != nil {
		path(list, money, sum)
	}
	return rows.Err()
}

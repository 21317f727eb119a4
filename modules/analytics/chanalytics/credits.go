package chanalytics

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
)

// shareColumns are the dimensions of which every touchpoint of a set has its own.
var shareColumns = map[string]bool{"channel": true, "kind": true, "source": true, "campaign": true, "partner": true}

// Attribution adds credits up.
func (s *Store) Attribution(ctx context.Context, q analytics.AttributionQuery) ([]analytics.AttributionRow, error) {
	q, err := q.Check()
	if err != nil {
		return nil, err
	}
	w := where{}
	w.add("model IN (" + list(q.Models) + ")")
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.equal("name", q.Name)
	w.between("received_at", q.Since, q.Until)
	dimension, joined := q.Dimension, ""
	if shareColumns[q.Dimension] {
		dimension, joined = "d", ", "+q.Dimension+" AS d"
	}
	sums := analytics.CreditSums{Models: q.Models}
	// Sums of weights are whole numbers; a year's money in millionths may be more than
	// a whole number holds.
	err = s.ask(ctx, "add credits up", `SELECT toString(`+dimension+`) AS g, model, currency, sum(w), sumKahan(toFloat64(v)), sumKahan(toFloat64(r)) FROM (
		SELECT * FROM credit_sets FINAL`+w.String()+`) ARRAY JOIN weight AS w, value AS v, refunded AS r`+joined+` GROUP BY g, model, currency`, w.args, func(r driver.Rows) error {
		var group, model, currency string
		var weight int64
		var value, refunded float64
		if err := r.Scan(&group, &model, &currency, &weight, &value, &refunded); err != nil {
			return err
		}
		sums.Add(group, model, currency, weight, value, refunded)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sums.Rows(q.Limit), nil
}

// Paths counts paths.
func (s *Store) Paths(ctx context.Context, q analytics.PathQuery) ([]analytics.PathRow, error) {
	q, err := q.Check()
	if err != nil {
		return nil, err
	}
	var count analytics.PathCount
	w := where{}
	w.add("model = ?", analytics.PathModel)
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.equal("name", q.Name)
	w.between("received_at", q.Since, q.Until)
	err = s.ask(ctx, "count paths", `SELECT channel, currency, arraySum(value) FROM credit_sets FINAL`+w.String()+` ORDER BY event_id, pixel_id`, w.args, func(r driver.Rows) error {
		var steps []string
		var currency string
		var value int64
		if err := r.Scan(&steps, &currency, &value); err != nil {
			return err
		}
		if len(steps) > 0 {
			count.Converted(steps, currency, 1, value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	w = where{}
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.between("at", q.Since, q.Until)
	w.add(`(id, pixel_id) NOT IN (SELECT arrayJoin(touch_id), pixel_id FROM credit_sets FINAL WHERE model = '` + analytics.PathModel + `')`)
	err = s.ask(ctx, "count paths", `SELECT arrayMap(x -> x.3, arraySort(groupArray((at, id, channel)))) FROM touches FINAL`+w.String()+
		` GROUP BY visitor_id, pixel_id ORDER BY visitor_id, pixel_id`, w.args, func(r driver.Rows) error {
		var steps []string
		if err := r.Scan(&steps); err != nil {
			return err
		}
		count.Nulls(steps, 1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return count.Rows(q.Limit), nil
}

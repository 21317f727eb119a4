package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/miq/pixel/modules/analytics"
)

// Funnel reads the events that any step needs in the order of people and time, so
// that only one person is in memory.
func (s *Store) Funnel(ctx context.Context, q analytics.FunnelQuery) (counts []analytics.FunnelCount, err error) {
	if q, err = q.Check(); err != nil {
		return nil, err
	}
	w := where{}
	w.add("+visitor_id <> ''")
	w.equal("pixel_id", q.PixelID)
	w.between("received_at", q.Since, q.Until)
	w.conditions("+", q.Where)
	var masks, some []string
	var maskArgs, someArgs []any
	for i, step := range q.Steps {
		one := where{}
		one.add("+name = ?", step.Name)
		one.conditions("+", step.Where)
		cond := strings.Join(one.conds, " AND ")
		masks = append(masks, fmt.Sprintf("((%s) << %d)", cond, i))
		some = append(some, "("+cond+")")
		maskArgs, someArgs = append(maskArgs, one.args...), append(someArgs, one.args...)
	}
	w.add("("+strings.Join(some, " OR ")+")", someArgs...)
	tally := q.Tally()
	err = s.snapshot(ctx, "count a funnel", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+person+`, time, `+strings.Join(masks, " | ")+` FROM events`+w.String()+` ORDER BY 1, 2`, append(maskArgs, w.args...)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var visitor string
		var at int64
		var mask uint16
		for rows.Next() {
			if err := rows.Scan(&visitor, &at, &mask); err != nil {
				return err
			}
			tally.Add(visitor, at, mask)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return tally.Counts(q), nil
}

package sqliteanalytics

import (
	"context"
	"database/sql"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// Repeated finds orders that came as several purchases.
func (s *Store) Repeated(ctx context.Context, q analytics.RepeatedQuery) (out []analytics.RepeatedOrder, err error) {
	if q, err = q.Check(); err != nil {
		return nil, err
	}
	w := where{}
	w.add("order_id <> '' AND name = 'purchase'")
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.between("received_at", q.Since, q.Until)
	err = s.snapshot(ctx, "find repeated orders", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT pixel_id, order_id, count(*), min(received_at), max(received_at) FROM events`+w.String()+
			` GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 3 DESC, 1, 2 LIMIT ?`, append(w.args, q.Limit)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var o analytics.RepeatedOrder
			var first, last int64
			if err := rows.Scan(&o.PixelID, &o.OrderID, &o.Purchases, &first, &last); err != nil {
				return err
			}
			o.First, o.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
			out = append(out, o)
		}
		return rows.Err()
	})
	return out, err
}

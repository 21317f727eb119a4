package sqliteanalytics

import (
	"context"
	"database/sql"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// Latency sorts every latency of a partner and a step: quantiles cannot be added
// up. The order is the database's, so that one row's are in memory.
func (s *Store) Latency(ctx context.Context, q analytics.LatencyQuery) (out []analytics.Latency, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	starts, err := q.Starts()
	if err != nil {
		return nil, err
	}
	from, to := within(q.Since, q.Until)
	w := where{}
	w.add("at >= a AND at < b AND latency > 0")
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.equal("partner", q.Partner)
	err = s.snapshot(ctx, "read latencies", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, table(pieces(starts, from, to)[0])+`SELECT partner, i, latency FROM steps CROSS JOIN syncs`+w.String()+` ORDER BY 1, 2`, w.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var partner string
		var step int
		var all []time.Duration
		end := func() {
			if len(all) > 0 {
				out, all = append(out, analytics.LatencyOf(partner, starts[step].UTC(), all)), all[:0]
			}
		}
		for rows.Next() {
			var name string
			var i int
			var latency time.Duration
			if err := rows.Scan(&name, &i, &latency); err != nil {
				return err
			}
			if name != partner || i != step {
				end()
				partner, step = name, i
			}
			all = append(all, latency)
		}
		end()
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

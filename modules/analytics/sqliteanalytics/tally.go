package sqliteanalytics

import (
	"context"
	"database/sql"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// hour is one in microseconds.
const hour = int64(time.Hour / time.Microsecond)

// Tally counts by pixel and hour of receipt. The sync log does not know when an
// event was received, but no attempt is earlier, and the events tell.
func (s *Store) Tally(ctx context.Context, since, until time.Time) (out []analytics.Tally, err error) {
	first, end := since.UnixMicro()/hour*hour, until.UnixMicro()/hour*hour
	err = s.snapshot(ctx, "tally", func(tx *sql.Tx) error {
		at := map[analytics.Tally]int{}
		for _, query := range []string{
			`SELECT pixel_id, received_at / ?3, '', count(*), 0, 0 FROM events
			 WHERE received_at >= ?1 AND received_at < ?2 GROUP BY 1, 2`,
			`SELECT pixel_id, received_at / ?3, partner, 0, count(*), 0 FROM matches
			 WHERE received_at >= ?1 AND received_at < ?2 GROUP BY 1, 2, 3`,
			`SELECT s.pixel_id, e.received_at / ?3, s.partner, count(DISTINCT iif(s.outcome = 'accepted', s.event_id, NULL)), 0,
			   count(DISTINCT iif(s.attempt > 0 AND s.outcome NOT IN ('not_sent', 'dry'), s.event_id, NULL))
			 FROM syncs s CROSS JOIN events e ON e.id = s.event_id AND e.pixel_id = s.pixel_id
			 WHERE s.at >= ?1 AND e.received_at >= ?1 AND e.received_at < ?2 GROUP BY 1, 2, 3`,
		} {
			rows, err := tx.QueryContext(ctx, query, first, end, hour)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var t, of analytics.Tally
				var n int64
				if err := rows.Scan(&of.PixelID, &n, &of.Partner, &t.N, &t.Routed, &t.Sent); err != nil {
					return err
				}
				if t == (analytics.Tally{}) {
					continue
				}
				of.Hour = time.UnixMicro(n * hour).UTC()
				i, there := at[of]
				if !there {
					i = len(out)
					at[of], out = i, append(out, of)
				}
				out[i].N, out[i].Routed, out[i].Sent = out[i].N+t.N, out[i].Routed+t.Routed, out[i].Sent+t.Sent
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

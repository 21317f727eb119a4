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
		for _, query := range []string{
			`SELECT pixel_id, received_at / ?3, '', count(*) FROM events
			 WHERE received_at >= ?1 AND received_at < ?2 GROUP BY 1, 2`,
			`SELECT s.pixel_id, e.received_at / ?3, s.partner, count(DISTINCT s.event_id)
			 FROM syncs s CROSS JOIN events e ON e.id = s.event_id AND e.pixel_id = s.pixel_id
			 WHERE s.at >= ?1 AND s.outcome = 'accepted' AND e.received_at >= ?1 AND e.received_at < ?2 GROUP BY 1, 2, 3`,
		} {
			rows, err := tx.QueryContext(ctx, query, first, end, hour)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var t analytics.Tally
				var n int64
				if err := rows.Scan(&t.PixelID, &n, &t.Partner, &t.N); err != nil {
					return err
				}
				t.Hour = time.UnixMicro(n * hour).UTC()
				out = append(out, t)
			}
			if err := rows.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

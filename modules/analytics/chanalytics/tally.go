package chanalytics

import (
	"context"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
)

// Stored is Tally: to count is what the server is quick at.
func (s *Store) Stored(ctx context.Context, since, until time.Time) ([]analytics.Tally, error) {
	return s.Tally(ctx, since, until)
}

// Tally counts by pixel and hour of receipt. The sync log does not know when an
// event was received, but no attempt is earlier, and the events tell.
func (s *Store) Tally(ctx context.Context, since, until time.Time) (out []analytics.Tally, err error) {
	const hour = int64(time.Hour / time.Microsecond)
	first, end := since.UnixMicro()/hour*hour, until.UnixMicro()/hour*hour
	if first >= end {
		return nil, nil
	}
	begins := strconv.FormatInt(hour, 10)
	begins = "intDiv(toUnixTimestamp64Micro(received_at), " + begins + ") * " + begins + " AS h"
	in := "received_at >= " + micro + " AND received_at < " + micro
	err = s.ask(ctx, "tally", `SELECT pixel_id, h, partner, sum(n) AS stored, sum(r) AS routed, sum(t) AS sent FROM (
		SELECT pixel_id, `+begins+`, '' AS partner, count() AS n, 0 AS r, 0 AS t FROM events FINAL WHERE `+in+` GROUP BY pixel_id, h
		UNION ALL
		SELECT pixel_id, `+begins+`, partner, 0, count(), 0 FROM matches FINAL WHERE `+in+` GROUP BY pixel_id, h, partner
		UNION ALL
		SELECT e.pixel_id, e.h, s.partner, countIf(accepted), 0, countIf(tried) FROM (SELECT pixel_id, id, `+begins+` FROM events FINAL WHERE `+in+`) e
		INNER JOIN (
			SELECT pixel_id, event_id, partner, max(outcome = 'accepted') AS accepted, max(attempt > 0 AND outcome NOT IN ('not_sent', 'dry')) AS tried
			FROM syncs FINAL WHERE at >= `+micro+` GROUP BY pixel_id, event_id, partner) s ON s.pixel_id = e.pixel_id AND s.event_id = e.id
		GROUP BY e.pixel_id, e.h, s.partner
		) GROUP BY pixel_id, h, partner HAVING stored + routed + sent > 0`,
		[]any{first, end, first, end, first, end, first}, func(r driver.Rows) error {
			var t analytics.Tally
			var at int64
			var stored, routed, sent uint64
			err := r.Scan(&t.PixelID, &at, &t.Partner, &stored, &routed, &sent)
			t.Hour, t.N, t.Routed, t.Sent = time.UnixMicro(at).UTC(), int64(stored), int64(routed), int64(sent)
			out = append(out, t)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

package sqliteanalytics

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// hour is one in microseconds.
const hour = int64(time.Hour / time.Microsecond)

// tallies are counts by pixel, hour and partner.
type tallies map[analytics.Tally]*analytics.Tally

// of is the count of a pixel's hour, whose number since 1970 it is, at a partner.
func (t tallies) of(pixel string, n int64, partner string) *analytics.Tally {
	k := analytics.Tally{PixelID: pixel, Hour: time.UnixMicro(n * hour).UTC(), Partner: partner}
	if t[k] == nil {
		v := k
		t[k] = &v
	}
	return t[k]
}

// rows are those with something above zero.
func (t tallies) rows() (out []analytics.Tally) {
	for _, v := range t {
		if v.N != 0 || v.Routed != 0 || v.Sent != 0 {
			out = append(out, *v)
		}
	}
	slices.SortFunc(out, func(a, b analytics.Tally) int {
		return cmp.Or(strings.Compare(a.PixelID, b.PixelID), a.Hour.Compare(b.Hour), strings.Compare(a.Partner, b.Partner))
	})
	return out
}

const routedByHour = `SELECT pixel_id, received_at / ?3, partner, count(*) FROM matches
	WHERE received_at >= ?1 AND received_at < ?2 GROUP BY 1, 2, 3`

// Tally recounts the events and the lines themselves, by pixel and hour of receipt. The
// sync log does not know when an event was received, but no attempt is earlier, and the
// events tell.
func (s *Store) Tally(ctx context.Context, since, until time.Time) ([]analytics.Tally, error) {
	args := []any{since.UnixMicro() / hour * hour, until.UnixMicro() / hour * hour, hour}
	all := tallies{}
	err := s.snapshot(ctx, "tally", func(tx *sql.Tx) error {
		var pixel, partner string
		var at, n, sent int64
		c, err := s.cover(ctx, tx, 0)
		if err != nil {
			return err
		}
		for _, r := range c.during(args[0].(int64), args[1].(int64)) {
			err := each(ctx, tx, `SELECT pixel_id, received_at / ?3, count(*) FROM events
				WHERE received_at >= ?1 AND received_at < ?2 AND seq >= ?4 AND seq <= ?5 GROUP BY 1, 2`, append(args, r.first, r.last), []any{&pixel, &at, &n}, func() { all.of(pixel, at, "").N += n })
			if err != nil {
				return err
			}
		}
		err = each(ctx, tx, routedByHour, args, []any{&pixel, &at, &partner, &n}, func() { all.of(pixel, at, partner).Routed += n })
		if err != nil {
			return err
		}
		return each(ctx, tx, `SELECT s.pixel_id, e.received_at / ?3, s.partner, count(DISTINCT iif(s.outcome = 'accepted', s.event_id, NULL)),
			  count(DISTINCT iif(s.attempt > 0 AND s.outcome NOT IN ('not_sent', 'dry'), s.event_id, NULL))
			FROM syncs s CROSS JOIN events e ON e.id = s.event_id AND e.pixel_id = s.pixel_id
			WHERE s.at >= ?1 AND e.received_at >= ?1 AND e.received_at < ?2 GROUP BY 1, 2, 3`, args, []any{&pixel, &at, &partner, &n, &sent}, func() {
			t := all.of(pixel, at, partner)
			t.N, t.Sent = t.N+n, t.Sent+sent
		})
	})
	if err != nil {
		return nil, err
	}
	return all.rows(), nil
}

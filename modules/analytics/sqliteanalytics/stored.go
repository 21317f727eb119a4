package sqliteanalytics

import (
	"context"
	"database/sql"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// Stored counts events from roll-ups, and lines of the sync log from memory.
func (s *Store) Stored(ctx context.Context, since, until time.Time) ([]analytics.Tally, error) {
	first, end := floor(since.UnixMicro(), hour), floor(until.UnixMicro(), hour)
	sent, ok, err := s.sentOf(ctx, first, end)
	if err != nil {
		return nil, err
	}
	if !ok {
		return s.Tally(ctx, since, until)
	}
	all := tallies{}
	err = s.snapshot(ctx, "count what is stored", func(tx *sql.Tx) error {
		var pixel string
		var at, n int64
		err := each(ctx, tx, `SELECT pixel_id, bucket, sum(events) FROM rollups WHERE level = ? AND bucket >= ? AND bucket < ? GROUP BY 1, 2`,
			[]any{anHour, first, end}, []any{&pixel, &at, &n}, func() { all.of(pixel, at, "").N += n })
		if err != nil {
			return err
		}
		err = s.walk(ctx, tx, walk{late: []piece{{0, first * hour, end * hour}}, group: "pixel_id"}, func(t *taken) error {
			at, err := t.column(colAt)
			if err != nil {
				return err
			}
			for _, row := range t.rows {
				all.of(t.of(row), floor(at.ints[row], hour), "").N++
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.matched.with(ctx, s, first*hour, end*hour, func(h int64, list *[]matchCount) {
		for i := range *list {
			c := &(*list)[i]
			all.of(c.pixel, h, c.partner).Routed += int64(c.n)
		}
	})
	if err != nil {
		return nil, err
	}
	for k, v := range sent {
		t := all.of(k.PixelID, k.Hour.UnixMicro()/hour, k.Partner)
		t.N, t.Sent = t.N+v.N, t.Sent+v.Sent
	}
	return all.rows(), nil
}

// sentOf counts what was sent and accepted of the events of some hours.
func (s *Store) sentOf(ctx context.Context, first, end int64) (out tallies, ok bool, err error) {
	out = tallies{}
	const attempted, accepted = 1, 2
	// Of an event there may be several lines at a partner, which count once.
	var known census
	done := []byte{0} // by number
	ok, err = s.lines.waited(ctx, s, func(list []line, values [4][]string) {
		partners := len(values[ofPartner])
		latest := make([]struct { // a place's lines mostly come in the order of time
			hour int64
			of   *analytics.Tally
		}, len(values[ofPixel])*partners)
		for i := range list {
			l := &list[i]
			if l.hour < first || l.hour >= end {
				continue
			}
			now := byte(attempted*bit(l.attempted) | accepted*bit(l.accepted))
			if now == 0 {
				continue
			}
			n := known.add(l.event ^ (uint64(l.of[ofPartner])+1)*0x9E3779B97F4A7C15)
			if int(n) == len(done) {
				done = append(done, 0)
			}
			fresh := now &^ done[n]
			if fresh == 0 {
				continue
			}
			done[n] |= fresh
			t := &latest[int(l.of[ofPixel])*partners+int(l.of[ofPartner])]
			if t.of == nil || t.hour != l.hour {
				t.hour, t.of = l.hour, out.of(values[ofPixel][l.of[ofPixel]], l.hour, values[ofPartner][l.of[ofPartner]])
			}
			t.of.N += int64(bit(fresh&accepted != 0))
			t.of.Sent += int64(bit(fresh&attempted != 0))
		}
	})
	return out, ok, err
}

package sqliteanalytics

import (
	"context"
	"database/sql"
	"hash/maphash"
	"unique"

	"github.com/miq/pixel/modules/event"
)

const (
	touchWidth    = 10
	insertTouches = `INSERT INTO touches (at, pixel_id, id, visitor_id, event_id, kind, channel, source, campaign, partner) VALUES `
	ofTouches     = ` ON CONFLICT DO NOTHING`
)

// WriteTouches stores touchpoints in one transaction.
func (s *Store) WriteTouches(ctx context.Context, touches ...event.Touchpoint) error {
	err := s.write(ctx, "write touchpoints", len(touches), s.touchesIn(ctx, touches))
	if err == nil {
		s.touchesWritten(touches)
	}
	return err
}

func (s *Store) touchesIn(ctx context.Context, touches []event.Touchpoint) inTx {
	return func(tx *sql.Tx) error {
		args := make([]any, 0, touchWidth*len(touches))
		for i := range touches {
			t := &touches[i]
			args = append(args, t.At.UnixMicro(), t.PixelID, t.ID, t.VisitorID, t.EventID, string(t.Kind), t.Channel, t.Source, t.Campaign, t.Partner)
		}
		return s.putTouches.fill(ctx, tx, args)
	}
}

// touched is a touchpoint as far as paths need it.
type touched struct {
	id, visitor    uint64 // digests of both and the pixel
	pixel, channel unique.Handle[string]
}

// touchHours are the touchpoints by the hour that they were in.
type touchHours = hours[[]touched]

// mostKept is how much of conversions, and how many touchpoints, are kept in memory: about
// 50 bytes each.
const mostKept = 1 << 20

func (s *Store) keepTouches() {
	s.touched.most, s.touched.changed.most = mostKept, longestKept
	s.touched.span = `SELECT (SELECT min(at) FROM touches), (SELECT max(at) FROM touches)`
	s.touched.weigh = func(l *[]touched) int { return len(*l) }
	s.touched.read = func(ctx context.Context, tx *sql.Tx, from, to int64, of func(int64) *[]touched) error {
		var at int64
		var pixel, id, visitor, channel string
		// Several events may tell of one, the earliest comes first. A touchpoint's id is of
		// the half hour that it was in.
		told, inHour := map[uint64]bool{}, int64(0)
		return each(ctx, tx, `SELECT at, pixel_id, id, visitor_id, channel FROM touches WHERE at >= ? AND at < ? ORDER BY at, pixel_id, id`, []any{from, to},
			[]any{&at, &pixel, &id, &visitor, &channel}, func() {
				h, digest := floor(at, hour), digestIn(pixel, id)
				if h != inHour {
					clear(told)
					inHour = h
				}
				if told[digest] {
					return
				}
				told[digest] = true
				l := of(h)
				*l = append(*l, touched{digest, digestIn(pixel, visitor), unique.Make(pixel), unique.Make(channel)})
			})
	}
}

// touchesWritten takes note of what was committed.
func (s *Store) touchesWritten(list []event.Touchpoint) {
	for i := range list {
		s.touched.changed.note(floor(list[i].At.UnixMicro(), hour))
	}
}

var seed = maphash.MakeSeed()

// digestIn is of what a pixel calls by a name, and of this process.
func digestIn(pixel, name string) uint64 {
	return maphash.Comparable(seed, [2]string{pixel, name})
}

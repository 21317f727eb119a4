package sqliteanalytics

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"slices"
)

// unroll takes events out of the roll-ups, which are about to be deleted in the same
// transaction.
func (s *Store) unroll(ctx context.Context, tx *sql.Tx, which where) error {
	r := newRoll(s.rolled, false)
	which.conds = append(slices.Clone(which.conds), `seq <= (SELECT seq FROM rolled)`)
	if err := s.count(ctx, tx, r.add, which.clause(), which.args...); err != nil {
		return err
	}
	for c, v := range r.sums {
		w := where{}
		w.add(`level = ? AND bucket = ? AND pixel_id = ? AND name = ?`, c.level, c.bucket, c.pixel, c.name)
		if _, err := tx.ExecContext(ctx, `UPDATE rollups SET events = events - ?, revenue = revenue - ?, base = base - ?`+w.String(),
			append([]any{v.events, v.revenue, v.base}, w.args...)...); err != nil {
			return err
		}
		w.add(`events <= 0`)
		if _, err := remove(ctx, tx, "rollups", w); err != nil {
			return err
		}
	}
	for b, values := range r.byValue() {
		if err := s.takeSums(ctx, tx, b, sorted(values)); err != nil {
			return err
		}
	}
	// The visitors' sets see to themselves: forgetVisitors.
	return nil
}

// seen is a visitor in one hour or day of a pixel.
type seen struct {
	slot
	visitor string
}

// visits are the hours and days in which the visitors of events were.
func visits(ctx context.Context, tx *sql.Tx, which where) (map[seen]bool, error) {
	out := map[seen]bool{}
	which.conds = append(slices.Clone(which.conds), `visitor_id <> ''`)
	var at int64
	var pixel, visitor string
	err := each(ctx, tx, `SELECT received_at, pixel_id, visitor_id FROM events`+which.String(), which.args, []any{&at, &pixel, &visitor}, func() {
		for _, level := range [...]int64{anHour, aDay} {
			out[seen{slot{level: level, bucket: floor(at, level*micros), pixel: pixel}, visitor}] = true
		}
	})
	return out, err
}

// forgetVisitors takes visitors out of the sets of hours and days in which no event of
// theirs is left.
func (s *Store) forgetVisitors(ctx context.Context, tx *sql.Tx, visits map[seen]bool) error {
	for v := range visits {
		from := v.bucket * v.level * micros
		var n int
		if err := countOf(ctx, tx, &n, `events WHERE visitor_id = ? AND received_at >= ? AND received_at < ? AND pixel_id = ?`,
			[]any{v.visitor, from, from + v.level*micros, v.pixel}); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		var blob []byte
		err := tx.StmtContext(ctx, s.visitorSet).QueryRowContext(ctx, v.level, v.bucket, v.pixel).Scan(&blob)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		set := unpack(blob, make([]uint64, 0, len(blob)/8))
		i, found := slices.BinarySearch(set, digest(v.visitor))
		if !found {
			continue
		}
		set = slices.Delete(set, i, i+1)
		blob = blob[:0]
		for _, d := range set {
			blob = binary.BigEndian.AppendUint64(blob, d)
		}
		if _, err := tx.StmtContext(ctx, s.putVisitors).ExecContext(ctx, v.level, v.bucket, v.pixel, blob); err != nil {
			return err
		}
	}
	return nil
}

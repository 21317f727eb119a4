package sqliteanalytics

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"slices"
)

// unroll takes events that are being deleted out of the roll-ups, as far as they are in
// them.
func (s *Store) unroll(ctx context.Context, tx *sql.Tx, gone []counted, rolled int64) error {
	r := newRoll(s.rolled)
	for i := range gone {
		if c := &gone[i]; c.seq <= rolled {
			r.add(c, c.visitorDigest())
		}
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
	// The visitors' sets see to themselves: forgetVisits.
	return nil
}

// forgetVisits takes visitors out of the sets of hours and days in which no event of
// theirs is left.
func (s *Store) forgetVisits(ctx context.Context, tx *sql.Tx, pixel string, over []visit) error {
	for _, v := range over {
		at := v.slot(pixel)
		var blob []byte
		err := tx.StmtContext(ctx, s.visitorSet).QueryRowContext(ctx, at.level, at.bucket, at.pixel).Scan(&blob)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		set := unpack(blob, make([]uint64, 0, len(blob)/8))
		i, found := slices.BinarySearch(set, v.visitor)
		if !found {
			continue
		}
		set = slices.Delete(set, i, i+1)
		blob = blob[:0]
		for _, d := range set {
			blob = binary.BigEndian.AppendUint64(blob, d)
		}
		if _, err := tx.StmtContext(ctx, s.putVisitors).ExecContext(ctx, at.level, at.bucket, at.pixel, blob); err != nil {
			return err
		}
	}
	return nil
}

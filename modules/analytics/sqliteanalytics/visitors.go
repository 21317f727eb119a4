package sqliteanalytics

import (
	"context"
	"database/sql"
)

// visitorsOf counts different people from the sets of visitors of hours and days,
// and from single events where those do not reach.
func (s *Store) visitorsOf(ctx context.Context, tx *sql.Tx, q question) (map[figure]float64, error) {
	known, err := place(ctx, tx)
	if err != nil {
		return nil, err
	}
	all := map[figure]*crowd{}
	add := func(step int, pixel string, set ...uint64) {
		s.people.count(pixel, set)
		f := figure{step: step}
		if q.dimension != "" {
			f.group = pixel
		}
		if all[f] == nil {
			all[f] = &crowd{}
		}
		all[f].add(set...)
	}
	var step int
	var pixel string
	var blob sql.RawBytes
	var set []uint64
	from, to := within(q.since, q.until)
	for level, list := range pieces(q.starts, from, to, aDay, anHour) {
		w := where{}
		query := `SELECT i, pixel_id, visitors FROM steps CROSS JOIN visitor_sets`
		if level == 0 {
			query = `SELECT DISTINCT i, pixel_id, visitor_id FROM steps CROSS JOIN events`
			w.add("received_at >= a AND received_at < b AND +seq <= ? AND visitor_id <> ''", known.rolled)
		} else {
			w.add("level = ? AND bucket >= a AND bucket < b", level)
		}
		q.selects(&w, same)
		err := each(ctx, tx, table(list)+query+w.String(), w.args, []any{&step, &pixel, &blob}, func() {
			if level == 0 {
				add(step, pixel, digest(string(blob)))
				return
			}
			set = unpack(blob, set[:0])
			add(step, pixel, set...)
		})
		if err != nil {
			return nil, err
		}
	}
	var at int64
	var visitor string
	err = q.waiting(ctx, tx, known.rolled, "pixel_id, visitor_id", []any{&at, &pixel, &visitor}, func() {
		if visitor != "" {
			add(q.step(at), pixel, digest(visitor))
		}
	})
	if err != nil {
		return nil, err
	}
	out := make(map[figure]float64, len(all))
	for f, c := range all {
		out[f] = float64(c.size())
	}
	return out, nil
}

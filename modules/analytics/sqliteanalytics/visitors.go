package sqliteanalytics

import (
	"context"
	"database/sql"
)

// visitorsOf counts different people from the sets of visitors of hours and days,
// and from columns where those do not reach.
func (s *Store) visitorsOf(ctx context.Context, tx *sql.Tx, q question) (map[figure]float64, error) {
	all := map[figure]*crowd{}
	var step int
	var pixel string
	var blob sql.RawBytes
	var set []uint64
	from, to := within(q.since, q.until)
	parts := pieces(q.starts, from, to, aDay, anHour)
	for _, level := range [...]int64{aDay, anHour} {
		if len(parts[level]) == 0 {
			continue
		}
		w := where{}
		w.add("level = ? AND bucket >= a AND bucket < b", level)
		q.selects(&w)
		err := each(ctx, tx, table(parts[level])+`SELECT i, pixel_id, visitors FROM steps CROSS JOIN visitor_sets`+w.String(), w.args, []any{&step, &pixel, &blob}, func() {
			set = unpack(blob, set[:0])
			s.people.count(pixel, set)
			f := figure{step: step}
			if q.dimension != "" {
				f.group = pixel
			}
			if all[f] == nil {
				all[f] = &crowd{}
			}
			all[f].add(set...)
		})
		if err != nil {
			return nil, err
		}
	}
	late, err := s.met(ctx, tx, q.way(parts[0]), len(q.starts))
	if err != nil {
		return nil, err
	}
	late.each(func(f figure, who *heads) {
		for _, n := range *who {
			if all[f] == nil {
				all[f] = &crowd{}
			}
			all[f].add(late.census.digest(n))
		}
	})
	out := make(map[figure]float64, len(all))
	for f, c := range all {
		out[f] = float64(c.size())
	}
	return out, nil
}

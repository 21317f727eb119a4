package sqliteanalytics

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// Latency sorts every latency of a partner and a step: quantiles cannot be added up.
func (s *Store) Latency(ctx context.Context, q analytics.LatencyQuery) (out []analytics.Latency, err error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	starts, err := q.Starts()
	if err != nil {
		return nil, err
	}
	from, to := within(q.Since, q.Until)
	list := pieces(starts, from, to)[0]
	all, ok, err := s.latencies(ctx, q, list)
	if err == nil && !ok {
		all, err = s.readLatencies(ctx, q, list)
	}
	if err != nil {
		return nil, err
	}
	for _, partner := range slices.Sorted(maps.Keys(all)) {
		for _, step := range slices.Sorted(maps.Keys(all[partner])) {
			out = append(out, analytics.LatencyOf(partner, starts[step].UTC(), all[partner][step]))
		}
	}
	return out, nil
}

// readLatencies reads them line by line.
func (s *Store) readLatencies(ctx context.Context, q analytics.LatencyQuery, list []piece) (map[string]map[int][]time.Duration, error) {
	w := where{}
	w.add("at >= a AND at < b AND latency > 0")
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.equal("partner", q.Partner)
	out := map[string]map[int][]time.Duration{}
	err := s.snapshot(ctx, "read latencies", func(tx *sql.Tx) error {
		var partner string
		var step int
		var latency time.Duration
		return each(ctx, tx, table(list)+`SELECT partner, i, latency FROM steps CROSS JOIN syncs`+w.String(), w.args, []any{&partner, &step, &latency}, func() {
			if out[partner] == nil {
				out[partner] = map[int][]time.Duration{}
			}
			out[partner][step] = append(out[partner][step], latency)
		})
	})
	return out, err
}

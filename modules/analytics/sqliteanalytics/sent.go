package sqliteanalytics

import (
	"context"
	"database/sql"
	"slices"
	"sort"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// eachLine calls f with the lines of some pieces of time that fulfil conditions on
// SyncDimensions, and with the piece; ok is false where there are too many to be kept in
// memory.
func (s *Store) eachLine(ctx context.Context, list []piece, conds []analytics.Condition, f func(l *line, step int, values *[4][]string)) (ok bool, err error) {
	if len(list) == 0 {
		return true, nil
	}
	return s.lines.with(ctx, s, func(all []line, values [4][]string) {
		var wanted [4][]bool
		for _, c := range conds {
			i := slices.Index(analytics.SyncDimensions, c.Dimension)
			if wanted[i] == nil {
				wanted[i] = make([]bool, len(values[i]))
				for j := range wanted[i] {
					wanted[i][j] = true
				}
			}
			for j, v := range values[i] {
				wanted[i][j] = wanted[i][j] && slices.Contains(c.Values, v) != c.Not
			}
		}
		now := list[0]
	lines:
		for i := range all {
			l := &all[i]
			if l.at < now.from || l.at >= now.to {
				i := sort.Search(len(list), func(i int) bool { return list[i].to > l.at })
				if i == len(list) || list[i].from > l.at {
					continue
				}
				now = list[i]
			}
			for d, ok := range wanted {
				if ok != nil && !ok[l.of[d]] {
					continue lines
				}
			}
			f(l, now.step, &values)
		}
	})
}

// syncs counts lines of the sync log.
func (s *Store) syncs(ctx context.Context, q question) (map[figure]float64, error) {
	from, to := within(q.since, q.until)
	list := pieces(q.starts, from, to)[0]
	conds := q.conditions()
	if q.partner != "" {
		conds = append(conds, analytics.Is("partner", q.partner))
	}
	d := slices.Index(analytics.SyncDimensions, q.dimension)
	type place struct {
		step  int
		group uint16
	}
	counts := map[place]float64{}
	out := map[figure]float64{}
	var groups []string
	ok, err := s.eachLine(ctx, list, conds, func(l *line, step int, values *[4][]string) {
		at := place{step: step}
		if d >= 0 {
			at.group, groups = l.of[d], values[d]
		}
		counts[at]++
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		err := s.snapshot(ctx, "count the sync log", func(tx *sql.Tx) (err error) {
			out, err = q.readSyncs(ctx, tx)
			return err
		})
		return out, err
	}
	for at, n := range counts {
		f := figure{step: at.step}
		if d >= 0 {
			f.group = groups[at.group]
		}
		out[f] = n
	}
	return out, nil
}

// latencies are those of each partner and step, by the partner's name.
func (s *Store) latencies(ctx context.Context, q analytics.LatencyQuery, list []piece) (out map[string]map[int][]time.Duration, ok bool, err error) {
	out = map[string]map[int][]time.Duration{}
	var conds []analytics.Condition
	for d, v := range map[string]string{"pixel_id": q.PixelID, "partner": q.Partner} {
		if v != "" {
			conds = append(conds, analytics.Is(d, v))
		}
	}
	if q.Pixels != nil {
		conds = append(conds, analytics.Is("pixel_id", q.Pixels...))
	}
	ok, err = s.eachLine(ctx, list, conds, func(l *line, step int, values *[4][]string) {
		if l.latency <= 0 {
			return
		}
		of := out[values[ofPartner][l.of[ofPartner]]]
		if of == nil {
			of = map[int][]time.Duration{}
			out[values[ofPartner][l.of[ofPartner]]] = of
		}
		of[step] = append(of[step], time.Duration(l.latency))
	})
	return out, ok, err
}

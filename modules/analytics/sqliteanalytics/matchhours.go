package sqliteanalytics

import (
	"context"
	"database/sql"

	"github.com/miq/pixel/modules/event"
)

// matchCount are matches of one hour of receipt that are alike.
type matchCount struct {
	pixel, partner, name string
	grade                event.Grade
	keys, missing        string
	n                    int
}

// matchHours keep in memory what the matches of an hour come to, once somebody asked.
// Nobody but this process writes the store; and a match's time is its event's, which
// does not change.
type matchHours struct {
	turns
	cuts    int64 // the state of deletions that they are of
	hours   map[int64][]matchCount
	kept    int
	changed noted[int64] // hours
}

const (
	// longestMatched is how many hours are asked of memory: two months.
	longestMatched = 62 * 24
	// mostMatched is how many counts are kept.
	mostMatched = 200_000
)

// wrote takes note of what was committed.
func (m *matchHours) wrote(list []event.Match) {
	for i := range list {
		m.changed.note(floor(list[i].ReceivedAt.UnixMicro(), hour))
	}
}

// with calls f with the counts of a time and the hours they are of.
func (m *matchHours) with(ctx context.Context, s *Store, from, to int64, f func(hour int64, c *matchCount)) error {
	if err := m.take(ctx); err != nil {
		return err
	}
	defer m.give()
	changed, over := m.changed.take()
	if over {
		m.hours = nil
	}
	for h := range changed {
		m.kept -= len(m.hours[h])
		delete(m.hours, h)
	}
	return s.snapshot(ctx, "count matches", func(tx *sql.Tx) error {
		first, end := -floor(-from, hour), floor(to, hour)
		if first >= end || end-first > longestMatched {
			return countMatches(ctx, tx, from, to, func(h int64, c matchCount) { f(h, &c) })
		}
		p, err := place(ctx, tx)
		if err != nil {
			return err
		}
		if m.hours == nil || m.cuts != p.cuts || m.kept > mostMatched {
			m.hours, m.cuts, m.kept = map[int64][]matchCount{}, p.cuts, 0
		}
		for _, edge := range [...]piece{{0, from, first * hour}, {0, end * hour, to}} {
			if err := countMatches(ctx, tx, edge.from, edge.to, func(h int64, c matchCount) { f(h, &c) }); err != nil {
				return err
			}
		}
		for h := first; h < end; h++ {
			if _, known := m.hours[h]; known {
				continue
			}
			until := h + 1
			for ; until < end; until++ {
				if _, known := m.hours[until]; known {
					break
				}
			}
			if err := m.load(ctx, tx, h, until); err != nil {
				return err
			}
		}
		for h := first; h < end; h++ {
			for i := range m.hours[h] {
				f(h, &m.hours[h][i])
			}
		}
		return nil
	})
}

// load reads hours, of which none is known.
func (m *matchHours) load(ctx context.Context, tx *sql.Tx, first, end int64) error {
	read := map[int64][]matchCount{}
	same := map[string]string{} // one string for all that are alike
	one := func(s string) string {
		if known, ok := same[s]; ok {
			return known
		}
		same[s] = s
		return s
	}
	err := countMatches(ctx, tx, first*hour, end*hour, func(h int64, c matchCount) {
		c.pixel, c.partner, c.name, c.grade, c.keys, c.missing = one(c.pixel), one(c.partner), one(c.name), event.Grade(one(string(c.grade))), one(c.keys), one(c.missing)
		read[h] = append(read[h], c)
	})
	if err != nil {
		return err
	}
	for h := first; h < end; h++ {
		m.hours[h] = read[h]
		m.kept += len(read[h])
	}
	return nil
}

func countMatches(ctx context.Context, tx *sql.Tx, from, to int64, f func(hour int64, c matchCount)) error {
	if from >= to {
		return nil
	}
	var h int64
	var c matchCount
	return each(ctx, tx, `SELECT received_at / ?3 - (received_at % ?3 < 0), pixel_id, partner, name, grade, keys, missing, count(*) FROM matches
		WHERE received_at >= ?1 AND received_at < ?2 GROUP BY 1, 2, 3, 4, 5, 6, 7`, []any{from, to, hour},
		[]any{&h, &c.pixel, &c.partner, &c.name, &c.grade, &c.keys, &c.missing, &c.n}, func() { f(h, c) })
}

package sqliteanalytics

import (
	"context"
	"database/sql"
	"time"

	"github.com/miq/pixel/modules/event"
)

// matchCount are matches of one hour of receipt that are alike.
type matchCount struct {
	pixel, partner, name string
	grade                event.Grade
	keys, missing        string
	n                    int
}

// matchHours are the matches by the hour. A match's time is its event's, which does not
// change.
type matchHours = hours[[]matchCount]

func (s *Store) keepMatches() {
	same := map[string]string{} // one string for all that are alike
	one := func(s string) string {
		if known, ok := same[s]; ok {
			return known
		}
		same[s] = s
		return s
	}
	s.matched.most, s.matched.changed.most = 200_000, longestKept
	s.matched.span = `SELECT (SELECT min(received_at) FROM matches), (SELECT max(received_at) FROM matches)`
	s.matched.weigh = func(l *[]matchCount) int { return len(*l) }
	s.matched.read = func(ctx context.Context, tx *sql.Tx, from, to int64, of func(int64) *[]matchCount) error {
		if len(same) > mostSame {
			clear(same)
		}
		var h int64
		var c matchCount
		return each(ctx, tx, `SELECT received_at / ?3 - (received_at % ?3 < 0), pixel_id, partner, name, grade, keys, missing, count(*) FROM matches
			WHERE received_at >= ?1 AND received_at < ?2 GROUP BY 1, 2, 3, 4, 5, 6, 7`, []any{from, to, hour},
			[]any{&h, &c.pixel, &c.partner, &c.name, &c.grade, &c.keys, &c.missing, &c.n}, func() {
				c.pixel, c.partner, c.name, c.grade, c.keys, c.missing = one(c.pixel), one(c.partner), one(c.name), event.Grade(one(string(c.grade))), one(c.keys), one(c.missing)
				l := of(h)
				*l = append(*l, c)
			})
	}
}

// mostSame is how many different strings are known by heart.
const mostSame = 10_000

// matchesWritten takes note of what was committed.
func (s *Store) matchesWritten(list []event.Match) {
	for i := range list {
		s.matched.changed.note(floor(list[i].ReceivedAt.UnixMicro(), hour))
	}
}

// warmMatches reads those of the last month before anybody asks, where they are not too many
// to be read for nobody.
func (s *Store) warmMatches(ctx context.Context) error {
	from, n := time.Now().Add(-warmed).UnixMicro(), 0
	err := s.snapshot(ctx, "count matches", func(tx *sql.Tx) error {
		return countOf(ctx, tx, &n, `(SELECT 1 FROM matches WHERE received_at >= ? LIMIT ?)`, []any{from, mostKept})
	})
	if err != nil || n == mostKept {
		return err
	}
	return s.matched.with(ctx, s, from, far, func(int64, *[]matchCount) {})
}

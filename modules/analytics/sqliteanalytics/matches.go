package sqliteanalytics

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

const (
	matchWidth    = 8
	insertMatches = `INSERT INTO matches (event_id, pixel_id, partner, received_at, name, grade, keys, missing) VALUES `
	ofMatches     = ` ON CONFLICT (event_id, pixel_id, partner) DO UPDATE SET
  received_at = excluded.received_at, name = excluded.name, grade = excluded.grade, keys = excluded.keys, missing = excluded.missing`
)

// WriteMatches stores how well events can be matched, in one transaction.
func (s *Store) WriteMatches(ctx context.Context, matches ...event.Match) error {
	err := s.write(ctx, "write matches", len(matches), s.matchesIn(ctx, matches))
	if err == nil {
		s.matchesWritten(matches)
	}
	return err
}

func (s *Store) matchesIn(ctx context.Context, matches []event.Match) inTx {
	return func(tx *sql.Tx) error {
		args := make([]any, 0, matchWidth*len(matches))
		for i := range matches {
			m := &matches[i]
			args = append(args, m.EventID, m.PixelID, m.Partner, m.ReceivedAt.UnixMicro(), m.Name, string(m.Grade), strings.Join(m.Keys, ","), strings.Join(m.Missing, ","))
		}
		return s.putMatches.fill(ctx, tx, args)
	}
}

// Matches are an event's, by partner.
func (s *Store) Matches(ctx context.Context, pixelID, eventID string) (out []event.Match, err error) {
	err = s.snapshot(ctx, "read matches", func(tx *sql.Tx) error {
		out, err = listMatches(ctx, tx, pixelID, eventID)
		return err
	})
	return out, err
}

func listMatches(ctx context.Context, tx *sql.Tx, pixelID, eventID string) ([]event.Match, error) {
	rows, err := tx.QueryContext(ctx, `SELECT partner, received_at, name, grade, keys, missing FROM matches WHERE event_id = ? AND pixel_id = ? ORDER BY partner`, eventID, pixelID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []event.Match{}
	for rows.Next() {
		m := event.Match{EventID: eventID, PixelID: pixelID}
		var at int64
		var keys, missing string
		if err := rows.Scan(&m.Partner, &at, &m.Name, &m.Grade, &keys, &missing); err != nil {
			return nil, err
		}
		m.ReceivedAt, m.Keys, m.Missing = time.UnixMicro(at).UTC(), names(keys), names(missing)
		out = append(out, m)
	}
	return out, rows.Err()
}

// Readiness counts matches.
func (s *Store) Readiness(ctx context.Context, q analytics.ReadinessQuery) ([]analytics.Readiness, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	var c analytics.ReadinessCount
	equal := func(want, got string) bool { return want == "" || want == got }
	from, to := within(q.Since, q.Until)
	err := s.matched.with(ctx, s, from, to, func(_ int64, list *[]matchCount) {
		for i := range *list {
			m := &(*list)[i]
			if equal(q.PixelID, m.pixel) && equal(q.Partner, m.partner) && equal(q.Name, m.name) && (q.Pixels == nil || slices.Contains(q.Pixels, m.pixel)) {
				c.Add(event.Match{Partner: m.partner, Grade: m.grade, Keys: names(m.keys), Missing: names(m.missing)}, m.n)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return c.Rows(), nil
}

func names(list string) []string {
	if list == "" {
		return []string{}
	}
	return strings.Split(list, ",")
}

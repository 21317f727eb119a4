package sqliteanalytics

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

const insertMatch = `INSERT INTO matches (event_id, pixel_id, partner, received_at, name, grade, keys, missing)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id, pixel_id, partner) DO UPDATE SET
  received_at = excluded.received_at, name = excluded.name, grade = excluded.grade, keys = excluded.keys, missing = excluded.missing`

// WriteMatches stores how well events can be matched, in one transaction.
func (s *Store) WriteMatches(ctx context.Context, matches ...event.Match) error {
	return s.write(ctx, "write matches", len(matches), func(tx *sql.Tx) error {
		put, ctx := tx.StmtContext(ctx, s.putMatch), context.WithoutCancel(ctx)
		for i := range matches {
			m := &matches[i]
			if _, err := put.ExecContext(ctx, m.EventID, m.PixelID, m.Partner, m.ReceivedAt.UnixMicro(), m.Name, string(m.Grade),
				strings.Join(m.Keys, ","), strings.Join(m.Missing, ",")); err != nil {
				return err
			}
		}
		return nil
	})
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
	w := where{}
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.equal("partner", q.Partner)
	w.equal("name", q.Name)
	w.between("received_at", q.Since, q.Until)
	var c analytics.ReadinessCount
	err := s.snapshot(ctx, "count matches", func(tx *sql.Tx) error {
		// There are far fewer sets of keys than events.
		rows, err := tx.QueryContext(ctx, `SELECT partner, grade, keys, missing, count(*) FROM matches`+w.String()+` GROUP BY 1, 2, 3, 4`, w.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m event.Match
			var keys, missing string
			var n int
			if err := rows.Scan(&m.Partner, &m.Grade, &keys, &missing, &n); err != nil {
				return err
			}
			m.Keys, m.Missing = names(keys), names(missing)
			c.Add(m, n)
		}
		return rows.Err()
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

package sqliteanalytics

import (
	"context"
	"database/sql"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

var _ analytics.History = (*Store)(nil)

// WriteCounts stores counts in one transaction.
func (s *Store) WriteCounts(ctx context.Context, read time.Time, counts ...analytics.Counted) error {
	return s.write(ctx, "write the queues' counts", len(counts), func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, `INSERT INTO ledger (hour, pixel_id, queue, stage, n, read_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET n = excluded.n, read_at = excluded.read_at WHERE excluded.read_at > read_at`)
		if err != nil {
			return err
		}
		defer put.Close()
		for _, c := range counts {
			if _, err := put.ExecContext(ctx, c.Hour.UnixMicro()/hour, c.PixelID, c.Queue, c.Stage, c.N, read.UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Counts reads whole hours' counts.
func (s *Store) Counts(ctx context.Context, since, until time.Time) (out []analytics.Counted, err error) {
	if err := analytics.Books(since, until); err != nil {
		return nil, err
	}
	err = s.snapshot(ctx, "read the queues' counts", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT queue, hour, pixel_id, stage, n FROM ledger WHERE hour >= ? AND hour < ? ORDER BY queue, hour, pixel_id, stage`,
			since.UnixMicro()/hour, until.UnixMicro()/hour)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c analytics.Counted
			var at int64
			if err := rows.Scan(&c.Queue, &at, &c.PixelID, &c.Stage, &c.N); err != nil {
				return err
			}
			c.Hour = time.UnixMicro(at * hour).UTC()
			out = append(out, c)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// WriteAudit stores lines of the audit log in one transaction.
func (s *Store) WriteAudit(ctx context.Context, entries ...analytics.AuditEntry) error {
	return s.write(ctx, "write the audit log", len(entries), func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, `INSERT INTO audit (id, at, actor, action, target, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
		if err != nil {
			return err
		}
		defer put.Close()
		for _, e := range entries {
			if _, err := put.ExecContext(ctx, e.ID, e.At.UnixMicro(), e.Actor, e.Action, e.Target, e.Body); err != nil {
				return err
			}
		}
		return nil
	})
}

// Audit lists lines of the audit log.
func (s *Store) Audit(ctx context.Context, before string, limit int) (out []analytics.AuditEntry, err error) {
	if limit, err = analytics.AuditLimit(limit); err != nil {
		return nil, err
	}
	w := where{}
	if before != "" {
		w.add("id < ?", before)
	}
	err = s.snapshot(ctx, "list the audit log", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT id, at, actor, action, target, body FROM audit`+w.String()+` ORDER BY id DESC LIMIT ?`, append(w.args, limit)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var e analytics.AuditEntry
			var at int64
			if err := rows.Scan(&e.ID, &at, &e.Actor, &e.Action, &e.Target, &e.Body); err != nil {
				return err
			}
			e.At = time.UnixMicro(at).UTC()
			out = append(out, e)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

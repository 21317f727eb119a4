package chanalytics

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/miq/pixel/modules/analytics"
)

var _ analytics.History = (*Store)(nil)

type countRow struct {
	analytics.Counted
	read time.Time
}

var counts = table[countRow]{"ledger", []column[countRow]{
	col("hour", func(r *countRow) time.Time { return within(r.Hour) }),
	col("pixel_id", func(r *countRow) string { return r.PixelID }),
	col("queue", func(r *countRow) string { return r.Queue }),
	col("stage", func(r *countRow) string { return r.Stage }),
	col("n", func(r *countRow) int64 { return r.N }),
	col("read_at", func(r *countRow) time.Time { return within(r.read) }),
}}

type auditRow struct {
	analytics.AuditEntry
	seq uint64
}

var audits = table[auditRow]{"audit", []column[auditRow]{
	col("id", func(r *auditRow) string { return r.ID }),
	col("at", func(r *auditRow) time.Time { return within(r.At) }),
	col("actor", func(r *auditRow) string { return r.Actor }),
	col("action", func(r *auditRow) string { return r.Action }),
	col("target", func(r *auditRow) string { return r.Target }),
	col("body", func(r *auditRow) []byte { return r.Body }),
	col("seq", func(r *auditRow) uint64 { return r.seq }),
}}

// WriteCounts stores counts of the queues.
func (s *Store) WriteCounts(ctx context.Context, read time.Time, counts ...analytics.Counted) error {
	rows := make([]countRow, len(counts))
	for i := range counts {
		rows[i] = countRow{counts[i], read}
	}
	return told(ctx, "write the queues' counts", s.counts.write(ctx, rows))
}

// Counts reads whole hours' counts.
func (s *Store) Counts(ctx context.Context, since, until time.Time) (out []analytics.Counted, err error) {
	if err := analytics.Books(since, until); err != nil {
		return nil, err
	}
	err = s.ask(ctx, "read the queues' counts", `SELECT queue, hour, pixel_id, stage, n FROM ledger FINAL
		WHERE hour >= toStartOfHour(`+micro+`, 'UTC') AND hour < toStartOfHour(`+micro+`, 'UTC') ORDER BY queue, hour, pixel_id, stage`,
		[]any{within(since).UnixMicro(), within(until).UnixMicro()}, func(r driver.Rows) error {
			var c analytics.Counted
			err := r.Scan(&c.Queue, &c.Hour, &c.PixelID, &c.Stage, &c.N)
			c.Hour = c.Hour.UTC()
			out = append(out, c)
			return err
		})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// WriteAudit stores lines of the audit log.
func (s *Store) WriteAudit(ctx context.Context, entries ...analytics.AuditEntry) error {
	rows := make([]auditRow, len(entries))
	seq := s.number(len(rows))
	for i := range entries {
		rows[i] = auditRow{entries[i], seq + uint64(i)}
	}
	return told(ctx, "write the audit log", s.audits.write(ctx, rows))
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
	err = s.ask(ctx, "list the audit log", `SELECT id, toUnixTimestamp64Micro(at), actor, action, target, body FROM audit FINAL`+w.String()+` ORDER BY id DESC LIMIT ?`, append(w.args, limit), func(r driver.Rows) error {
		var e analytics.AuditEntry
		var at int64
		var body string
		err := r.Scan(&e.ID, &at, &e.Actor, &e.Action, &e.Target, &body)
		e.At, e.Body = time.UnixMicro(at).UTC(), []byte(body)
		out = append(out, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// What is stored was accepted already: better kept with a replacement character
// than refused for ever.
var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// columns are the dimensions that have a column of their own; pixel_id is a key.
func columns() []string {
	return slices.DeleteFunc(slices.Clone(analytics.EventDimensions), func(d string) bool { return d == "pixel_id" })
}

func insertEvent(dimensions []string) string {
	names := append([]string{"pixel_id", "id", "received_at", "time", "visitor_id", "order_id", "value", "base_value", "search"}, dimensions...)
	return `INSERT INTO events (` + strings.Join(names, ", ") + `) VALUES (?` + strings.Repeat(", ?", len(names)-1) + `) ON CONFLICT DO NOTHING`
}

const insertSync = `INSERT INTO syncs (pixel_id, event_id, partner, attempt, at, outcome, code, order_id, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id, pixel_id, partner, attempt) DO UPDATE SET
  at = excluded.at, outcome = excluded.outcome, code = excluded.code, order_id = excluded.order_id, body = excluded.body`

// WriteEvents stores events in one transaction.
func (s *Store) WriteEvents(ctx context.Context, events ...event.Event) error {
	// The work is done before the transaction, which holds up other writers.
	rows := make([][]any, len(events))
	bodies := make([][]byte, len(events))
	for i := range events {
		e := &events[i]
		bodies[i] = s.bodies.pack(e)
		row := make([]any, 0, 9+len(s.dimension))
		row = append(row, e.PixelID, e.ID, e.ReceivedAt.UnixMicro(), e.Time.UnixMicro(), e.Subject.VisitorID, e.Order.ID, number(e.Order.Value), number(e.Enrichment.Value.Amount), searchable(e))
		for _, d := range s.dimension {
			row = append(row, analytics.Value(e, d))
		}
		rows[i] = row
	}
	return s.write(ctx, "write events", len(rows), func(tx *sql.Tx) error {
		putEvent, putBody := tx.StmtContext(ctx, s.putEvent), tx.StmtContext(ctx, s.putBody)
		// The driver has a goroutine watch each statement that could be cancelled. These take
		// microseconds; the transaction is rolled back when ctx ends, and then the next fails.
		still := context.WithoutCancel(ctx)
		for i, row := range rows {
			r, err := putEvent.ExecContext(still, row...)
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				continue
			}
			seq, err := r.LastInsertId()
			if err != nil {
				return err
			}
			if _, err := putBody.ExecContext(still, seq, codecS2, bodies[i]); err != nil {
				return err
			}
		}
		return s.rollUp(still, tx)
	})
}

// WriteSyncs stores lines of the sync log in one transaction.
func (s *Store) WriteSyncs(ctx context.Context, syncs ...event.Sync) error {
	bodies := make([][]byte, len(syncs))
	for i := range syncs {
		var err error
		if bodies[i], err = json.Marshal(&syncs[i], lenient); err != nil {
			return fmt.Errorf("encode a sync of event %q: %w", syncs[i].EventID, err)
		}
	}
	return s.write(ctx, "write syncs", len(syncs), func(tx *sql.Tx) error {
		put := tx.StmtContext(ctx, s.putSync)
		for i := range syncs {
			l := &syncs[i]
			if _, err := put.ExecContext(ctx, l.PixelID, l.EventID, l.Partner, l.Attempt, l.At.UnixMicro(), string(l.Outcome), l.Code, l.OrderID, bodies[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) write(ctx context.Context, what string, n int, f func(*sql.Tx) error) error {
	if n == 0 {
		return nil
	}
	err := func() error {
		tx, err := s.db.Durable.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := f(tx); err != nil {
			return err
		}
		return tx.Commit()
	}()
	return told(ctx, what, err)
}

// number is an amount for sums; SQLite adds with compensation, so that the sum
// is as good as a float can hold.
func number(a event.Amount) any {
	if v, err := strconv.ParseFloat(string(a), 64); err == nil {
		return v
	}
	return nil
}

// searchable is the column search; see the migration.
func searchable(e *event.Event) []byte {
	p := &e.Context.Page
	b := make([]byte, 0, 8+len(e.Name)+len(p.URL)+len(p.Title)+len(e.ID)+len(e.Order.ID)+len(e.Subject.VisitorID))
	for _, s := range []string{e.Name, p.URL, p.Title} {
		b = append(append(b, 0xFF), fold(s)...)
	}
	for _, s := range []string{e.ID, e.Order.ID, e.Subject.VisitorID} {
		b = append(append(b, 0xFE), fold(s)...)
	}
	return b
}

// fold ignores letter case, and leaves no byte that is not UTF-8.
func fold(s string) string { return strings.ToLower(strings.ToValidUTF8(s, "\uFFFD")) }

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

// several is how many rows one statement takes where there are as many: what a
// statement costs by itself is as much as a row.
const several = 32

func insertEvents(dimensions []string, rows int) string {
	names := append([]string{"seq", "pixel_id", "id", "received_at", "time", "visitor_id", "order_id", "value", "base_value", "search"}, dimensions...)
	return `INSERT INTO events (` + strings.Join(names, ", ") + `) VALUES ` + tuples(len(names), rows) + ` ON CONFLICT DO NOTHING`
}

func insertBodies(rows int) string {
	return `INSERT INTO event_bodies (seq, codec, body) VALUES ` + tuples(3, rows)
}

// tuples are so many rows of so many arguments.
func tuples(width, rows int) string {
	one := "(?" + strings.Repeat(", ?", width-1) + ")"
	return one + strings.Repeat(", "+one, rows-1)
}

const insertSync = `INSERT INTO syncs (pixel_id, event_id, partner, attempt, at, outcome, code, order_id, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id, pixel_id, partner, attempt) DO UPDATE SET
  at = excluded.at, outcome = excluded.outcome, code = excluded.code, order_id = excluded.order_id, body = excluded.body`

// WriteEvents stores events in one transaction.
func (s *Store) WriteEvents(ctx context.Context, events ...event.Event) error {
	// The work is done before the transaction, which holds up other writers.
	all := newRows(s, events)
	return s.write(ctx, "write events", len(events), func(tx *sql.Tx) error {
		at, err := place(ctx, tx)
		if err != nil {
			return err
		}
		fresh, last, err := s.insert(ctx, tx, all, at.used)
		if err != nil {
			return err
		}
		s.ahead.add(s, at, all, fresh, last)
		return s.rollUp(context.WithoutCancel(ctx), tx)
	})
}

// rows are events as they are written.
type rows struct {
	width  int
	args   []any // of all rows, one after the other; the first of each is its seq
	bodies [][]byte
	counts []counted
}

func newRows(s *Store, events []event.Event) *rows {
	r := &rows{width: 10 + len(s.dimension), bodies: make([][]byte, len(events)), counts: make([]counted, len(events))}
	r.args = make([]any, 0, r.width*len(events))
	values := make([]string, 0, len(s.rolled)*len(events))
	for i := range events {
		e := &events[i]
		r.bodies[i] = s.bodies.pack(e)
		c := &r.counts[i]
		c.at, c.time, c.pixel, c.name, c.visitor, c.order = e.ReceivedAt.UnixMicro(), e.Time.UnixMicro(), e.PixelID, e.Name, e.Subject.VisitorID, e.Order.ID
		c.search = searchable(e)
		c.revenue, c.base = number(e.Order.Value), number(e.Enrichment.Value.Amount)
		r.args = append(r.args, nil, e.PixelID, e.ID, c.at, c.time, c.visitor, c.order, plain(c.revenue), plain(c.base), c.search)
		from := len(values)
		for _, d := range s.dimension {
			v := analytics.Value(e, d)
			r.args = append(r.args, v)
			if d != "name" {
				values = append(values, v)
			}
		}
		c.values = values[from:len(values):len(values)]
	}
	return r
}

// insert writes rows behind a seq, and returns those that were not there and the last
// seq that one of them got.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, r *rows, after int64) (fresh []int, last int64, err error) {
	// The driver has a goroutine watch each statement that could be cancelled. These take
	// microseconds; the transaction is rolled back when ctx ends, and then the next fails.
	still := context.WithoutCancel(ctx)
	n := len(r.bodies)
	fresh = make([]int, 0, n)
	put, putOne := tx.StmtContext(ctx, s.putEvents), tx.StmtContext(ctx, s.putEvent)
	for i := 0; i < n; {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		stmt, rows := putOne, 1
		if n-i >= several {
			stmt, rows = put, several
		}
		for j := range rows {
			r.args[(i+j)*r.width] = after + int64(i+j) + 1
		}
		done, err := stmt.ExecContext(still, r.args[i*r.width:(i+rows)*r.width]...)
		if err != nil {
			return nil, 0, err
		}
		written, err := done.RowsAffected()
		switch {
		case err != nil:
			return nil, 0, err
		case written == int64(rows):
			for j := range rows {
				fresh = append(fresh, i+j)
			}
		case written > 0:
			var seq int64
			err := each(still, tx, `SELECT seq FROM events WHERE seq > ? AND seq <= ? ORDER BY seq`, []any{after + int64(i), after + int64(i+rows)}, []any{&seq}, func() {
				fresh = append(fresh, int(seq-after)-1)
			})
			if err != nil {
				return nil, 0, err
			}
		}
		i += rows
	}
	args := make([]any, 0, 3*several)
	for part := range slices.Chunk(fresh, several) {
		args = args[:0]
		for _, i := range part {
			last = after + int64(i) + 1
			args = append(args, last, codecS2, r.bodies[i])
		}
		if len(part) == several {
			if _, err := tx.StmtContext(ctx, s.putBodies).ExecContext(still, args...); err != nil {
				return nil, 0, err
			}
			continue
		}
		one := tx.StmtContext(ctx, s.putBody)
		for i := range part {
			if _, err := one.ExecContext(still, args[3*i:3*i+3]...); err != nil {
				return nil, 0, err
			}
		}
	}
	return fresh, last, nil
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
	err := s.write(ctx, "write syncs", len(syncs), func(tx *sql.Tx) error {
		put, ctx := tx.StmtContext(ctx, s.putSync), context.WithoutCancel(ctx)
		for i := range syncs {
			l := &syncs[i]
			if _, err := put.ExecContext(ctx, l.PixelID, l.EventID, l.Partner, l.Attempt, l.At.UnixMicro(), string(l.Outcome), l.Code, l.OrderID, bodies[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.lines.wrote(syncs)
	}
	return err
}

// number is an amount for sums; SQLite adds with compensation, so that the sum
// is as good as a float can hold.
func number(a event.Amount) (n sql.NullFloat64) {
	if a != "" {
		v, err := strconv.ParseFloat(string(a), 64)
		n = sql.NullFloat64{Float64: v, Valid: err == nil}
	}
	return n
}

func plain(n sql.NullFloat64) any {
	if n.Valid {
		return n.Float64
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

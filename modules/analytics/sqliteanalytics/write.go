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

const insertBodies = `INSERT INTO event_bodies (seq, codec, body) VALUES `

// tuples are so many rows of so many arguments.
func tuples(width, rows int) string {
	one := "(?" + strings.Repeat(", ?", width-1) + ")"
	return one + strings.Repeat(", "+one, rows-1)
}

const (
	syncWidth   = 9
	insertSyncs = `INSERT INTO syncs (pixel_id, event_id, partner, attempt, at, outcome, code, order_id, body) VALUES `
	ofSyncs     = ` ON CONFLICT (event_id, pixel_id, partner, attempt) DO UPDATE SET
  at = excluded.at, outcome = excluded.outcome, code = excluded.code, order_id = excluded.order_id, body = excluded.body`
)

// WriteEvents stores events in one transaction.
func (s *Store) WriteEvents(ctx context.Context, events ...event.Event) error {
	return s.write(ctx, "write events", len(events), s.eventsIn(ctx, events))
}

// inTx is what a write does in a transaction. The work that needs none is done before
// it, since it holds up other writers.
type inTx = func(*sql.Tx) error

func (s *Store) eventsIn(ctx context.Context, events []event.Event) inTx {
	all := newRows(s, events)
	return func(tx *sql.Tx) error {
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
	}
}

// WriteBatch stores all of a batch in one transaction.
func (s *Store) WriteBatch(ctx context.Context, b analytics.Batch) error {
	receipts, err := s.receiptsIn(ctx, b.Receipts)
	if err != nil {
		return err
	}
	syncs, err := s.syncsIn(ctx, b.Syncs)
	if err != nil {
		return err
	}
	parts := []inTx{receipts, s.touchesIn(ctx, b.Touches), s.creditsIn(ctx, b.Credits), syncs, s.matchesIn(ctx, b.Matches)}
	if len(b.Events) > 0 {
		parts = append(parts, s.eventsIn(ctx, b.Events))
	}
	err = s.write(ctx, "write a batch", b.Len(), func(tx *sql.Tx) error {
		for _, p := range parts {
			if err := p(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.lines.wrote(b.Syncs)
		s.matchesWritten(b.Matches)
		s.creditsWritten(b.Credits)
		s.touchesWritten(b.Touches)
	}
	return err
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
	args := make([]any, 0, 3*len(fresh))
	for _, i := range fresh {
		last = after + int64(i) + 1
		args = append(args, last, codecS2, r.bodies[i])
	}
	return fresh, last, s.putBodies.fill(ctx, tx, args)
}

// rowsOf is a statement that takes a row, or several.
type rowsOf struct {
	width     int
	one, many *sql.Stmt
}

// prepareRows makes one of what stands before the rows and after them.
func prepareRows(ctx context.Context, db *sql.DB, width int, before, after string) (r rowsOf, err error) {
	r.width = width
	if r.one, err = db.PrepareContext(ctx, before+tuples(width, 1)+after); err == nil {
		r.many, err = db.PrepareContext(ctx, before+tuples(width, several)+after)
	}
	return r, err
}

// fill puts all rows, whose arguments are one after the other.
func (r *rowsOf) fill(ctx context.Context, tx *sql.Tx, args []any) error {
	if len(args) == 0 {
		return ctx.Err()
	}
	one, many := tx.StmtContext(ctx, r.one), tx.StmtContext(ctx, r.many)
	still := context.WithoutCancel(ctx) // see insert
	for len(args) > 0 {
		put, n := one, r.width
		if len(args) >= several*r.width {
			put, n = many, several*r.width
		}
		if _, err := put.ExecContext(still, args[:n]...); err != nil {
			return err
		}
		args = args[n:]
	}
	return nil
}

// WriteSyncs stores lines of the sync log in one transaction.
func (s *Store) WriteSyncs(ctx context.Context, syncs ...event.Sync) error {
	p, err := s.syncsIn(ctx, syncs)
	if err != nil {
		return err
	}
	if err = s.write(ctx, "write syncs", len(syncs), p); err == nil {
		s.lines.wrote(syncs)
	}
	return err
}

func (s *Store) syncsIn(ctx context.Context, syncs []event.Sync) (inTx, error) {
	bodies := make([][]byte, len(syncs))
	for i := range syncs {
		var err error
		if bodies[i], err = json.Marshal(&syncs[i], lenient); err != nil {
			return nil, fmt.Errorf("encode a sync of event %q: %w", syncs[i].EventID, err)
		}
	}
	return func(tx *sql.Tx) error {
		args := make([]any, 0, syncWidth*len(syncs))
		for i := range syncs {
			l := &syncs[i]
			args = append(args, l.PixelID, l.EventID, l.Partner, l.Attempt, l.At.UnixMicro(), string(l.Outcome), l.Code, l.OrderID, bodies[i])
		}
		return s.putSyncs.fill(ctx, tx, args)
	}, nil
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

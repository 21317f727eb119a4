package sqliteanalytics

import (
	"bytes"
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

// dimensions are those that are rolled up and have a column each, beside the pixel and
// the name, which are keys.
func dimensions() []string {
	return slices.DeleteFunc(slices.Clone(analytics.EventDimensions), func(d string) bool { return d == "pixel_id" || d == "name" })
}

// several is how many rows one statement takes where there are as many: what a
// statement costs by itself is as much as a row.
const several = 32

const (
	eventWidth   = 7
	insertEvents = `INSERT INTO events (seq, pixel_id, id, received_at, order_id, codec, body) VALUES `
	ofEvents     = ` ON CONFLICT DO NOTHING`
)

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
	args   []any // of all rows, one after the other; the first of each is its seq
	counts []counted
}

func newRows(s *Store, events []event.Event) *rows {
	r := &rows{args: make([]any, 0, eventWidth*len(events)), counts: make([]counted, len(events))}
	values := make([]string, len(s.rolled)*len(events))
	for i := range events {
		e := &events[i]
		c := &r.counts[i]
		c.values, values = values[:len(s.rolled):len(s.rolled)], values[len(s.rolled):]
		s.countEvent(e, c)
		r.args = append(r.args, nil, e.PixelID, e.ID, c.at, c.order, codecS2, s.bodies.pack(e))
	}
	return r
}

// countEvent says what a roll and columns need of an event; the values have their places.
func (s *Store) countEvent(e *event.Event, c *counted) {
	c.at, c.time, c.pixel, c.name, c.visitor, c.order = e.ReceivedAt.UnixMicro(), e.Time.UnixMicro(), e.PixelID, e.Name, e.Subject.VisitorID, e.Order.ID
	c.search = searchable(c.search[:0], e)
	c.revenue, c.base = number(e.Order.Value), number(e.Enrichment.Value.Amount)
	for i, d := range s.rolled {
		c.values[i] = analytics.Value(e, d)
	}
}

// insert writes rows behind a seq, and returns those that were not there and the last
// seq that one of them got.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, r *rows, after int64) (fresh []int, last int64, err error) {
	// The driver has a goroutine watch each statement that could be cancelled. These take
	// microseconds; the transaction is rolled back when ctx ends, and then the next fails.
	still := context.WithoutCancel(ctx)
	n := len(r.counts)
	fresh = make([]int, 0, n)
	many, one := tx.StmtContext(ctx, s.putEvents.many), tx.StmtContext(ctx, s.putEvents.one)
	for i := 0; i < n; {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		put, rows := one, 1
		if n-i >= several {
			put, rows = many, several
		}
		for j := range rows {
			r.args[(i+j)*eventWidth] = after + int64(i+j) + 1
		}
		done, err := put.ExecContext(still, r.args[i*eventWidth:(i+rows)*eventWidth]...)
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
	if len(fresh) > 0 {
		last = after + int64(fresh[len(fresh)-1]) + 1
	}
	return fresh, last, nil
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

// searchable is what a search looks at, in lower case: the name, the page's address and
// its title, each behind 0xFF, then the event's, order's and visitor's ids, each behind
// 0xFE; neither byte occurs in text.
func searchable(b []byte, e *event.Event) []byte {
	p := &e.Context.Page
	b = slices.Grow(b, 8+len(e.Name)+len(p.URL)+len(p.Title)+len(e.ID)+len(e.Order.ID)+len(e.Subject.VisitorID))
	for _, s := range [...]string{e.Name, p.URL, p.Title} {
		b = append(append(b, 0xFF), fold(s)...)
	}
	for _, s := range [...]string{e.ID, e.Order.ID, e.Subject.VisitorID} {
		b = append(append(b, 0xFE), fold(s)...)
	}
	return b
}

// mentions reports whether a folded text is in one of the texts, or begins an id.
func mentions(search, text []byte) bool {
	ids := bytes.IndexByte(search, 0xFE)
	return bytes.Contains(search[:ids], text) || bytes.Contains(search[ids:], append([]byte{0xFE}, text...))
}

// fold ignores letter case, and leaves no byte that is not UTF-8.
func fold(s string) string { return strings.ToLower(strings.ToValidUTF8(s, "\uFFFD")) }

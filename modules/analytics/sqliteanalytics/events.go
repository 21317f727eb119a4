package sqliteanalytics

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// Events lists stored events.
func (s *Store) Events(ctx context.Context, f analytics.EventFilter) (page analytics.EventPage, err error) {
	f, err = f.Check()
	if err != nil {
		return page, err
	}
	w := where{}
	// A unary plus keeps a column's index out of the plan: what came after a
	// cursor is few, wherever it belongs.
	plus := ""
	order := "e.received_at DESC, e.seq DESC"
	var after int64
	switch {
	case f.After != "":
		if after, err = strconv.ParseInt(f.After, 36, 64); err != nil || after < 0 {
			return page, badCursor("after")
		}
		plus, order = "+", "e.seq"
		w.add("e.seq > ?", after)
	case f.Cursor != "":
		at, seq, err := parseCursor(f.Cursor)
		if err != nil {
			return page, err
		}
		// The first term lets the index seek; the row value alone would too, but
		// not together with an equality on the column before.
		w.add("e.received_at <= ? AND (e.received_at, e.seq) < (?, ?)", at, at, seq)
	}
	w.equal(plus+"e.pixel_id", f.PixelID)
	w.equal(plus+"e.id", f.ID)
	w.equal(plus+"e.name", f.Name)
	if f.VisitorID != "" {
		w.add(plus+"e.visitor_id = ? AND e.visitor_id <> ''", f.VisitorID)
	}
	if f.OrderID != "" {
		w.add(plus+"e.order_id = ? AND e.order_id <> ''", f.OrderID)
	}
	if f.ProfileID != "" {
		w.add(ofProfile, f.ProfileID)
	}
	w.between(plus+"e.received_at", f.Since, f.Until)
	w.conditions("+e.", f.Where)
	if f.MinValue != nil {
		w.add("e.value >= ?", *f.MinValue)
	}
	if f.MaxValue != nil {
		w.add("e.value <= ?", *f.MaxValue)
	}
	if f.Partner != "" || f.Outcome != "" {
		sent := where{}
		sent.add("s.event_id = e.id AND s.pixel_id = e.pixel_id")
		sent.equal("s.partner", f.Partner)
		sent.equal("s.outcome", string(f.Outcome))
		w.add("EXISTS (SELECT 1 FROM syncs s"+sent.String()+")", sent.args...)
	}
	if f.Query != "" && f.After == "" {
		return s.search(ctx, f, w)
	}
	if f.Query != "" {
		w.add(matching, []byte(fold(f.Query)), []byte("\xFE"+fold(f.Query)))
	}
	err = s.snapshot(ctx, "list events", func(tx *sql.Tx) error {
		var newest int64
		if err := tx.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM events`).Scan(&newest); err != nil {
			return err
		}
		// CROSS JOIN: select and order by the narrow table, then fetch the bodies.
		rows, err := tx.QueryContext(ctx, `SELECT e.received_at, e.seq, b.codec, b.body FROM events e CROSS JOIN event_bodies b USING (seq)`+
			w.String()+` ORDER BY `+order+` LIMIT ?`, append(w.args, f.Limit+1)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var at, seq int64
		for rows.Next() {
			if len(page.Events) == f.Limit {
				page.Next = cursor(at, seq)
				break
			}
			e, err := s.scan(rows, &at, &seq)
			if err != nil {
				return err
			}
			page.Events = append(page.Events, e)
		}
		if f.After != "" {
			if page.Next != "" {
				newest = seq
			}
			newest, page.Next = max(newest, after), ""
		}
		page.Newest = strconv.FormatInt(newest, 36)
		return rows.Err()
	})
	if err != nil {
		return analytics.EventPage{}, err
	}
	return page, nil
}

// matching are the events that hold a text or have an id that begins so.
const matching = "(instr(e.search, ?) BETWEEN 1 AND instr(e.search, x'FE') OR instr(e.search, ?) > 0)"

// Event finds one event. An id that two pixels used finds the one received last.
func (s *Store) Event(ctx context.Context, pixelID, id string) (e event.Event, err error) {
	err = s.snapshot(ctx, "find an event", func(tx *sql.Tx) error {
		e, err = s.find(ctx, tx, "id", id, pixelID)
		return err
	})
	return e, err
}

// find is by the event's id or the order's, whichever column that is.
func (s *Store) find(ctx context.Context, tx *sql.Tx, column, id, pixelID string) (e event.Event, err error) {
	w := where{}
	order := ""
	w.add("e."+column+" = ?", id)
	if column == "order_id" {
		w.add("e.order_id <> ''")
		order = "e.name = 'purchase' DESC, "
	}
	w.equal("e.pixel_id", pixelID)
	var at, seq int64
	e, err = s.scan(tx.QueryRowContext(ctx, `SELECT e.received_at, e.seq, b.codec, b.body FROM events e CROSS JOIN event_bodies b USING (seq)`+
		w.String()+` ORDER BY `+order+`e.received_at DESC, e.seq DESC LIMIT 1`, w.args...), &at, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return e, analytics.ErrNotFound
	}
	return e, err
}

func (s *Store) scan(row interface{ Scan(...any) error }, at, seq *int64) (e event.Event, err error) {
	var codec int
	var body []byte
	if err := row.Scan(at, seq, &codec, &body); err != nil {
		return e, err
	}
	if err := s.bodies.unpack(codec, body, &e); err != nil {
		return e, fmt.Errorf("read stored event %d: %w", *seq, err)
	}
	return e, nil
}

// A cursor is the last row's time and storage sequence, in base 36.
func cursor(at, seq int64) string {
	return strconv.FormatInt(at, 36) + "." + strconv.FormatInt(seq, 36)
}

func parseCursor(s string) (at, seq int64, err error) {
	a, b, _ := strings.Cut(s, ".")
	if at, err = strconv.ParseInt(a, 36, 64); err == nil {
		seq, err = strconv.ParseInt(b, 36, 64)
	}
	if err != nil {
		return 0, 0, badCursor("cursor")
	}
	return at, seq, nil
}

func badCursor(name string) error {
	return fmt.Errorf("%w: %s is not one that this store gave out", analytics.ErrInvalid, name)
}

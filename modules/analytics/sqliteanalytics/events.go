package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// Event finds one event. An id that two pixels used finds the one received last.
func (s *Store) Event(ctx context.Context, pixelID, id string) (e event.Event, err error) {
	err = s.snapshot(ctx, "find an event", func(tx *sql.Tx) error {
		e, err = s.find(ctx, tx, "id", id, pixelID)
		return err
	})
	return e, err
}

// find is by the event's id or the order's, whichever column that is: of an order's
// events the purchase.
func (s *Store) find(ctx context.Context, tx *sql.Tx, column, id, pixelID string) (found event.Event, err error) {
	w := where{}
	w.add(column+" = ?", id)
	if column == "order_id" {
		w.add("order_id <> ''")
	}
	w.equal("pixel_id", pixelID)
	some := false
	err = s.events(ctx, tx, func(_ int64, e *event.Event) bool {
		purchase := column == "order_id" && e.Name == "purchase"
		if !some || purchase {
			some, found = true, *e
		}
		return column == "order_id" && !purchase
	}, w.clause()+` ORDER BY received_at DESC, seq DESC`, w.args...)
	if err == nil && !some {
		err = analytics.ErrNotFound
	}
	return found, err
}

// events calls f with stored events, until it has enough; they are its own only until it
// returns.
func (s *Store) events(ctx context.Context, tx *sql.Tx, f func(seq int64, e *event.Event) bool, where string, args ...any) error {
	rows, err := tx.QueryContext(ctx, `SELECT e.seq, e.codec, e.body FROM events e WHERE `+where, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var e event.Event
	var seq int64
	var codec int
	var body sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&seq, &codec, &body); err != nil {
			return err
		}
		e = event.Event{}
		if err := s.bodies.unpack(codec, body, &e); err != nil {
			return fmt.Errorf("read stored event %d: %w", seq, err)
		}
		if !f(seq, &e) {
			return nil
		}
	}
	return rows.Err()
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

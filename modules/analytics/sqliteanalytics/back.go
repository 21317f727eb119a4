package sqliteanalytics

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/sqlitedb"
)

//go:embed back.sql
var wideEvents string

// afterWide stands once the events are copied.
const afterWide = `
DELETE FROM sqlite_sequence WHERE name = 'wide_events';
INSERT INTO sqlite_sequence (name, seq) SELECT 'wide_events', seq FROM sqlite_sequence WHERE name = 'events';
DROP TABLE events;
ALTER TABLE wide_events RENAME TO events;
CREATE UNIQUE INDEX events_by_id ON events (id, pixel_id);
CREATE INDEX events_by_name ON events (pixel_id, name, received_at);
CREATE INDEX events_by_visitor ON events (visitor_id, received_at) WHERE visitor_id <> '';
CREATE INDEX events_by_order ON events (order_id, received_at) WHERE order_id <> '';
CREATE INDEX events_by_time ON events (received_at, pixel_id);
CREATE INDEX events_by_pixel ON events (pixel_id, received_at);
CREATE TRIGGER matches_go_with_events AFTER DELETE ON events BEGIN
  DELETE FROM matches WHERE event_id = old.id AND pixel_id = old.pixel_id;
END;
CREATE TRIGGER credits_go_with_events AFTER DELETE ON events BEGIN
  DELETE FROM credit_sets WHERE event_id = old.id AND pixel_id = old.pixel_id;
  DELETE FROM credits WHERE event_id = old.id AND pixel_id = old.pixel_id;
  DELETE FROM touches WHERE event_id = old.id AND pixel_id = old.pixel_id;
END;
DELETE FROM migrations WHERE name = 'sqlite/0011_narrow_events.sql'`

// Back gives a file the form that the version before reads and writes, with all that is
// stored, in one transaction; the next start of this version brings it up to date again.
// To be taken away once that version is no neighbour any more.
func Back(ctx context.Context, db *sqlitedb.DB) error {
	s, err := New(db)
	if err != nil {
		return err
	}
	defer s.Stop()
	names := append([]string{"seq", "pixel_id", "id", "received_at", "time", "visitor_id", "order_id", "value", "base_value", "search", "name"}, s.rolled...)
	return s.alone(ctx, "give the events their form of before", 1, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, wideEvents); err != nil {
			return err
		}
		put, err := tx.PrepareContext(ctx, `INSERT INTO wide_events (`+strings.Join(names, ", ")+`) VALUES `+tuples(len(names), 1))
		if err != nil {
			return err
		}
		defer put.Close()
		last := int64(0)
		for n := 1; n > 0; {
			n = 0
			var failed error
			err := s.events(ctx, tx, func(seq int64, e *event.Event) bool {
				c := counted{values: make([]string, len(s.rolled))}
				s.countEvent(e, &c)
				args := []any{seq, e.PixelID, e.ID, c.at, c.time, c.visitor, c.order, c.revenue, c.base, c.search, c.name}
				for _, v := range c.values {
					args = append(args, v)
				}
				_, failed = put.ExecContext(ctx, args...)
				n, last = n+1, seq
				return failed == nil
			}, `seq > ? ORDER BY seq LIMIT 1000`, last)
			if err == nil {
				err = failed
			}
			if err != nil {
				return fmt.Errorf("behind event %d: %w", last, err)
			}
		}
		_, err = tx.ExecContext(ctx, afterWide)
		return err
	})
}

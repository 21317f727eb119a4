package sqliteanalytics

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/sqlitedb"
)

//go:embed back.sql
var tablesBefore string

// changePlaces stands once all is copied.
const changePlaces = `
DROP TRIGGER credits_go_with_events;
DROP TRIGGER matches_go_with_events;
DROP TABLE conversions;
DROP TABLE touches;
ALTER TABLE old_touches RENAME TO touches;
CREATE INDEX touches_by_time ON touches (at);
CREATE INDEX touches_by_event ON touches (event_id, pixel_id);
CREATE INDEX touches_by_visitor ON touches (visitor_id, pixel_id) WHERE visitor_id <> '';
CREATE UNIQUE INDEX credit_sets_by_event ON credit_sets (event_id, pixel_id, model);
CREATE INDEX credit_sets_by_time ON credit_sets (received_at);
CREATE INDEX credits_by_time ON credits (model, received_at);
CREATE INDEX credits_by_touch ON credits (touch_id, pixel_id) WHERE model = 'linear';
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
DELETE FROM migrations WHERE name IN ('sqlite/0015_conversions.sql', 'sqlite/0015_narrow_events.sql')`

// Back gives a file the form that the version before reads and writes, with all that is
// stored, in one transaction; the next start of this version brings it up to date again.
// To be taken away once that version is no neighbour any more.
func Back(ctx context.Context, db *sqlitedb.DB) error {
	s, err := New(db)
	if err != nil {
		return err
	}
	defer s.Stop()
	return s.alone(ctx, "give the store its form of before", 1, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, tablesBefore); err != nil {
			return err
		}
		if err := s.widen(ctx, tx); err != nil {
			return err
		}
		if err := partCredits(ctx, tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, changePlaces)
		return err
	})
}

// widen copies events into a table with a column for all that can be asked.
func (s *Store) widen(ctx context.Context, tx *sql.Tx) error {
	names := append([]string{"seq", "pixel_id", "id", "received_at", "time", "visitor_id", "order_id", "value", "base_value", "search", "name"}, s.rolled...)
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
		if err := cmp.Or(err, failed); err != nil {
			return fmt.Errorf("behind event %d: %w", last, err)
		}
	}
	return nil
}

// partCredits makes of each conversion a row a model, and one a share.
func partCredits(ctx context.Context, tx *sql.Tx) error {
	last := int64(0)
	for n := 1; n > 0; {
		n = 0
		var bodies [][]byte
		var body []byte
		if err := each(ctx, tx, `SELECT seq, body FROM conversions WHERE seq > ? ORDER BY seq LIMIT 1000`, []any{last}, []any{&last, &body}, func() {
			n, bodies = n+1, append(bodies, bytes.Clone(body))
		}); err != nil {
			return err
		}
		for _, b := range bodies {
			sets, err := decodeOwed(b)
			if err != nil {
				return err
			}
			for i := range sets {
				if err := partSet(ctx, tx, &sets[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func partSet(ctx context.Context, tx *sql.Tx, c *event.Credits) error {
	body, err := json.Marshal(c, lenient)
	if err != nil {
		return fmt.Errorf("encode the credits of event %q: %w", c.EventID, err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO credit_sets (pixel_id, event_id, model, version, received_at, body) VALUES (?, ?, ?, ?, ?, ?)`,
		c.PixelID, c.EventID, c.Model, c.Version, c.ReceivedAt.UnixMicro(), body); err != nil {
		return err
	}
	for place := range c.Shares {
		h := &c.Shares[place]
		if _, err := tx.ExecContext(ctx, `INSERT INTO credits VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, c.EventID, c.PixelID, c.Model, place, c.ReceivedAt.UnixMicro(), c.Name, c.Currency,
			h.ID, string(h.Kind), h.Channel, h.Source, h.Campaign, h.Partner, h.Weight, h.Value, h.Refunded); err != nil {
			return err
		}
	}
	return nil
}

package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

const (
	insertTouches = `INSERT INTO touches (id, pixel_id, visitor_id, event_id, at, kind, channel, source, campaign, partner) VALUES `
	ofTouches     = ` ON CONFLICT (id, pixel_id) DO UPDATE SET
  visitor_id = excluded.visitor_id, event_id = excluded.event_id, at = excluded.at, kind = excluded.kind,
  channel = excluded.channel, source = excluded.source, campaign = excluded.campaign, partner = excluded.partner
WHERE excluded.at < at`

	insertSet = `INSERT INTO credit_sets (pixel_id, event_id, model, version, received_at, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	renewSet  = `INSERT INTO credit_sets (pixel_id, event_id, model, version, received_at, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id, pixel_id, model) DO UPDATE SET
  version = excluded.version, received_at = excluded.received_at, body = excluded.body
WHERE excluded.version > version OR excluded.version = version AND excluded.body <> body`

	// The plus keeps SQLite from asking of each model whether it is that of credits_by_touch,
	// for which it would prepare the statement anew each time.
	deleteCredits = `DELETE FROM credits WHERE event_id = ? AND pixel_id = ? AND +model = ?`
)

// How many columns a touchpoint and a credit have.
const (
	touchWidth  = 10
	creditWidth = 16
)

const insertCredits = `INSERT INTO credits (event_id, pixel_id, model, place, received_at, name, currency, touch_id, kind, channel, source, campaign, partner, weight, value, refunded) VALUES `

// WriteTouches stores touchpoints in one transaction.
func (s *Store) WriteTouches(ctx context.Context, touches ...event.Touchpoint) error {
	return s.write(ctx, "write touchpoints", len(touches), s.touchesIn(ctx, touches))
}

func (s *Store) touchesIn(ctx context.Context, touches []event.Touchpoint) inTx {
	return func(tx *sql.Tx) error {
		args := make([]any, 0, touchWidth*len(touches))
		for i := range touches {
			t := &touches[i]
			args = append(args, t.ID, t.PixelID, t.VisitorID, t.EventID, t.At.UnixMicro(), string(t.Kind), t.Channel, t.Source, t.Campaign, t.Partner)
		}
		return s.putTouches.fill(ctx, tx, args)
	}
}

// WriteCredits stores sets of credits in one transaction.
func (s *Store) WriteCredits(ctx context.Context, sets ...event.Credits) error {
	p, err := s.creditsIn(ctx, sets)
	if err != nil {
		return err
	}
	return s.write(ctx, "write credits", len(sets), p)
}

func (s *Store) creditsIn(ctx context.Context, sets []event.Credits) (inTx, error) {
	bodies := make([][]byte, len(sets))
	for i := range sets {
		var err error
		if bodies[i], err = json.Marshal(&sets[i], lenient); err != nil {
			return nil, fmt.Errorf("encode the credits of event %q: %w", sets[i].EventID, err)
		}
	}
	return func(tx *sql.Tx) error {
		putSet, renewSet, drop := tx.StmtContext(ctx, s.putSet), tx.StmtContext(ctx, s.renewSet), tx.StmtContext(ctx, s.dropCredits)
		ctx := context.WithoutCancel(ctx)
		// What stands already is left alone; of a set that comes twice the last counts.
		type key struct{ event, pixel, model string }
		standing := make(map[key]*event.Credits, len(sets))
		for i := range sets {
			c := &sets[i]
			args := [...]any{c.PixelID, c.EventID, c.Model, c.Version, c.ReceivedAt.UnixMicro(), bodies[i]}
			k := key{c.EventID, c.PixelID, c.Model}
			// Most are new, and have nothing to take the place of.
			fresh, err := changed(putSet.ExecContext(ctx, args[:]...))
			if err != nil {
				return err
			}
			if fresh {
				standing[k] = c
				continue
			}
			newer, err := changed(renewSet.ExecContext(ctx, args[:]...))
			if err != nil {
				return err
			}
			if !newer {
				continue
			}
			if standing[k] == nil {
				if _, err := drop.ExecContext(ctx, c.EventID, c.PixelID, c.Model); err != nil {
					return err
				}
			}
			standing[k] = c
		}
		var args []any
		for i := range sets {
			c := &sets[i]
			if standing[key{c.EventID, c.PixelID, c.Model}] != c {
				continue
			}
			for place := range c.Shares {
				h := &c.Shares[place]
				args = append(args, c.EventID, c.PixelID, c.Model, place, c.ReceivedAt.UnixMicro(), c.Name, c.Currency,
					h.ID, string(h.Kind), h.Channel, h.Source, h.Campaign, h.Partner, h.Weight, h.Value, h.Refunded)
			}
		}
		return s.putCredits.fill(ctx, tx, args)
	}, nil
}

// changed reports whether a statement changed a row.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Credits lists sets of credits.
func (s *Store) Credits(ctx context.Context, f analytics.CreditFilter) (page analytics.CreditPage, err error) {
	f, err = f.Check()
	if err != nil {
		return page, err
	}
	w := where{}
	w.equal("event_id", f.EventID)
	w.equal("pixel_id", f.PixelID)
	w.equal("model", f.Model)
	w.between("received_at", f.Since, f.Until)
	if f.Cursor != "" {
		at, seq, err := parseCursor(f.Cursor)
		if err != nil {
			return page, err
		}
		w.add("received_at <= ? AND (received_at, seq) < (?, ?)", at, at, seq)
	}
	err = s.snapshot(ctx, "list credits", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT received_at, seq, body FROM credit_sets`+w.String()+` ORDER BY received_at DESC, seq DESC LIMIT ?`, append(w.args, f.Limit+1)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var at, seq int64
		for rows.Next() {
			if len(page.Credits) == f.Limit {
				page.Next = cursor(at, seq)
				break
			}
			var body []byte
			if err := rows.Scan(&at, &seq, &body); err != nil {
				return err
			}
			var c event.Credits
			if err := json.Unmarshal(body, &c, lenient); err != nil {
				return fmt.Errorf("read credits %d: %w", seq, err)
			}
			page.Credits = append(page.Credits, c)
		}
		return rows.Err()
	})
	if err != nil {
		return analytics.CreditPage{}, err
	}
	return page, nil
}

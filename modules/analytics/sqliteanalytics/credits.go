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
	insertTouch = `INSERT INTO touches (id, pixel_id, visitor_id, event_id, at, kind, channel, source, campaign, partner)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id, pixel_id) DO UPDATE SET
  visitor_id = excluded.visitor_id, event_id = excluded.event_id, at = excluded.at, kind = excluded.kind,
  channel = excluded.channel, source = excluded.source, campaign = excluded.campaign, partner = excluded.partner
WHERE excluded.at < at`

	insertSet = `INSERT INTO credit_sets (pixel_id, event_id, model, version, received_at, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (event_id, pixel_id, model) DO UPDATE SET
  version = excluded.version, received_at = excluded.received_at, body = excluded.body
WHERE excluded.version > version OR excluded.version = version AND excluded.body <> body`

	deleteCredits = `DELETE FROM credits WHERE event_id = ? AND pixel_id = ? AND model = ?`
)

// creditWidth is how many columns a credit has.
const creditWidth = 16

func insertCredits(rows int) string {
	return `INSERT INTO credits (event_id, pixel_id, model, place, received_at, name, currency, touch_id, kind, channel, source, campaign, partner, weight, value, refunded) VALUES ` + tuples(creditWidth, rows)
}

// WriteTouches stores touchpoints in one transaction.
func (s *Store) WriteTouches(ctx context.Context, touches ...event.Touchpoint) error {
	return s.write(ctx, "write touchpoints", len(touches), func(tx *sql.Tx) error {
		put, ctx := tx.StmtContext(ctx, s.putTouch), context.WithoutCancel(ctx)
		for i := range touches {
			t := &touches[i]
			if _, err := put.ExecContext(ctx, t.ID, t.PixelID, t.VisitorID, t.EventID, t.At.UnixMicro(), string(t.Kind), t.Channel, t.Source, t.Campaign, t.Partner); err != nil {
				return err
			}
		}
		return nil
	})
}

// WriteCredits stores sets of credits in one transaction.
func (s *Store) WriteCredits(ctx context.Context, sets ...event.Credits) error {
	bodies := make([][]byte, len(sets))
	for i := range sets {
		var err error
		if bodies[i], err = json.Marshal(&sets[i], lenient); err != nil {
			return fmt.Errorf("encode the credits of event %q: %w", sets[i].EventID, err)
		}
	}
	return s.write(ctx, "write credits", len(sets), func(tx *sql.Tx) error {
		putSet, drop := tx.StmtContext(ctx, s.putSet), tx.StmtContext(ctx, s.dropCredits)
		ctx := context.WithoutCancel(ctx)
		// What stands already is left alone; of a set that comes twice the last counts.
		type key struct{ event, pixel, model string }
		standing := make(map[key]*event.Credits, len(sets))
		for i := range sets {
			c := &sets[i]
			r, err := putSet.ExecContext(ctx, c.PixelID, c.EventID, c.Model, c.Version, c.ReceivedAt.UnixMicro(), bodies[i])
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				continue
			}
			k := key{c.EventID, c.PixelID, c.Model}
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
		many, one := tx.StmtContext(ctx, s.putCredits), tx.StmtContext(ctx, s.putCredit)
		for len(args) > 0 {
			put, n := one, creditWidth
			if len(args) >= several*creditWidth {
				put, n = many, several*creditWidth
			}
			if _, err := put.ExecContext(ctx, args[:n]...); err != nil {
				return err
			}
			args = args[n:]
		}
		return nil
	})
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

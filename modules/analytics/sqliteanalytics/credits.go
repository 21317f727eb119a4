package sqliteanalytics

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

const (
	insertConversion = `INSERT INTO conversions (pixel_id, event_id, received_at, sets, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	readConversion   = `SELECT seq, body FROM conversions WHERE event_id = ? AND pixel_id = ?`
	renewConversion  = `UPDATE conversions SET received_at = ?, sets = ?, body = ? WHERE seq = ?`
)

// WriteCredits stores sets of credits in one transaction.
func (s *Store) WriteCredits(ctx context.Context, sets ...event.Credits) error {
	err := s.write(ctx, "write credits", len(sets), s.creditsIn(ctx, sets))
	if err == nil {
		s.creditsWritten(sets)
	}
	return err
}

// conversion is what is written of one at a time.
type conversion struct {
	sets []event.Credits
	body []byte
}

func (c *conversion) received() int64 { return c.sets[0].ReceivedAt.UnixMicro() }

// conversions puts the sets of each together.
func conversions(sets []event.Credits) []*conversion {
	type key struct{ event, pixel string }
	by := map[key]*conversion{}
	var list []*conversion
	for i := range sets {
		k := key{sets[i].EventID, sets[i].PixelID}
		c := by[k]
		if c == nil {
			c = &conversion{}
			by[k], list = c, append(list, c)
		}
		c.sets = renewed(c.sets, sets[i])
	}
	for _, c := range list {
		c.body = encodeOwed(c.sets)
	}
	return list
}

// renewed puts a set among those of the same conversion, which are in the order of their
// models' names: in the place of one with the same or a lower version.
func renewed(sets []event.Credits, c event.Credits) []event.Credits {
	i, there := slices.BinarySearchFunc(sets, c.Model, func(x event.Credits, model string) int { return cmp.Compare(x.Model, model) })
	switch {
	case !there:
		return slices.Insert(sets, i, c)
	case c.Version >= sets[i].Version:
		sets[i] = c
	}
	return sets
}

func (s *Store) creditsIn(ctx context.Context, sets []event.Credits) inTx {
	list := conversions(sets)
	return func(tx *sql.Tx) error {
		put := tx.StmtContext(ctx, s.putConversion)
		still := context.WithoutCancel(ctx)
		for _, c := range list {
			// Most are new, and have nothing to take the place of.
			fresh, err := changed(put.ExecContext(still, c.sets[0].PixelID, c.sets[0].EventID, c.received(), len(c.sets), c.body))
			if err == nil && !fresh {
				err = s.renew(still, tx, c)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// renew writes sets into a conversion that stands.
func (s *Store) renew(ctx context.Context, tx *sql.Tx, c *conversion) error {
	var seq int64
	var was []byte
	if err := tx.QueryRowContext(ctx, readConversion, c.sets[0].EventID, c.sets[0].PixelID).Scan(&seq, &was); err != nil {
		return err
	}
	standing, err := decodeOwed(was)
	if err != nil {
		return fmt.Errorf("read conversion %d: %w", seq, err)
	}
	for _, set := range c.sets {
		standing = renewed(standing, set)
	}
	body := encodeOwed(standing)
	if bytes.Equal(body, was) {
		return nil
	}
	_, err = tx.ExecContext(ctx, renewConversion, c.received(), len(standing), body, seq)
	return err
}

// changed reports whether a statement changed a row.
func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

// Credits lists sets of credits: those of the newest conversion first, and these by their
// models. A cursor is the conversion's and, where it was not all told, the last model.
func (s *Store) Credits(ctx context.Context, f analytics.CreditFilter) (page analytics.CreditPage, err error) {
	f, err = f.Check()
	if err != nil {
		return page, err
	}
	w := where{}
	w.equal("event_id", f.EventID)
	w.equal("pixel_id", f.PixelID)
	w.between("received_at", f.Since, f.Until)
	at, seq, after := int64(0), int64(0), ""
	if f.Cursor != "" {
		place, model, _ := strings.Cut(f.Cursor, "/")
		if at, seq, err = parseCursor(place); err != nil {
			return page, err
		}
		after = model
		w.add("received_at <= ? AND (received_at, seq) <= (?, ?)", at, at, seq)
	}
	err = s.snapshot(ctx, "list credits", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT received_at, seq, body FROM conversions`+w.String()+` ORDER BY received_at DESC, seq DESC`, w.args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		from, ended := cursor(at, seq), f.Cursor != ""
		last := ""
		for rows.Next() {
			var body []byte
			if err := rows.Scan(&at, &seq, &body); err != nil {
				return err
			}
			sets, err := decodeOwed(body)
			if err != nil {
				return fmt.Errorf("read conversion %d: %w", seq, err)
			}
			here := cursor(at, seq)
			for i := range sets {
				c := &sets[i]
				if f.Model != "" && c.Model != f.Model || ended && here == from && c.Model <= after {
					continue
				}
				if len(page.Credits) == f.Limit {
					page.Next = last
					return nil
				}
				page.Credits, last = append(page.Credits, *c), here+"/"+c.Model
			}
		}
		return rows.Err()
	})
	if err != nil {
		return analytics.CreditPage{}, err
	}
	return page, nil
}

// warmed is of how long a time the credits are read before anybody asks.
const warmed = 31 * 24 * time.Hour

// warmCredits reads them, where they are few enough to be kept.
func (s *Store) warmCredits(ctx context.Context) error {
	from := time.Now().Add(-warmed).UnixMicro()
	for _, w := range []struct {
		times string
		read  func() error
	}{
		{`conversions WHERE received_at >= ?`, func() error { return s.owed.with(ctx, s, from, far, func(int64, *owed) {}) }},
		{`touches WHERE at >= ?`, func() error { return s.touched.with(ctx, s, from, far, func(int64, *[]touched) {}) }},
	} {
		n := 0
		err := s.snapshot(ctx, "count credits", func(tx *sql.Tx) error {
			return countOf(ctx, tx, &n, `(SELECT 1 FROM `+w.times+` LIMIT ?)`, []any{from, mostKept})
		})
		if err == nil && n < mostKept {
			err = w.read()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

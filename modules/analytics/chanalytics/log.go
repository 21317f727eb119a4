package chanalytics

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// paged reads a page of a table whose rows are whole as JSON in body, newest first.
// order names the columns after the time that make a row's place its own; all are
// text.
func paged[T any](s *Store, ctx context.Context, what, from, at string, order []string, w where, cursor string, limit int) (items []T, next string, err error) {
	columns, place, sorted := "", "", at+" DESC"
	for _, c := range order {
		columns += ", toString(" + c + ")"
		place += ", toString(" + c + ")"
		sorted += ", toString(" + c + ") DESC"
	}
	if cursor != "" {
		t, parts, err := placeOf(cursor, len(order))
		if err != nil {
			return nil, "", err
		}
		marks, args := "", []any{t, t}
		for _, p := range parts {
			marks += ", ?"
			args = append(args, p)
		}
		w.add(at+" <= "+micro+" AND ("+at+place+") < ("+micro+marks+")", args...)
	}
	items = []T{}
	var lastAt int64
	var lastParts []string
	err = s.ask(ctx, what, `SELECT body, toUnixTimestamp64Micro(`+at+`)`+columns+` FROM `+from+` FINAL`+w.String()+` ORDER BY `+sorted+` LIMIT ?`, append(w.args, limit+1), func(r driver.Rows) error {
		if len(items) == limit {
			next = cursorOf(lastAt, lastParts...)
			return nil
		}
		var body string
		lastParts = make([]string, len(order))
		to := []any{&body, &lastAt}
		for i := range lastParts {
			to = append(to, &lastParts[i])
		}
		if err := r.Scan(to...); err != nil {
			return err
		}
		var item T
		if err := json.Unmarshal([]byte(body), &item, lenient); err != nil {
			return fmt.Errorf("read a row of %s: %w", from, err)
		}
		items = append(items, item)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return items, next, nil
}

// Syncs lists the sync log.
func (s *Store) Syncs(ctx context.Context, f analytics.SyncFilter) (page analytics.SyncPage, err error) {
	if f, err = f.Check(); err != nil {
		return page, err
	}
	w := where{}
	w.equal("pixel_id", f.PixelID)
	w.among("pixel_id", f.Pixels)
	w.equal("event_id", f.EventID)
	w.equal("partner", f.Partner)
	w.equal("outcome", string(f.Outcome))
	w.equal("order_id", f.OrderID)
	w.between("at", f.Since, f.Until)
	page.Syncs, page.Next, err = paged[event.Sync](s, ctx, "list syncs", "syncs", "at", []string{"event_id", "pixel_id", "partner", "attempt"}, w, f.Cursor, f.Limit)
	return page, err
}

// Receipts lists consent receipts.
func (s *Store) Receipts(ctx context.Context, f analytics.ReceiptFilter) (page analytics.ReceiptPage, err error) {
	if f, err = f.Check(); err != nil {
		return page, err
	}
	w := where{}
	w.equal("pixel_id", f.PixelID)
	w.equal("state", string(f.State))
	if len(f.Subjects) > 0 {
		w.add("subject IN (" + list(f.Subjects) + ")")
	}
	w.between("at", f.Since, f.Until)
	page.Receipts, page.Next, err = paged[event.ConsentReceipt](s, ctx, "list consent receipts", "consent_receipts", "at", []string{"hash"}, w, f.Cursor, f.Limit)
	return page, err
}

// Credits lists sets of credits.
func (s *Store) Credits(ctx context.Context, f analytics.CreditFilter) (page analytics.CreditPage, err error) {
	if f, err = f.Check(); err != nil {
		return page, err
	}
	w := where{}
	w.equal("pixel_id", f.PixelID)
	w.equal("event_id", f.EventID)
	w.equal("model", f.Model)
	w.between("received_at", f.Since, f.Until)
	page.Credits, page.Next, err = paged[event.Credits](s, ctx, "list credits", "credit_sets", "received_at", []string{"event_id", "pixel_id", "model"}, w, f.Cursor, f.Limit)
	return page, err
}

// Matches are an event's, by partner.
func (s *Store) Matches(ctx context.Context, pixelID, eventID string) (out []event.Match, err error) {
	out = []event.Match{}
	err = s.ask(ctx, "read matches", `SELECT partner, toUnixTimestamp64Micro(received_at), name, grade, keys, missing FROM matches FINAL
		WHERE event_id = ? AND pixel_id = ? ORDER BY partner`, []any{eventID, pixelID}, func(r driver.Rows) error {
		m := event.Match{EventID: eventID, PixelID: pixelID}
		var at int64
		var grade string
		err := r.Scan(&m.Partner, &at, &m.Name, &grade, &m.Keys, &m.Missing)
		m.ReceivedAt, m.Grade = time.UnixMicro(at).UTC(), event.Grade(grade)
		m.Keys, m.Missing = filled(m.Keys), filled(m.Missing)
		out = append(out, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func filled(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// Readiness counts matches.
func (s *Store) Readiness(ctx context.Context, q analytics.ReadinessQuery) ([]analytics.Readiness, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	w := where{}
	w.equal("pixel_id", q.PixelID)
	w.among("pixel_id", q.Pixels)
	w.equal("partner", q.Partner)
	w.equal("name", q.Name)
	w.between("received_at", q.Since, q.Until)
	var c analytics.ReadinessCount
	// There are far fewer sets of keys than events.
	err := s.ask(ctx, "count matches", `SELECT partner, grade, keys, missing, count() FROM matches FINAL`+w.String()+` GROUP BY partner, grade, keys, missing`, w.args, func(r driver.Rows) error {
		var m event.Match
		var grade string
		var n uint64
		if err := r.Scan(&m.Partner, &grade, &m.Keys, &m.Missing, &n); err != nil {
			return err
		}
		m.Grade = event.Grade(grade)
		c.Add(m, int(n))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.Rows(), nil
}

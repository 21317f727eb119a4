package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// Syncs lists the sync log.
func (s *Store) Syncs(ctx context.Context, f analytics.SyncFilter) (page analytics.SyncPage, err error) {
	f, err = f.Check()
	if err != nil {
		return page, err
	}
	w := where{}
	w.equal("pixel_id", f.PixelID)
	w.among("pixel_id", f.Pixels)
	w.equal("event_id", f.EventID)
	w.equal("partner", f.Partner)
	w.equal("outcome", string(f.Outcome))
	if f.OrderID != "" {
		w.add("order_id = ? AND order_id <> ''", f.OrderID)
	}
	w.between("at", f.Since, f.Until)
	if f.Cursor != "" {
		at, seq, err := parseCursor(f.Cursor)
		if err != nil {
			return page, err
		}
		w.add("at <= ? AND (at, seq) < (?, ?)", at, at, seq)
	}
	err = s.snapshot(ctx, "list syncs", func(tx *sql.Tx) error {
		if f.Partner != "" && f.Outcome == "" && f.EventID == "" && f.OrderID == "" {
			page, err = listPartnersSyncs(ctx, tx, w, f.Limit)
		} else {
			page, err = listSyncs(ctx, tx, w, f.Limit)
		}
		return err
	})
	if err != nil {
		return analytics.SyncPage{}, err
	}
	return page, nil
}

func listSyncs(ctx context.Context, tx *sql.Tx, w where, limit int) (analytics.SyncPage, error) {
	return readSyncs(ctx, tx, limit, `SELECT at, seq, body FROM syncs`+w.String()+` ORDER BY at DESC, seq DESC LIMIT ?`, append(w.args, limit+1)...)
}

// outcomes are those that lines of the sync log have.
var outcomes = [...]event.Outcome{event.Accepted, event.Unverified, event.Retry, event.Rejected, event.NotSent, event.Dry}

// listPartnersSyncs is listSyncs of a partner, whatever the outcome: the newest of each
// outcome, which the index has in their order, so that not all of the partner's are sorted.
func listPartnersSyncs(ctx context.Context, tx *sql.Tx, w where, limit int) (analytics.SyncPage, error) {
	var parts []string
	var args []any
	part := func(cond string, of ...any) {
		parts = append(parts, `SELECT at, seq, body FROM (SELECT at, seq, body FROM syncs`+w.String()+` AND `+cond+` ORDER BY at DESC, seq DESC LIMIT ?)`)
		args = append(append(append(args, w.args...), of...), limit+1)
	}
	before := ""
	for _, o := range slices.Sorted(slices.Values(outcomes[:])) {
		part(`outcome = ?`, string(o))
		part(`outcome > ? AND outcome < ?`, before, string(o)) // another version's
		before = string(o)
	}
	part(`outcome > ?`, before)
	return readSyncs(ctx, tx, limit, strings.Join(parts, ` UNION ALL `)+` ORDER BY at DESC, seq DESC LIMIT ?`, append(args, limit+1)...)
}

func readSyncs(ctx context.Context, tx *sql.Tx, limit int, query string, args ...any) (page analytics.SyncPage, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return page, err
	}
	defer rows.Close()
	var at, seq int64
	for rows.Next() {
		if len(page.Syncs) == limit {
			page.Next = cursor(at, seq)
			break
		}
		var body []byte
		if err := rows.Scan(&at, &seq, &body); err != nil {
			return page, err
		}
		var l event.Sync
		if err := json.Unmarshal(body, &l, lenient); err != nil {
			return page, fmt.Errorf("read line %d: %w", seq, err)
		}
		page.Syncs = append(page.Syncs, l)
	}
	return page, rows.Err()
}

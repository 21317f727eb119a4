package sqliteanalytics

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

const insertReceipt = `INSERT INTO consent_receipts (hash, pixel_id, subject, at, state, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

// WriteReceipts stores consent receipts in one transaction.
func (s *Store) WriteReceipts(ctx context.Context, receipts ...event.ConsentReceipt) error {
	p, err := s.receiptsIn(ctx, receipts)
	if err != nil {
		return err
	}
	return s.write(ctx, "write consent receipts", len(receipts), p)
}

func (s *Store) receiptsIn(ctx context.Context, receipts []event.ConsentReceipt) (inTx, error) {
	bodies := make([][]byte, len(receipts))
	for i := range receipts {
		var err error
		if bodies[i], err = json.Marshal(&receipts[i], lenient); err != nil {
			return nil, fmt.Errorf("encode a consent receipt: %w", err)
		}
	}
	return func(tx *sql.Tx) error {
		put, ctx := tx.StmtContext(ctx, s.putReceipt), context.WithoutCancel(ctx)
		for i := range receipts {
			r := &receipts[i]
			if _, err := put.ExecContext(ctx, r.Hash, r.PixelID, r.Subject, r.At.UnixMicro(), string(r.Verdict.State), bodies[i]); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// Receipts lists consent receipts.
func (s *Store) Receipts(ctx context.Context, f analytics.ReceiptFilter) (page analytics.ReceiptPage, err error) {
	f, err = f.Check()
	if err != nil {
		return page, err
	}
	w := where{}
	w.equal("pixel_id", f.PixelID)
	w.equal("state", string(f.State))
	if len(f.Subjects) > 0 {
		args := make([]any, len(f.Subjects))
		for i, subject := range f.Subjects {
			args[i] = subject
		}
		w.add("subject IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	}
	w.between("at", f.Since, f.Until)
	if f.Cursor != "" {
		at, seq, err := parseCursor(f.Cursor)
		if err != nil {
			return page, err
		}
		w.add("at <= ? AND (at, seq) < (?, ?)", at, at, seq)
	}
	err = s.snapshot(ctx, "list consent receipts", func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT at, seq, body FROM consent_receipts`+w.String()+` ORDER BY at DESC, seq DESC LIMIT ?`, append(w.args, f.Limit+1)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var at, seq int64
		for rows.Next() {
			if len(page.Receipts) == f.Limit {
				page.Next = cursor(at, seq)
				break
			}
			var body []byte
			if err := rows.Scan(&at, &seq, &body); err != nil {
				return err
			}
			var r event.ConsentReceipt
			if err := json.Unmarshal(body, &r, lenient); err != nil {
				return fmt.Errorf("read receipt %d: %w", seq, err)
			}
			page.Receipts = append(page.Receipts, r)
		}
		return rows.Err()
	})
	if err != nil {
		return analytics.ReceiptPage{}, err
	}
	return page, nil
}

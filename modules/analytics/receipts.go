package analytics

import (
	"context"
	"time"

	"github.com/miq/pixel/modules/event"
)

// ReceiptWriter stores the proof of what visitors consented to.
type ReceiptWriter interface {
	// WriteReceipts stores consent receipts, each by its hash; one that is stored
	// already is left as it is.
	WriteReceipts(ctx context.Context, receipts ...event.ConsentReceipt) error
}

// ReceiptReader finds them.
type ReceiptReader interface {
	Receipts(ctx context.Context, f ReceiptFilter) (ReceiptPage, error)
}

// ReceiptFilter selects receipts; zero fields do not.
type ReceiptFilter struct {
	PixelID string
	// Subjects are digests of visitors' ids (consent.Subject), of which one must fit.
	Subjects     []string
	State        event.State
	Since, Until time.Time // of the change, Until exclusive
	Cursor       string
	Limit        int // 1–1000; 0: 50
}

// ReceiptPage is a page of receipts, newest first.
type ReceiptPage struct {
	Receipts []event.ConsentReceipt
	Next     string
}

// Check fills the limit in, or says what is wrong with the filter.
func (f ReceiptFilter) Check() (_ ReceiptFilter, err error) {
	if f.Limit, err = limit(f.Limit, 50); err != nil {
		return f, err
	}
	if len(f.Subjects) > MaxLimit {
		return f, invalid("at most %d subjects can be asked for", MaxLimit)
	}
	return f, between(f.Since, f.Until)
}

package analytics

import (
	"context"
	"time"
)

// RepeatedQuery asks which orders are stored more than once: as several purchases
// with one order id, such as those of a page that was loaded again or of two tags
// that count the same sale. Events that were told as copies of one another are
// not stored, and so not among them.
type RepeatedQuery struct {
	PixelID string
	// Pixels are those that are asked of; nil: all.
	Pixels       []string
	Since, Until time.Time // of receipt; at most 400 days apart
	Limit        int       // 1–1000; 0: 50
}

// RepeatedOrder is one pixel's order that came as several purchases.
type RepeatedOrder struct {
	PixelID   string    `json:"pixel_id"`
	OrderID   string    `json:"order_id"`
	Purchases int64     `json:"purchases"`
	First     time.Time `json:"first"` // when the first and the last were received
	Last      time.Time `json:"last"`
}

// OrderReader answers it.
type OrderReader interface {
	// Repeated lists orders: the most often repeated first, then by pixel and order.
	Repeated(ctx context.Context, q RepeatedQuery) ([]RepeatedOrder, error)
}

// Check fills the limit in, or says what is wrong with the question.
func (q RepeatedQuery) Check() (_ RepeatedQuery, err error) {
	if q.Limit, err = limit(q.Limit, 50); err != nil {
		return q, err
	}
	return q, span(q.Since, q.Until)
}

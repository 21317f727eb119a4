package analytics

import (
	"context"

	"github.com/miq/pixel/modules/event"
)

// StoryQuery asks for one event and all that came of it: by its own id, or by
// that of its order, which finds the purchase received last, or else the last
// event of that order.
type StoryQuery struct {
	PixelID string // may be empty
	ID      string
	OrderID string
}

// Story is what is known of one event.
type Story struct {
	Event   event.Event
	Syncs   []event.Sync  // oldest attempt first; at most MaxLimit, the newest
	Matches []event.Match // by partner
}

// StoryReader answers it.
type StoryReader interface {
	// Story is one question to the store, or ErrNotFound.
	Story(ctx context.Context, q StoryQuery) (Story, error)
}

// Check says what is wrong with the question.
func (q StoryQuery) Check() error {
	if (q.ID == "") == (q.OrderID == "") {
		return invalid("a story is asked for by an event's id or an order's, one of them")
	}
	return nil
}

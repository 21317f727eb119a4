package analytics

import (
	"context"
	"time"
)

// Erasure says whose events go: those of some visitors and those with some ids, at
// one pixel, that were received before a time.
type Erasure struct {
	PixelID  string
	Visitors []string // by Subject.VisitorID
	Events   []string
	Until    time.Time
}

// Erased counts what is there, or was deleted.
type Erased struct {
	Events     int `json:"events"`
	Syncs      int `json:"syncs"`      // lines of the sync log
	Matches    int `json:"matches"`    // gradings for a partner
	Credits    int `json:"credits"`    // sets of a conversion and a model, and touchpoints
	Identities int `json:"identities"` // rows of the map from visitors to profiles
}

// Total is all of it.
func (e Erased) Total() int { return e.Events + e.Syncs + e.Matches + e.Credits + e.Identities }

// Add adds another's counts.
func (e *Erased) Add(o Erased) {
	e.Events, e.Syncs, e.Matches = e.Events+o.Events, e.Syncs+o.Syncs, e.Matches+o.Matches
	e.Credits, e.Identities = e.Credits+o.Credits, e.Identities+o.Identities
}

// Eraser deletes for good. Each call may be cut short anywhere and done again; when it
// returned nil no answer shows what it deleted, and sums are as if the events had never
// been there.
type Eraser interface {
	// Erase deletes events with all that is said of them, and returns how much.
	Erase(ctx context.Context, e Erasure) (Erased, error)
	// Kept counts what Erase would delete.
	Kept(ctx context.Context, e Erasure) (Erased, error)
}

// Expirer deletes what was kept long enough, of a store that does not do so by itself.
type Expirer interface {
	// Expire deletes a pixel's events that were received before one midnight (UTC), with
	// what is counted of them and all that is said of them but the sync log, and lines of
	// the sync log of before another; a zero time spares all.
	Expire(ctx context.Context, pixelID string, events, syncs time.Time) (Erased, error)
}

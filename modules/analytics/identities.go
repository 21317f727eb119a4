package analytics

import "context"

// Identity says whose a visitor is: all visitors of one profile are one person, as
// far as anybody can tell. A visitor of whom nothing was ever said stands for
// himself. Stored events are never rewritten for it: questions join it to them.
type Identity struct {
	PixelID   string `json:"pixel_id"`
	VisitorID string `json:"visitor_id"`
	ProfileID string `json:"profile_id"` // empty: the visitor stands for himself again
	// Version grows with each change; whatever order they are written in, the
	// greatest stands.
	Version int64 `json:"version"`
}

// IdentityWriter keeps the map from visitors to profiles. MetricVisitors and
// EventFilter.ProfileID go by it.
type IdentityWriter interface {
	WriteIdentities(ctx context.Context, identities ...Identity) error
}

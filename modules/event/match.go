package event

import "time"

// Match says how well a partner could find the person behind an event: which of
// its keys the event carried when it was routed.
type Match struct {
	EventID    string    `json:"event_id"`
	PixelID    string    `json:"pixel_id"`
	Partner    string    `json:"partner"`
	Name       string    `json:"name"` // the event's
	ReceivedAt time.Time `json:"received_at"`
	Grade      Grade     `json:"grade"`
	Keys       []string  `json:"keys"`    // that it carries
	Missing    []string  `json:"missing"` // that a site could usually give, and this event lacks
}

// Grade sums a Match up.
type Grade string

// The grades, worst first.
const (
	NoMatch     Grade = "none"   // no key that the partner finds a person by: nothing is sent
	LowMatch    Grade = "low"    // only what is a guess, such as an address
	MediumMatch Grade = "medium" // one sure key
	HighMatch   Grade = "high"   // several
)

// Grades lists them, worst first.
var Grades = [...]Grade{NoMatch, LowMatch, MediumMatch, HighMatch}

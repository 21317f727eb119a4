// Package backfill replays the archive: into the analytics store, which is rebuilt
// with it, or to chosen partners. What is replayed is what is kept, so the address
// is a network and a place in clear is gone.
//
// A job is a document in the shared state. Any process that runs workers takes it
// up, one at a time; it says how far it is after each page, and whoever takes it up
// next, after a kill, goes on from there. Doing a page twice is harmless: the store
// keeps an event once, and a partner is sent once what it took.
//
// Nothing goes further than it may now: consent is decided again for each event, by
// its own signals under what is set now and by what the visitor chose since; a
// partner gets by its routes of now, and only what is young enough for it.
//
// A rehearsal is a job that writes nothing and sends nothing. It takes each event
// through the configuration that is in force and through a changed one, makes the
// requests of both, and says what differs.
package backfill

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/settings"
)

// State is where a job is.
type State string

// The states of a job.
const (
	Waiting   State = "waiting" // nobody has begun, or who did is gone
	Running   State = "running"
	Done      State = "done"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// Ended reports whether nobody works on it any more.
func (s State) Ended() bool { return s == Done || s == Failed || s == Cancelled }

// Spec says what is replayed, and where to.
type Spec struct {
	// PixelID chooses one pixel; empty: all of them.
	PixelID string `json:"pixel_id,omitempty"`
	// Since and Until bound the time of receipt, Until exclusive.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Events chooses by name; empty: all of them.
	Events []string `json:"events,omitempty"`
	// Where chooses by a condition in the language of routes, of the event as it was
	// kept; empty: all of them.
	Where string `json:"where,omitempty"`

	// Storage writes events into the analytics store.
	Storage bool `json:"storage,omitempty"`
	// Credits gives their touchpoints and conversions anew, and whose visitors are. It is
	// for a store that was lost, and for all of a pixel: what a conversion is owed to lies
	// before it, and refunds come after.
	Credits bool `json:"credits,omitempty"`
	// Partners are sent what their routes say.
	Partners []string `json:"partners,omitempty"`
	// Rate is how many events a second at most; 0: as fast as can be.
	Rate int `json:"rate,omitempty"`

	// Change is the pixel as it would be, where the job is a rehearsal.
	Change *settings.Pixel `json:"change,omitempty"`
}

// Rehearsal reports whether nothing is done but told.
func (s Spec) Rehearsal() bool { return s.Change != nil }

// maxRate is more than one process replays.
const maxRate = 100_000

// Memory is how long a job that gives credits anew may take: for so long it remembers
// visitors.
const Memory = 48 * time.Hour

// Check says what is wrong with it; known tells which partners there are, and condition
// what is wrong with one.
func (s Spec) Check(known func(partner string) bool, condition func(string) error) error {
	var bad settings.Invalid
	add := func(field, message string) { bad = append(bad, settings.Problem{Field: field, Message: message}) }
	switch {
	case s.Change != nil && (s.Storage || len(s.Partners) > 0):
		add("change", "a rehearsal writes and sends nothing: leave storage and partners out")
	case s.Change == nil && !s.Storage && len(s.Partners) == 0:
		add("storage", "say where to: storage, partners, or both")
	}
	if s.Change != nil && s.Change.ID != s.PixelID {
		add("pixel_id", "must be the pixel that is changed")
	}
	if !s.Since.IsZero() && !s.Until.IsZero() && !s.Since.Before(s.Until) {
		add("since", "must lie before until")
	}
	switch {
	case s.Credits && !s.Storage:
		add("credits", "are given anew where events are: choose storage too")
	case s.Credits && (!s.Since.IsZero() || !s.Until.IsZero() || len(s.Events) > 0 || s.Where != ""):
		add("credits", "are given anew over all of a pixel, since what a conversion is owed to may lie anywhere: leave since, until, events and where out")
	}
	if s.Where != "" {
		if err := condition(s.Where); err != nil {
			add("where", err.Error())
		}
	}
	for _, p := range s.Partners {
		if !known(p) {
			add("partners", "there is no partner "+p)
		}
	}
	if len(s.Events) > 100 {
		add("events", "must be at most 100 names")
	}
	if s.Rate < 0 || s.Rate > maxRate {
		add("rate", "must be from 1 to 100,000 events a second, or 0 for as fast as can be")
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// Job is one replay.
type Job struct {
	ID        string    `json:"id"` // UUIDv7: in the order of time
	Spec      Spec      `json:"spec"`
	State     State     `json:"state"`
	By        string    `json:"by"` // who asked for it
	CreatedAt time.Time `json:"created_at"`
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`

	Progress Progress `json:"progress"`
	// Report is what a rehearsal found.
	Report *Report `json:"report,omitempty"`

	revision int64
}

// Progress is how far a job is.
type Progress struct {
	// Read are the events of the pixel and the time, Chosen those of them by name and
	// condition.
	Read   int64 `json:"read"`
	Chosen int64 `json:"chosen"`
	Stored int64 `json:"stored"`
	// Lines are those of the log that were stored: what became of events at partners, how
	// well they could be matched, consent receipts.
	Lines int64 `json:"lines,omitempty"`
	// Queued counts, by partner, what was handed over.
	Queued map[string]int64 `json:"queued,omitempty"`
	// Skipped counts, by reason, what was left out: of the events, or (partner: reason)
	// of what would have gone to one.
	Skipped map[string]int64 `json:"skipped,omitempty"`
	// At is when the last event that was read had been received, of which pixel.
	At    time.Time `json:"at,omitzero"`
	Pixel string    `json:"pixel_id,omitempty"`
	// Position is where to go on.
	Position string `json:"position,omitempty"`
	// Rate is about how many events a second were read lately.
	Rate float64 `json:"events_per_second,omitzero"`
}

func (p *Progress) skip(reason string) {
	if p.Skipped == nil {
		p.Skipped = map[string]int64{}
	}
	p.Skipped[reason]++
}

// Report says what a rehearsal's change would have made different.
type Report struct {
	// Events are those that both configurations were tried on.
	Events   int64          `json:"events"`
	Partners []PartnerShift `json:"partners"`
}

// PartnerShift is the difference at one partner.
type PartnerShift struct {
	Partner string `json:"partner"`
	Before  Side   `json:"before"`
	After   Side   `json:"after"`
	// Changed are the events whose request differs, of those that both would send.
	Changed int64 `json:"changed"`
	// Rejections are those that only the change brings, by reason.
	Rejections map[string]int64 `json:"new_rejections,omitempty"`
	Fields     []FieldShift     `json:"fields,omitempty"`
}

// Side is what one configuration comes to.
type Side struct {
	// Events would be sent, of the worth of Value by currency.
	Events int64              `json:"events"`
	Value  map[string]float64 `json:"value,omitempty"`
	// Kept counts by reason what a route is for and is not sent.
	Kept map[string]int64 `json:"not_sent,omitempty"`
}

// FieldShift is a field of the request, in how many events it changed, and how in
// the first of them.
type FieldShift struct {
	Path    string         `json:"path"`
	Added   int64          `json:"added,omitzero"`
	Removed int64          `json:"removed,omitzero"`
	Changed int64          `json:"changed,omitzero"`
	Before  jsontext.Value `json:"before,omitempty"`
	After   jsontext.Value `json:"after,omitempty"`
	EventID string         `json:"event_id"`
}

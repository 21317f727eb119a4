// Package analytics is the port to what happened: stored events, the sync log,
// and the questions that the console asks of them.
//
// What every backend promises, and analyticstest checks: a write that returned
// nil is durable and seen by the next read; writing the same event or sync again
// changes nothing; lists are newest first and paged by an opaque cursor that
// neither skips nor repeats while more is written; a question is bounded and
// ends when its context does.
package analytics

import (
	"context"
	"errors"
	"time"

	"github.com/miq/pixel/modules/event"
)

// Errors that a caller must tell apart.
var (
	// ErrNotFound says that no such event is stored.
	ErrNotFound = errors.New("no such event is stored")
	// ErrInvalid says that a question cannot be answered as it was asked; the
	// error that wraps it says why.
	ErrInvalid = errors.New("the question is not valid")
)

// Writer stores what happened.
type Writer interface {
	// WriteEvents stores events, each by its pixel and id; one that is stored
	// already is left as it is.
	WriteEvents(ctx context.Context, events ...event.Event) error
	// WriteSyncs stores lines of the sync log, each by its pixel, event, partner
	// and attempt; a later write of the same line replaces it.
	WriteSyncs(ctx context.Context, syncs ...event.Sync) error
	// WriteMatches stores how well partners could match events, each by its pixel,
	// event and partner; a later write of the same replaces it. They are gone when
	// their event is.
	WriteMatches(ctx context.Context, matches ...event.Match) error
}

// Reader answers questions.
type Reader interface {
	Events(ctx context.Context, f EventFilter) (EventPage, error)
	// Event finds one by id; pixelID may be empty.
	Event(ctx context.Context, pixelID, id string) (event.Event, error)
	Syncs(ctx context.Context, f SyncFilter) (SyncPage, error)
	// Matches are one event's, by the partner's name.
	Matches(ctx context.Context, pixelID, eventID string) ([]event.Match, error)
	// Readiness counts matches, by the partner's name.
	Readiness(ctx context.Context, q ReadinessQuery) ([]Readiness, error)
	FunnelReader
	LatencyReader
	OrderReader
	StoryReader
	// Series counts over time; steps without anything are there with zero.
	Series(ctx context.Context, q SeriesQuery) ([]Series, error)
	// Top counts by one dimension, greatest first.
	Top(ctx context.Context, q TopQuery) ([]TopRow, error)
	// Tally counts what is stored of the events received in whole hours from since
	// to before until, for the ledger to compare with the queues' books.
	Tally(ctx context.Context, since, until time.Time) ([]Tally, error)
	// Stored is the same for people to look at: from whatever the store keeps for quick
	// answers, and not from the events themselves.
	Stored(ctx context.Context, since, until time.Time) ([]Tally, error)
}

// Store is all of it.
type Store interface {
	Writer
	Reader
	ReceiptWriter
	ReceiptReader
	IdentityWriter
	CreditWriter
	CreditReader
	History
}

// EventFilter selects events; zero fields do not.
type EventFilter struct {
	PixelID   string
	ID        string
	Name      string
	VisitorID string
	OrderID   string
	// ProfileID selects the events of all visitors of a profile; see Identity.
	ProfileID string
	// Query is found in the name, the page's address, its title, or is the
	// beginning of an event, order or visitor id; letter case is ignored.
	Query string
	// Where are conditions on EventDimensions, which all must hold.
	Where []Condition
	// MinValue and MaxValue bound the order's value, both inclusive; what has no
	// value lies outside.
	MinValue, MaxValue *float64
	// Partner and Outcome ask for a line in the sync log, of one attempt, that has
	// both or the one that is set.
	Partner string
	Outcome event.Outcome
	// Since and Until bound the time of receipt, Until exclusive. All times are
	// compared in whole microseconds.
	Since, Until time.Time
	// After asks for events stored after the one with this cursor, oldest first:
	// what a live view has not shown yet. It excludes Cursor.
	After  string
	Cursor string
	Limit  int // 1–1000; 0: 50
}

// EventPage is a page of a list. Newest is what to ask for as EventFilter.After
// next time; it is set even when the page is empty. It stands for the newest
// event stored, or for the last of this page where After found more than fit.
type EventPage struct {
	Events []event.Event
	Next   string // empty at the end
	Newest string
	// Searched is how far back a search by EventFilter.Query came that was ended before it
	// filled the page, since it had looked at many events; Next goes on from there.
	Searched time.Time
}

// SyncFilter selects lines of the sync log; zero fields do not.
type SyncFilter struct {
	PixelID string
	// Pixels are those that are asked of; nil: all.
	Pixels       []string
	EventID      string
	OrderID      string
	Partner      string
	Outcome      event.Outcome
	Since, Until time.Time
	Cursor       string
	Limit        int // 1–1000; 0: 50
}

// SyncPage is a page of the sync log, newest first by the time of the attempt. A
// line that is replaced with another time meanwhile may move.
type SyncPage struct {
	Syncs []event.Sync
	Next  string
}

// Metric is what a Series or a Top counts.
type Metric string

// The metrics; money counts in millionths. Revenue is summed over purchases by currency, so it needs
// GroupBy "currency" or a filter on one currency to mean something.
const (
	MetricEvents   Metric = "events"
	MetricVisitors Metric = "visitors" // distinct visitors, those of one profile as one
	MetricRevenue  Metric = "revenue"  // sum of the order values of purchases
	// MetricBaseRevenue is the same in the currency that all sites are compared in
	// (event.Value); purchases of which it is not known add nothing.
	MetricBaseRevenue Metric = "base_revenue"
	MetricSyncs       Metric = "syncs" // attempts and decisions in the sync log
)

// Dimensions that events can be grouped by, and those for the sync log.
var (
	EventDimensions = []string{"pixel_id", "name", "consent", "device", "browser", "os", "country", "region", "city", "network", "referrer_kind", "referrer_host", "utm_source", "utm_medium", "utm_campaign", "page_path", "currency", "source"}
	SyncDimensions  = []string{"pixel_id", "partner", "outcome", "code"}
)

// SeriesQuery asks for counts over time. The steps are those that Since to Until
// touch, by the clock of the zone; what lies outside Since and Until is not
// counted, even where it shares a step. Without GroupBy there is always exactly
// one answer; groups come greatest first by what they come to over the whole
// time, and those that come to zero are left out.
type SeriesQuery struct {
	Metric       Metric
	PixelID      string
	Name         string // of events; not for MetricSyncs
	Partner      string // only for MetricSyncs
	Where        []Condition
	Since, Until time.Time
	Step         Step   // at most 2,000 of them
	Zone         string // the IANA name of a time zone; empty: UTC
	GroupBy      string // empty, or a dimension; the 20 greatest groups are kept
}

// Series are one group's counts.
type Series struct {
	Group  string  `json:"group,omitempty"`
	Points []Point `json:"points"`
}

// Point is a count in the step that begins at Time.
type Point struct {
	Time  time.Time `json:"time"`
	Value float64   `json:"value"`
}

// TopQuery asks for the greatest groups; equal ones come by name, and those that
// come to zero are left out. Zero times do not bound.
type TopQuery struct {
	Metric       Metric
	Dimension    string
	PixelID      string
	Name         string // of events; not for MetricSyncs
	Partner      string // only for MetricSyncs
	Where        []Condition
	Since, Until time.Time
	Limit        int // 1–1000; 0: 10
}

// TopRow is one group.
type TopRow struct {
	Group string  `json:"group"`
	Value float64 `json:"value"`
}

// Tally is a count of the events of one pixel that were received in one hour: of
// all, where Partner is empty, or of those that were handed to that partner's
// queue (there is a Match of that hour), that an attempt was made to send (a line of the sync
// log with an attempt above 0, which is neither not sent nor dry), and that the
// partner accepted (a line that says so). A row has something above zero.
type Tally struct {
	PixelID string
	Hour    time.Time // when it began
	Partner string
	N       int64 // stored, or accepted by the partner
	Routed  int64 // 0 where Partner is empty, as Sent
	Sent    int64
}

package analytics

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
)

// CreditWriter stores what conversions are owed to.
type CreditWriter interface {
	// WriteTouches stores touchpoints, each by its pixel and id; of several the
	// earliest counts, and of those at one time the one that was first.
	WriteTouches(ctx context.Context, touches ...event.Touchpoint) error
	// WriteCredits stores sets of credits, each by its pixel, conversion and model. A
	// set replaces the whole of one with the same or a lower version, and is left out
	// where a higher one is stored. What is said of an event goes with it.
	WriteCredits(ctx context.Context, sets ...event.Credits) error
}

// CreditReader answers what conversions are owed to.
type CreditReader interface {
	Credits(ctx context.Context, f CreditFilter) (CreditPage, error)
	// Attribution adds credits up by one dimension, for several models side by side.
	Attribution(ctx context.Context, q AttributionQuery) ([]AttributionRow, error)
	// Paths counts what visitors came by, with and without a conversion at the end.
	Paths(ctx context.Context, q PathQuery) ([]PathRow, error)
}

// CreditFilter selects sets of credits; zero fields do not.
type CreditFilter struct {
	PixelID string
	EventID string // the conversion's
	Model   string
	// Since and Until bound the time of the conversion's receipt, Until exclusive.
	Since, Until time.Time
	Cursor       string
	Limit        int // 1–1000; 0: 50
}

// CreditPage is a page of sets, newest first by the conversion's receipt.
type CreditPage struct {
	Credits []event.Credits
	Next    string
}

// CreditDimensions are what credits can be added up by.
var CreditDimensions = []string{"channel", "kind", "source", "campaign", "partner", "name", "pixel_id"}

// MaxModels is how many stand side by side.
const MaxModels = 16

// AttributionQuery asks what several models give. Rows come greatest first by the sum
// of all models' conversions, equal ones by name.
type AttributionQuery struct {
	PixelID string
	// Pixels are those that are asked of; nil: all.
	Pixels    []string
	Name      string   // of the conversion
	Models    []string // 1 to MaxModels
	Dimension string
	// Since and Until bound the time of the conversion's receipt, Until exclusive;
	// zero times do not.
	Since, Until time.Time
	Limit        int // 1–1000; 0: 100
}

// AttributionRow is one group, with what each model asked about gives it; every one
// is there.
type AttributionRow struct {
	Group  string              `json:"group"`
	Models map[string]Credited `json:"models"`
}

// Credited is what one model gives one group.
type Credited struct {
	Conversions float64 `json:"conversions"`
	// Revenue is net of refunds, by currency; conversions without a value and a
	// currency add nothing.
	Revenue  map[string]float64 `json:"revenue"`
	Refunded map[string]float64 `json:"refunded"` // only where there is some
}

// PathModel is the model from which paths are read: its sets name every touchpoint.
const PathModel = "linear"

// MaxPaths is how many different paths an answer may hold.
const MaxPaths = 50_000

// PathQuery asks for the paths of channels. A path with a conversion is read from its
// credits by PathModel; one without is what a visitor's touchpoints are that no
// conversion was ever credited to.
type PathQuery struct {
	PixelID string
	// Pixels are those that are asked of; nil: all.
	Pixels []string
	Name   string // of the conversion; paths without one are counted all the same
	// Since and Until bound the time of the conversion's receipt, or of the touchpoint;
	// zero times do not.
	Since, Until time.Time
	Limit        int // 1–MaxPaths; 0: 20
}

// PathRow is one path, first channel first.
type PathRow struct {
	Steps       []string           `json:"steps"`
	Conversions int64              `json:"conversions"`
	Revenue     map[string]float64 `json:"revenue"` // net of refunds, by currency
	Nulls       int64              `json:"nulls"`   // visitors who came so and did not convert
}

// Check fills the limit in, or says what is wrong with the filter.
func (f CreditFilter) Check() (_ CreditFilter, err error) {
	if f.Limit, err = limit(f.Limit, 50); err != nil {
		return f, err
	}
	return f, between(f.Since, f.Until)
}

// Check fills the limit in, or says what is wrong with the question.
func (q AttributionQuery) Check() (_ AttributionQuery, err error) {
	if q.Limit, err = limit(q.Limit, 100); err != nil {
		return q, err
	}
	if len(q.Models) == 0 || len(q.Models) > MaxModels {
		return q, invalid("models must be 1 to %d, not %d", MaxModels, len(q.Models))
	}
	q.Models = slices.Compact(slices.Sorted(slices.Values(q.Models)))
	if !slices.Contains(CreditDimensions, q.Dimension) {
		return q, invalid("credits cannot be grouped by %q, only by one of %s", clip(q.Dimension), strings.Join(CreditDimensions, ", "))
	}
	return q, between(q.Since, q.Until)
}

// Check fills the limit in, or says what is wrong with the question.
func (q PathQuery) Check() (PathQuery, error) {
	if q.Limit == 0 {
		q.Limit = 20
	}
	if q.Limit < 0 || q.Limit > MaxPaths {
		return q, invalid("limit must be 1 to %d, not %d", MaxPaths, q.Limit)
	}
	return q, between(q.Since, q.Until)
}

package analytics

import (
	"slices"
	"strings"

	"github.com/miq/pixel/modules/event"
)

// The bounds of conditions.
const (
	MaxConditions = 10
	MaxValues     = 100  // of one condition
	MaxPixels     = 1000 // of one on pixel_id
)

// Condition selects by a dimension: one of the values must be there, or with Not
// none of them. An empty value stands for what has none.
type Condition struct {
	Dimension string   `json:"dimension"`
	Values    []string `json:"values"`
	Not       bool     `json:"not,omitempty"`
}

// Is makes the usual condition.
func Is(dimension string, values ...string) Condition {
	return Condition{Dimension: dimension, Values: values}
}

// Holds reports whether an event fulfils it.
func (c Condition) Holds(e *event.Event) bool {
	return slices.Contains(c.Values, Value(e, c.Dimension)) != c.Not
}

// conditions says what is wrong with a list of them.
func conditions(list []Condition, dimensions []string) error {
	if len(list) > MaxConditions {
		return invalid("at most %d conditions can be asked for, not %d", MaxConditions, len(list))
	}
	for _, c := range list {
		most := MaxValues
		if c.Dimension == "pixel_id" {
			most = MaxPixels
		}
		switch {
		case !slices.Contains(dimensions, c.Dimension):
			return invalid("nothing can be selected by %q, only by one of %s", clip(c.Dimension), strings.Join(dimensions, ", "))
		case len(c.Values) == 0 || len(c.Values) > most:
			return invalid("a condition on %s needs 1 to %d values, not %d", c.Dimension, most, len(c.Values))
		}
	}
	return nil
}

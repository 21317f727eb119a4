package analytics

import (
	"maps"
	"slices"
	"time"

	"github.com/miq/pixel/modules/event"
)

// ReadinessQuery asks how well events could be matched; zero fields do not select.
type ReadinessQuery struct {
	PixelID string
	// Pixels are those that are asked of; nil: all.
	Pixels  []string
	Partner string
	Name    string // the event's
	// Since and Until bound the time of receipt, Until exclusive.
	Since, Until time.Time
}

// Check says what is wrong with the question.
func (q ReadinessQuery) Check() error { return between(q.Since, q.Until) }

// Readiness is how well the events of one partner could be matched.
type Readiness struct {
	Partner string              `json:"partner"`
	Events  int                 `json:"events"`
	Grades  map[event.Grade]int `json:"grades"`  // every grade is there
	Keys    map[string]int      `json:"keys"`    // events that carry it
	Missing map[string]int      `json:"missing"` // events that lack what a site could usually give
	// Weak are those of Missing that are matched by a guess or not at all.
	Weak map[string]int `json:"weak"`
}

// ReadinessCount adds matches up, for backends and for whoever checks them. The
// zero value has counted nothing.
type ReadinessCount struct{ by map[string]*Readiness }

// Add counts n matches of one kind.
func (c *ReadinessCount) Add(m event.Match, n int) {
	if c.by == nil {
		c.by = map[string]*Readiness{}
	}
	r := c.by[m.Partner]
	if r == nil {
		r = &Readiness{Partner: m.Partner, Grades: map[event.Grade]int{}, Keys: map[string]int{}, Missing: map[string]int{}, Weak: map[string]int{}}
		for _, g := range event.Grades {
			r.Grades[g] = 0
		}
		c.by[m.Partner] = r
	}
	r.Events += n
	r.Grades[m.Grade] += n
	for _, k := range m.Keys {
		r.Keys[k] += n
	}
	for _, k := range m.Missing {
		r.Missing[k] += n
		if m.Grade == event.NoMatch || m.Grade == event.LowMatch {
			r.Weak[k] += n
		}
	}
}

// Rows are the partners, by name.
func (c *ReadinessCount) Rows() []Readiness {
	out := make([]Readiness, 0, len(c.by))
	for _, name := range slices.Sorted(maps.Keys(c.by)) {
		out = append(out, *c.by[name])
	}
	return out
}

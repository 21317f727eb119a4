package analytics

import (
	"context"
	"math/bits"
	"slices"
	"time"
)

// The bounds of a funnel.
const (
	MinFunnel       = 2 // steps
	MaxFunnel       = 10
	MaxFunnelWindow = 90 * 24 * time.Hour
)

// FunnelQuery asks how many visitors did one thing after the other. Of the events
// received from Since to before Until, each step is fulfilled by one that
// happened (Event.Time) later than that of the step before; so no event fulfils
// two. The last happened at most Window after the first. The visitors of a profile
// are one; events without a visitor id are not counted.
type FunnelQuery struct {
	PixelID      string
	Where        []Condition // that the events of all steps must fulfil
	Steps        []FunnelStep
	Window       time.Duration // whole microseconds; 0: as long as MaxFunnelWindow
	Since, Until time.Time     // at most 400 days apart
}

// FunnelStep is fulfilled by events of a name that fulfil the conditions.
type FunnelStep struct {
	Name  string      `json:"name"`
	Where []Condition `json:"where,omitempty"`
}

// FunnelCount is how many visitors reached a step, and so each before it.
type FunnelCount struct {
	Name     string `json:"name"`
	Visitors int64  `json:"visitors"`
}

// Check fills the window in, or says what is wrong with the question.
func (q FunnelQuery) Check() (FunnelQuery, error) {
	if q.Window == 0 {
		q.Window = MaxFunnelWindow
	}
	switch {
	case len(q.Steps) < MinFunnel || len(q.Steps) > MaxFunnel:
		return q, invalid("a funnel has %d to %d steps, not %d", MinFunnel, MaxFunnel, len(q.Steps))
	case q.Window < time.Microsecond || q.Window > MaxFunnelWindow:
		return q, invalid("window must be more than nothing and at most %d days, not %s", int(MaxFunnelWindow.Hours()/24), q.Window)
	}
	if err := span(q.Since, q.Until); err != nil {
		return q, err
	}
	if err := conditions(q.Where, EventDimensions); err != nil {
		return q, err
	}
	for i, s := range q.Steps {
		if s.Name == "" {
			return q, invalid("step %d of the funnel needs the name of an event", i+1)
		}
		if err := conditions(s.Where, EventDimensions); err != nil {
			return q, err
		}
	}
	return q, nil
}

// FunnelReader answers it.
type FunnelReader interface {
	// Funnel has a count for each step.
	Funnel(ctx context.Context, q FunnelQuery) ([]FunnelCount, error)
}

// FunnelTally counts visitors through the steps of a funnel, for backends that
// read the events in order.
type FunnelTally struct {
	window  int64
	counts  []int64
	visitor uint64
	first   []int64 // by step: when the chain that reaches it and began latest began; none: noChain
	reached int
	at      int64 // of the events that wait
	masks   uint16
}

const noChain = -1 << 63

// Tally counts for a question that was checked.
func (q FunnelQuery) Tally() *FunnelTally {
	return &FunnelTally{window: q.Window.Microseconds(), counts: make([]int64, len(q.Steps)), first: make([]int64, len(q.Steps))}
}

// Add takes an event: whose it is, which is any number but 0, when it happened, in
// microseconds, and the steps it could fulfil, as bits. A visitor's events must come
// together, and in the order in which they happened.
func (t *FunnelTally) Add(visitor uint64, at int64, steps uint16) {
	if visitor != t.visitor {
		t.end()
		t.visitor = visitor
	}
	if at != t.at {
		t.take()
		t.at = at
	}
	t.masks |= steps
}

// take lets the events of one moment in. The last step comes first, so that none
// follows another of the same moment.
func (t *FunnelTally) take() {
	for t.masks != 0 {
		i := bits.Len16(t.masks) - 1
		t.masks &^= 1 << i
		if i == 0 {
			t.first[0] = t.at
		} else if began := t.first[i-1]; began != noChain && t.at-began <= t.window {
			// Began latest is best: it leaves the most of the window.
			t.first[i] = began
		} else {
			continue
		}
		t.reached = max(t.reached, i+1)
	}
}

func (t *FunnelTally) end() {
	t.take()
	for i := range t.reached {
		t.counts[i]++
	}
	t.reached, t.at = 0, noChain
	for i := range t.first {
		t.first[i] = noChain
	}
}

// Counts ends the last visitor.
func (t *FunnelTally) Counts(q FunnelQuery) []FunnelCount {
	t.end()
	t.visitor = 0
	out := make([]FunnelCount, len(q.Steps))
	for i, s := range q.Steps {
		out[i] = FunnelCount{s.Name, t.counts[i]}
	}
	return out
}

// Names are the events that any step needs, each once.
func (q FunnelQuery) Names() []string {
	var names []string
	for _, s := range q.Steps {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

package analytics

import (
	"context"
	"math"
	"slices"
	"time"
)

// LatencyQuery asks how long partners took to answer; zero fields do not select.
// Lines of the sync log without a latency are of nothing that was sent, and are
// not counted.
type LatencyQuery struct {
	PixelID string
	// Pixels are those that are asked of; nil: all.
	Pixels  []string
	Partner string
	// Since and Until bound the time of the attempt, Until exclusive. They are
	// needed, and lie at most 400 days apart.
	Since, Until time.Time
	// Step parts the answer by time, and Zone says in which zone; without a step
	// there is one row for each partner.
	Step Step
	Zone string
}

// Latency is how long one partner took, in a step that begins at Time. A quantile
// q of n attempts is the one at place ⌊q·n⌋, counted from 0 in ascending order.
type Latency struct {
	Partner  string        `json:"partner"`
	Time     time.Time     `json:"time,omitzero"` // zero without steps
	Attempts int64         `json:"attempts"`
	P50      time.Duration `json:"-"`
	P90      time.Duration `json:"-"`
	P99      time.Duration `json:"-"`
	Max      time.Duration `json:"-"`
}

// LatencyReader answers it.
type LatencyReader interface {
	// Latency has a row for each partner and step in which there was an attempt, by
	// the partner's name and the time.
	Latency(ctx context.Context, q LatencyQuery) ([]Latency, error)
}

// Check says what is wrong with the question.
func (q LatencyQuery) Check() error {
	if err := span(q.Since, q.Until); err != nil {
		return err
	}
	if q.Step == "" {
		return nil
	}
	_, err := q.Starts()
	return err
}

// Starts are where the steps begin; the only one without a step is the zero time.
func (q LatencyQuery) Starts() ([]time.Time, error) {
	if q.Step == "" {
		return []time.Time{{}}, nil
	}
	return stepsOf(q.Step, q.Zone, q.Since, q.Until)
}

// LatencyOf makes a row of one partner's latencies, which it sorts.
func LatencyOf(partner string, at time.Time, all []time.Duration) Latency {
	slices.Sort(all)
	place := func(q float64) time.Duration {
		return all[min(len(all)-1, int(math.Floor(q*float64(len(all)))))]
	}
	return Latency{Partner: partner, Time: at, Attempts: int64(len(all)), P50: place(0.5), P90: place(0.9), P99: place(0.99), Max: all[len(all)-1]}
}

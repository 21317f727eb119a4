// Package lanestatus tells how each partner's lane fares, from the dispatchers
// that run the lanes to whoever shows it, perhaps in another process. Each
// dispatcher writes its figures to the shared state every second, under a key
// that expires once it falls silent; readers gather what stands there.
package lanestatus

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/slots"
	"github.com/miq/pixel/modules/state"
)

// The states of a breaker.
const (
	Closed   = "closed"    // requests go out
	Open     = "open"      // too many failed; none goes out for a while
	HalfOpen = "half-open" // a trial request goes out
)

// Status is one lane's figures on one dispatcher.
type Status struct {
	Partner  string `json:"partner"`
	Instance string `json:"instance"`
	// Account is which of the partner's accounts; empty: its own credentials.
	Account string `json:"account,omitempty"`
	Breaker string `json:"breaker"`
	// Since is when the breaker took its state.
	Since time.Time `json:"since"`
	// Paused says why nothing is sent although the breaker would let it; empty
	// while the lane runs.
	Paused string `json:"paused,omitempty"`
	// Answers are the partner's last, newest first, at most five.
	Answers  []Answer `json:"answers"`
	InFlight int      `json:"in_flight"` // events in requests that are under way
	// Success and Failed count events since the dispatcher started: taken by the
	// partner; refused, or to be tried again.
	Success uint64 `json:"success"`
	Failed  uint64 `json:"failed"`
	// Parallel is how many requests at a time this dispatcher allows itself, and
	// PerSecond how many a second all of them together do; 0: as many as may be.
	Parallel  int     `json:"parallel"`
	PerSecond float64 `json:"per_second,omitzero"`
}

// Answer is one answer of a partner.
type Answer struct {
	At      time.Time     `json:"at"`
	Status  int           `json:"status"` // 0: none came
	Events  int           `json:"events"`
	Latency time.Duration `json:"-"` // "latency_ns": see MarshalJSONTo
	// Note is what went wrong, empty if nothing did.
	Note string `json:"note,omitempty"`
}

type answerFields Answer

// answerJSON gives Latency a form, since a Duration has none in JSON.
type answerJSON struct {
	answerFields
	Latency int64 `json:"latency_ns"`
}

// MarshalJSONTo writes Latency as nanoseconds, "latency_ns".
func (a Answer) MarshalJSONTo(e *jsontext.Encoder) error {
	return json.MarshalEncode(e, answerJSON{answerFields(a), int64(a.Latency)})
}

// UnmarshalJSONFrom reads what MarshalJSONTo wrote.
func (a *Answer) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var j answerJSON
	if err := json.UnmarshalDecode(d, &j); err != nil {
		return err
	}
	*a = Answer(j.answerFields)
	a.Latency = time.Duration(j.Latency)
	return nil
}

const prefix = "lanes:"

// report is what stands under a key.
type report struct {
	Instance string    `json:"instance"`
	At       time.Time `json:"at"`
	Lanes    []Status  `json:"lanes"`
}

// Read returns the lanes of all dispatchers, by partner and instance. None is
// no error: no dispatcher runs, or it just started.
func Read(ctx context.Context, keys state.Keys) ([]Status, error) {
	values, err := slots.Read(ctx, keys, prefix)
	if err != nil {
		return nil, fmt.Errorf("read the lanes: %w", err)
	}
	var all []Status
	for _, v := range values {
		var r report
		// A report of another version that cannot be read is as good as none.
		if json.Unmarshal(v, &r) != nil {
			continue
		}
		all = append(all, r.Lanes...)
	}
	slices.SortFunc(all, func(a, b Status) int {
		if c := strings.Compare(a.Partner, b.Partner); c != 0 {
			return c
		}
		return strings.Compare(a.Instance, b.Instance)
	})
	return all, nil
}

// Merge is a partner's lane over all dispatchers, as the console shows it: the
// worst breaker, any pause, the sums, and the newest answers. False: none runs.
func Merge(all []Status, partner string) (Status, bool) {
	m, found := Status{Partner: partner, Breaker: Closed}, false
	for _, s := range all {
		if s.Partner != partner {
			continue
		}
		if !found || rank(s.Breaker) > rank(m.Breaker) {
			m.Breaker, m.Since = s.Breaker, s.Since
		}
		found = true
		if m.Paused == "" {
			m.Paused = s.Paused
		}
		m.InFlight += s.InFlight
		m.Success += s.Success
		m.Failed += s.Failed
		m.Parallel += s.Parallel
		if s.PerSecond > 0 && (m.PerSecond == 0 || s.PerSecond < m.PerSecond) {
			m.PerSecond = s.PerSecond
		}
		m.Answers = append(m.Answers, s.Answers...)
	}
	slices.SortStableFunc(m.Answers, func(a, b Answer) int { return b.At.Compare(a.At) })
	m.Answers = m.Answers[:min(len(m.Answers), 5)]
	return m, found
}

func rank(breaker string) int {
	switch breaker {
	case Open:
		return 2
	case HalfOpen:
		return 1
	}
	return 0
}

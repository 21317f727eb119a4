package attribution

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// The models, by the names that reports use. The first six are given at once; Markov and
// Shapley need many paths and are given by Job.
const (
	LastNonDirect = "last_non_direct"
	First         = "first"
	Last          = "last"
	Linear        = "linear"
	TimeDecay     = "time_decay"
	Position      = "position"
	Markov        = "markov"
	Shapley       = "shapley"
)

// Models are all of them; Immediate those that are given with the conversion.
var (
	Models    = []string{LastNonDirect, First, Last, Linear, TimeDecay, Position, Markov, Shapley}
	Immediate = Models[:6]
)

// Weigh says how a model shares a conversion at a time among a path, in parts of
// event.Whole that add up to it.
func Weigh(model string, path []Touch, at time.Time, s *settings.Attribution) []int64 {
	n := len(path)
	w := make([]float64, n)
	switch {
	case n == 0:
		return nil
	case model == First:
		w[0] = 1
	case model == Last:
		w[n-1] = 1
	case model == LastNonDirect:
		w[lastNonDirect(path)] = 1
	case model == TimeDecay:
		half := s.HalfLife().Hours()
		for i := range path {
			w[i] = math.Exp2(-at.Sub(path[i].At).Hours() / half)
		}
	case model == Position && n > 1:
		first, last := s.Ends()
		w[0], w[n-1] = float64(first), float64(last)
		for i := 1; i < n-1; i++ {
			w[i] = float64(100-first-last) / float64(n-2)
		}
		if n == 2 && first+last == 0 {
			w[0], w[1] = 1, 1
		}
	default:
		for i := range w {
			w[i] = 1
		}
	}
	return Split(event.Whole, w)
}

// lastNonDirect is the last visit that something led to; where there is none, the last
// direct one, and else the last there is.
func lastNonDirect(path []Touch) int {
	direct := -1
	for i := len(path) - 1; i >= 0; i-- {
		switch path[i].Kind {
		case event.AdClick, event.CampaignVisit, event.OrganicVisit:
			return i
		case event.DirectVisit:
			direct = max(direct, i)
		}
	}
	if direct >= 0 {
		return direct
	}
	return len(path) - 1
}

// Split shares a whole by weights, so that the parts add up to it exactly: each gets
// what is due to it rounded down, and what is left goes one by one to those that lost
// most by that, of equals to the first. Without any weight the shares are equal.
func Split(whole int64, weights []float64) []int64 {
	out := make([]int64, len(weights))
	if len(weights) == 0 || whole == 0 {
		return out
	}
	if whole < 0 {
		out = Split(-whole, weights)
		for i := range out {
			out[i] = -out[i]
		}
		return out
	}
	var sum float64
	for _, w := range weights {
		if w > 0 && !math.IsInf(w, 0) {
			sum += w
		}
	}
	lost := make([]float64, len(weights))
	left := whole
	for i, w := range weights {
		share := 0.0
		switch {
		case sum <= 0:
			share = float64(whole) / float64(len(weights))
		case w > 0 && !math.IsInf(w, 0):
			share = float64(whole) * (w / sum)
		default:
			lost[i] = -1 // nothing is due
			continue
		}
		out[i] = min(int64(share), left)
		left -= out[i]
		lost[i] = share - float64(out[i])
	}
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(lost[b], lost[a]) })
	due := 0
	for due < len(order) && lost[order[due]] >= 0 {
		due++
	}
	// A whole beyond 2^53 leaves more than one each.
	for i := 0; left > 0; i++ {
		step := max(left/int64(due), 1)
		out[order[i%due]] += step
		left -= step
	}
	return out
}

// Give returns what a model gives for a conversion of a path by weights of event.Whole;
// touchpoints without weight are left out. Without any touchpoint the conversion is
// owed to none, so that totals are the same for every model.
func Give(pixelID, visitorID, model string, c *Conversion, path []Touch, weights []int64) event.Credits {
	out := event.Credits{
		PixelID: pixelID, EventID: c.EventID, Model: model, Version: c.Version, Name: c.Name, VisitorID: visitorID,
		At: c.At, ReceivedAt: c.ReceivedAt, Currency: c.Currency, Refunded: c.Refunded(),
	}
	out.Value = c.Value - out.Refunded
	if len(path) == 0 {
		path = []Touch{{Touchpoint: event.Touchpoint{ID: "none", PixelID: pixelID, At: c.At, Kind: event.NoTouch, Channel: "unattributed"}}}
		weights = []int64{event.Whole}
	}
	out.Shares = Shares(path, weights, out.Value, out.Refunded)
	return out
}

// Shares puts weights and money to a path.
func Shares(path []Touch, weights []int64, value, refunded int64) []event.Share {
	w := make([]float64, len(weights))
	n := 0
	for i := range weights {
		if w[i] = float64(weights[i]); weights[i] > 0 {
			n++
		}
	}
	values, backs := Split(value, w), Split(refunded, w)
	out := make([]event.Share, 0, n)
	for i := range path {
		if weights[i] > 0 {
			out = append(out, event.Share{Touchpoint: path[i].Touchpoint, Weight: weights[i], Value: values[i], Refunded: backs[i]})
		}
	}
	return out
}

// Settle gives a conversion of the i-th of a person's visitors by all models of
// Immediate. Where that differs from what was given before, its version grows, and
// changed is set: the history has to be kept.
func (p Person) Settle(i int, c *Conversion, pixelID, visitorID string, s *settings.Attribution) (sets []event.Credits, changed bool) {
	steps := p.Path(i, c, s.Lookback)
	sum := uint64(1469598103934665603)
	sets = make([]event.Credits, 0, len(Immediate))
	for _, m := range Immediate {
		set := Give(pixelID, visitorID, m, c, steps, Weigh(m, steps, c.At, s))
		sum = sum*1099511628211 ^ digest(&set)
		sets = append(sets, set)
	}
	if changed = c.Version == 0 || c.Digest != sum; changed {
		c.Version, c.Digest = c.Version+1, sum
		for j := range sets {
			sets[j].Version = c.Version
		}
	}
	return sets, changed
}

package attribution

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
)

// The bounds of what is remembered of one visitor. Beyond them the oldest goes.
const (
	maxTouches     = 64
	maxConversions = 16
	maxRefunds     = 16
)

// History is what is remembered of one visitor: a set of touchpoints and one of
// conversions, each in the order of time. Adding is the same in any order, and again.
type History struct {
	Touches     []Touch
	Conversions []Conversion
	// Linked are the other visitors who are the same person, as an event under full
	// consent last knew.
	Linked []string
}

func compareTouches(a, b Touch) int {
	return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID), strings.Compare(a.EventID, b.EventID))
}

func sortRefunds(list []Refund) {
	slices.SortFunc(list, func(a, b Refund) int { return strings.Compare(a.EventID, b.EventID) })
}

// Touch adds a touchpoint and reports whether that changed anything. Of one visit the
// first page counts.
func (h *History) Touch(t Touch, lookback func(event.TouchKind) time.Duration) bool {
	for i := range h.Touches {
		known := &h.Touches[i]
		if known.ID != t.ID {
			continue
		}
		// What was once told under full consent may be counted for the person.
		own := known.Own && t.Own
		switch {
		case compareTouches(t, *known) < 0:
			*known = t
			known.Own = own
			slices.SortFunc(h.Touches, compareTouches)
			return true
		case known.Own != own:
			known.Own = own
			return true
		}
		return false
	}
	i, _ := slices.BinarySearchFunc(h.Touches, t, compareTouches)
	if i == 0 && len(h.Touches) == maxTouches {
		return false // older than all that fit
	}
	h.Touches = slices.Insert(h.Touches, i, t)
	if len(h.Touches) > maxTouches {
		oldest := h.Touches[0]
		for j := range h.Conversions {
			// Those that are owed to it keep what they are owed to.
			if c := &h.Conversions[j]; c.Path == nil && counts(&oldest, c, lookback) {
				c.Path = path(h.Touches, c, lookback)
			}
		}
		h.Touches = slices.Delete(h.Touches, 0, 1)
	}
	return true
}

// Convert adds a conversion and reports whether it was not there.
func (h *History) Convert(c Conversion) bool {
	if h.Find(c.EventID) != nil {
		return false
	}
	compare := func(a, b Conversion) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.EventID, b.EventID)) }
	i, _ := slices.BinarySearchFunc(h.Conversions, c, compare)
	if i == 0 && len(h.Conversions) == maxConversions {
		return false
	}
	h.Conversions = slices.Insert(h.Conversions, i, c)
	if len(h.Conversions) > maxConversions {
		h.Conversions = slices.Delete(h.Conversions, 0, 1)
	}
	return true
}

// Find returns a conversion by its event, or nil.
func (h *History) Find(eventID string) *Conversion {
	for i := range h.Conversions {
		if h.Conversions[i].EventID == eventID {
			return &h.Conversions[i]
		}
	}
	return nil
}

// counts reports whether a touchpoint lies in a conversion's window.
func counts(t *Touch, c *Conversion, lookback func(event.TouchKind) time.Duration) bool {
	return !t.At.After(c.At) && c.At.Sub(t.At) <= lookback(t.Kind)
}

// path are those of sorted touchpoints that a conversion is owed to.
//
// A visit that comes within visitGap after another is the same one unless it brings an
// advertisement or a campaign of its own: so what was paid for is not displaced by the
// search or the nothing by which the visitor came back a minute later.
func path(touches []Touch, c *Conversion, lookback func(event.TouchKind) time.Duration) []Touch {
	var out []Touch
	var visited time.Time // when the last visit was last heard of
	for i := range touches {
		t := &touches[i]
		if !counts(t, c, lookback) {
			continue
		}
		seen := slices.ContainsFunc(out, func(o Touch) bool {
			return t.At.Sub(o.At) <= visitGap && (o.Kind == event.Impression) == (t.Kind == event.Impression) && same(&o, t)
		})
		if t.Kind == event.Impression {
			if !seen {
				out = append(out, *t)
			}
			continue
		}
		going := !visited.IsZero() && t.At.Sub(visited) <= visitGap
		visited = t.At
		if seen || going && (t.Kind == event.OrganicVisit || t.Kind == event.DirectVisit) {
			continue
		}
		out = append(out, *t)
	}
	return out
}

// same reports whether two touchpoints are of one advertisement or source. The click
// that an advertising server saw and the visit that it led to are.
func same(a, b *Touch) bool {
	if a.Partner != "" && a.Partner == b.Partner && (a.Campaign == b.Campaign || a.Campaign == "" || b.Campaign == "") {
		return true
	}
	return a.Channel == b.Channel && a.Source == b.Source && a.Campaign == b.Campaign
}

// Person are the histories of the visitors who are one person, as far as is known;
// most are one visitor.
type Person []*History

// Path is what a conversion of the i-th visitor is owed to, oldest first.
func (p Person) Path(i int, c *Conversion, lookback func(event.TouchKind) time.Duration) []Touch {
	if c.Path != nil {
		return c.Path
	}
	if c.Own || len(p) == 1 {
		return path(p[i].Touches, c, lookback)
	}
	var all []Touch
	for j, h := range p {
		for _, t := range h.Touches {
			if j == i || !t.Own {
				all = append(all, t)
			}
		}
	}
	slices.SortFunc(all, compareTouches)
	return path(all, c, lookback)
}

// digest tells whether what is given for a conversion changed.
func digest(c *event.Credits) uint64 {
	h := fnv.New64a()
	write := func(s string) { h.Write([]byte(s)); h.Write([]byte{0}) }
	number := func(n int64) {
		for range 8 {
			h.Write([]byte{byte(n)})
			n >>= 8
		}
	}
	write(c.Currency)
	number(c.Value)
	number(c.Refunded)
	for i := range c.Shares {
		s := &c.Shares[i]
		write(s.ID)
		write(s.Channel)
		number(s.At.UnixMilli())
		number(s.Weight)
	}
	return h.Sum64()
}

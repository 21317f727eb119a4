package event

import "time"

// Touchpoint is one contact of a visitor with an advertisement or with the site
// from outside: what a conversion may be owed to.
type Touchpoint struct {
	// ID is the touchpoint's own within its pixel: the same for every copy and every
	// order of the events that tell of it.
	ID        string    `json:"id"`
	PixelID   string    `json:"pixel_id"`
	VisitorID string    `json:"visitor_id,omitempty"`
	EventID   string    `json:"event_id,omitempty"` // that told of it
	At        time.Time `json:"at,omitzero"`
	Kind      TouchKind `json:"kind"`
	// Channel is the kind of marketing, such as paid_search or email.
	Channel  string `json:"channel"`
	Source   string `json:"source,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	Partner  string `json:"partner,omitempty"` // the advertising network, where its click id tells
}

// TouchKind is what a Touchpoint was.
type TouchKind string

// The kinds, the strongest evidence first.
const (
	AdClick       TouchKind = "ad_click"
	Impression    TouchKind = "impression"
	CampaignVisit TouchKind = "campaign"
	OrganicVisit  TouchKind = "organic"
	DirectVisit   TouchKind = "direct"
	// NoTouch stands where a conversion has no touchpoint at all.
	NoTouch TouchKind = "none"
)

// Whole is the weight of one conversion: weights are counted in millionths, so that
// the shares of one add up to it exactly.
const Whole = 1_000_000

// Credits are what one model gives the touchpoints of one conversion.
type Credits struct {
	PixelID string `json:"pixel_id"`
	EventID string `json:"event_id"` // the conversion's
	Model   string `json:"model"`
	// Version grows with each correction.
	Version    int64     `json:"version"`
	Name       string    `json:"name"` // the conversion's event name
	VisitorID  string    `json:"visitor_id,omitempty"`
	At         time.Time `json:"at"`
	ReceivedAt time.Time `json:"received_at"`
	Currency   string    `json:"currency,omitempty"`
	// Value is what the conversion is worth after refunds, Refunded what was paid
	// back, both in millionths.
	Value    int64 `json:"value"`
	Refunded int64 `json:"refunded,omitzero"`
	// Shares are in the order of the touchpoints; those without weight are left out.
	Shares []Share `json:"shares"`
}

// Share is one touchpoint's part of a conversion.
type Share struct {
	Touchpoint
	Weight   int64 `json:"weight"` // of Whole
	Value    int64 `json:"value"`  // the shares' values add up to the conversion's
	Refunded int64 `json:"refunded,omitzero"`
}

// maxMicros bounds a value that is counted in millionths: a thousand billion.
const maxMicros = int64(1e18)

// Micros is an amount in millionths, rounded half away from zero; 0 where there is
// none, or one beyond any sale.
func (a Amount) Micros() int64 {
	s, sign := string(a), int64(1)
	if a.Negative() {
		s, sign = s[1:], -1
	}
	var n int64
	decimals := -1
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.' && decimals < 0:
			decimals = 0
			continue
		case c < '0' || c > '9':
			return 0
		case decimals >= 6:
			if decimals == 6 && c >= '5' {
				n++
			}
			decimals = 7
			continue
		}
		if n = n*10 + int64(c-'0'); n > maxMicros {
			return 0
		}
		if decimals >= 0 {
			decimals++
		}
	}
	for d := max(decimals, 0); d < 6; d++ {
		if n *= 10; n > maxMicros {
			return 0
		}
	}
	return sign * n
}

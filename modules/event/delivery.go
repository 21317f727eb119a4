package event

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Delivery is one event on its way to one partner by one route. Its key is the
// event's id and the partner.
type Delivery struct {
	Event   Event  `json:"event"`
	Partner string `json:"partner"`
	// Params are the route's, in the partner's own field names.
	Params jsontext.Value `json:"params,omitempty"`
	// Permission is what consent allowed when the event was routed; it is
	// decided again before each attempt, and never widened.
	Permission Permission `json:"permission"`
	// Country is where the pixel's site sells (ISO 3166-1 alpha-2), for a partner
	// that must know and an event that does not tell.
	Country string `json:"country,omitempty"`
	// Account is which of the partner's accounts it is sent by; empty: its own.
	Account  string    `json:"account,omitempty"`
	QueuedAt time.Time `json:"queued_at"`
	// Was is the event's name before the route's mapping changed it, and When the
	// condition under which the route took it: by them the route is found again.
	Was  string `json:"was,omitempty"`
	When string `json:"when,omitempty"`
	// OrderKey is set where the partner is to know a repeat by the order's id.
	OrderKey bool `json:"order_key,omitempty"`
	// Waits are the fields of its request that nobody had decided upon when it was put
	// on hold.
	Waits []string `json:"waits,omitempty"`
}

// Routed is the event's name as it was when it was routed.
func (d *Delivery) Routed() string {
	if d.Was != "" {
		return d.Was
	}
	return d.Event.Name
}

// Key is by what the partner knows a repeat of the event.
func (d *Delivery) Key() string {
	if d.OrderKey && d.Event.Order.ID != "" {
		return d.Event.Order.ID
	}
	return d.Event.ID
}

// Outcome says how an attempt to deliver ended.
type Outcome string

// The outcomes of a Sync.
const (
	Accepted Outcome = "accepted" // the partner took it
	Retry    Outcome = "retry"    // it will be tried again
	Rejected Outcome = "rejected" // the partner will never take it, or we know that it would not: it is in the dead letters
	NotSent  Outcome = "not_sent" // we chose not to send it: switch, consent, no key
	// Unverified: the partner has queued it, and tells later what became of it.
	Unverified Outcome = "unverified"
	Dry        Outcome = "dry" // the request was made and shown, and not sent
)

// Sync is a line of the sync log: one event, one partner, one attempt.
type Sync struct {
	EventID string    `json:"event_id"`
	PixelID string    `json:"pixel_id"`
	Partner string    `json:"partner"`
	Attempt int       `json:"attempt"` // from 1; 0 where nothing was sent
	At      time.Time `json:"at"`
	Outcome Outcome   `json:"outcome"`
	// Code is short and stable, for filters: "partner_off", "InvalidPrivacySetting".
	Code string `json:"code,omitempty"`
	// Message is for people: "not sent: partner is off".
	Message string `json:"message,omitempty"`
	// Status is the answer's HTTP status; 0 where none came.
	Status  int           `json:"status,omitempty"`
	Latency time.Duration `json:"-"` // "latency_ns": see MarshalJSONTo
	// RequestID is the partner's own, for a support ticket.
	RequestID string `json:"request_id,omitempty"`
	// Payload is the SHA-256 of the body that was sent.
	Payload string `json:"payload,omitempty"`
	// Answer is the beginning of what the partner answered about this event.
	Answer string `json:"answer,omitempty"`
	// Request is the beginning of the body that would be sent; only of a Dry one.
	Request string `json:"request,omitempty"`
	OrderID string `json:"order_id,omitempty"`
}

// A Duration has no JSON of its own, so Latency takes a detour.
type syncFields Sync

type syncJSON struct {
	syncFields `json:",embed"`

	Latency int64 `json:"latency_ns,omitzero"`
}

// MarshalJSONTo writes Latency as nanoseconds, "latency_ns".
func (s Sync) MarshalJSONTo(e *jsontext.Encoder) error {
	return json.MarshalEncode(e, syncJSON{syncFields(s), int64(s.Latency)})
}

// UnmarshalJSONFrom reads what MarshalJSONTo wrote.
func (s *Sync) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var j syncJSON
	if err := json.UnmarshalDecode(d, &j); err != nil {
		return err
	}
	*s = Sync(j.syncFields)
	s.Latency = time.Duration(j.Latency)
	return nil
}

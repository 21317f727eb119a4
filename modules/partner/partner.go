// Package partner is the port to an advertising partner. An adapter translates
// between our events and one partner's API and does nothing else: no I/O, no
// retries, no tokens, no clock. Everything the rest of the program needs to know
// of a partner is in its Spec.
package partner

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// Adapter is one partner. partnertest checks what the comments promise.
type Adapter interface {
	Spec() Spec
	// Group names what a delivery's request depends on beside the event, such as
	// the advertiser's account. Deliveries of different groups never share a
	// request.
	Group(event.Delivery) string
	// Encode makes one request of a batch whose deliveries are of one group. It
	// returns a result for each delivery that this partner can never take, so
	// that one of them does not spoil the batch, and a Retry with After set for
	// one that comes too early; the request holds the others, in their order.
	// The request is nil when none is left.
	Encode(context.Context, Batch) (*http.Request, []Result, error)
	// Decode sorts an answer to the deliveries that Encode put in the request.
	Decode(Answer, []event.Delivery) Receipt
	// Sandbox imitates the partner's endpoints strictly, and hands everything
	// it is sent to record.
	Sandbox(record func(Received)) http.Handler
}

// Timed is an Adapter whose limits or groups depend on the hour or on what is set
// for the partner, which Spec and Group cannot know. Ask LimitsIn, AgeLimit and
// GroupIn rather than the adapter; they serve every Adapter.
type Timed interface {
	Adapter
	// LimitsIn replaces Spec.Limits.
	LimitsIn(Batch) Limits
	// GroupIn replaces Group at Batch.Now.
	GroupIn(Batch, event.Delivery) string
}

// LimitsIn are the limits under a batch's settings and credentials; the batch
// needs no deliveries.
func LimitsIn(a Adapter, b Batch) Limits {
	if t, ok := a.(Timed); ok {
		return t.LimitsIn(b)
	}
	return a.Spec().Limits
}

// AgeLimit is the age of the oldest event that the partner takes under a
// batch's settings and credentials; the batch needs no deliveries.
func AgeLimit(a Adapter, b Batch) time.Duration { return LimitsIn(a, b).Age }

// GroupIn is the group of a delivery under a batch's settings, credentials and
// time; the batch needs no deliveries.
func GroupIn(a Adapter, b Batch, d event.Delivery) string {
	if t, ok := a.(Timed); ok {
		return t.GroupIn(b, d)
	}
	return a.Group(d)
}

// Deferred is an Adapter whose partner only queues a request at first and tells
// later what became of it. Where a Receipt has AskAfter set, somebody asks with
// Ask after that time, under the same settings, and hands the answer to Hear.
type Deferred interface {
	Adapter
	// Ask makes the request for what became of an earlier one, by the RequestID
	// of its Receipt. The batch needs no deliveries.
	Ask(ctx context.Context, b Batch, requestID string) (*http.Request, error)
	// Hear sorts the answer to the deliveries that were Accepted then. Of those it
	// reads the event's id and no more. A Receipt with AskAfter set says that
	// nothing is known yet; otherwise the results are final: Accepted for good,
	// Rejected, or Retry for those to send again, which the partner's dedupe key
	// makes harmless.
	Hear(Answer, []event.Delivery) Receipt
}

// Resender is an Adapter whose partner has no dedupe key, and which may be told to
// send again what may have been counted. See ResendsUnknown.
type Resender interface {
	Adapter
	// ResendsUnknown reports whether, under these settings, an event is sent again
	// where nobody knows whether the partner took it.
	ResendsUnknown(settings jsontext.Value) bool
}

// ResendsUnknown reports whether an event may be sent again after a request of which
// nobody knows whether the partner took it: no answer came, or whoever sent it died
// before it could write the answer down. By the partner's dedupe key that is harmless;
// without one it may count twice, so that the adapter's settings must ask for it.
func ResendsUnknown(a Adapter, settings jsontext.Value) bool {
	if a.Spec().DedupeKey != "" {
		return true
	}
	r, ok := a.(Resender)
	return ok && r.ResendsUnknown(settings)
}

// Spec describes a partner.
type Spec struct {
	Name  string // "ttd": the name in routes, queues, metrics and addresses
	Title string // "The Trade Desk"
	About string // a sentence for the console
	Docs  string // where the partner documents its API

	// Endpoint and TokenURL are the partner's own; configuration may replace
	// them. Where the endpoint depends on the account, Endpoint is one of
	// several, and Encode chooses unless Batch.Endpoint is set.
	Endpoint string
	TokenURL string

	// Settings and Params are JSON Schemas (draft 2020-12): of what is set once
	// for the partner, and of a route's parameters. The console makes its forms
	// from their titles and descriptions.
	Settings jsontext.Value
	Params   jsontext.Value
	// Credentials are the secrets it needs, in the order they are asked for.
	Credentials []Credential
	Auth        Auth
	// Scopes are what an access token is asked for, where Auth names them.
	Scopes []string
	// Connect is set where an account can be connected in the console.
	Connect *Grant

	Limits  Limits
	Consent Needs

	// DedupeKey is the partner's field by which it drops a repeat, so that sending
	// again after a timeout is harmless; empty where it has none.
	DedupeKey string
	// Test says, for people, what the partner does with a request that Encode made
	// with Batch.Test: "checks it and stores nothing". Empty: it has no such flag,
	// and a test event is sent for real.
	Test string
	// Keys are what the partner finds a person by, the surest first, and Carries
	// names those that a delivery has under the partner's settings. See Match.
	Keys    []Key
	Carries func(settings jsontext.Value, d event.Delivery) []string
	// EventNames are the partner's own names for standard events, shown where a
	// route is made.
	EventNames map[string]string
}

// Credential is a secret to ask an administrator for.
type Credential struct {
	Name  string // "refresh_token"
	Title string
	Help  string
	// Optional is set where the partner works without it.
	Optional bool
}

// Limits are the partner's, or ours where it states none.
type Limits struct {
	Items   int           // events in a request
	Bytes   int           // of a request's body
	Age     time.Duration // of the oldest event it takes
	Timeout time.Duration // for an answer
	Linger  time.Duration // how long a batch may wait to fill

	// What the partner says of its rates; 0: nothing, so that its answers tell.
	PerSecond      float64 // requests
	PerDay         int     // requests
	BytesPerSecond int
	Parallel       int // requests at a time
}

// Needs are what consent must allow before the partner gets an event.
type Needs struct {
	VendorID int // in the IAB's global vendor list
	// Measure is set where the connector can say "count, but do not
	// personalise", so that less than full permission is still of use.
	Measure bool
	// ConsentMode is set where the partner takes Google Consent Mode's answer
	// (or its own form of it) instead of a TC string.
	ConsentMode bool
	// LimitedUse is set where the partner has a flag for limited data use.
	LimitedUse bool
}

// Batch is what a request is made of.
type Batch struct {
	Endpoint    string            // from configuration; empty: the partner's own
	Settings    jsontext.Value    // valid by Spec.Settings; may be empty
	Credentials map[string]string // for headers that name the client
	Token       string            // a valid access token, where Auth needs one
	Now         time.Time
	Deliveries  []event.Delivery
	// Test asks for the partner's own test or validate flag; see Spec.Test.
	Test bool
}

// Answer is a partner's answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // at most 1 MiB
	Now    time.Time
	// Settings are those of the Batch that was sent.
	Settings jsontext.Value
}

// Result is what becomes of one delivery.
type Result struct {
	EventID string
	Outcome event.Outcome // Accepted, Retry, Rejected or NotSent
	Code    string        // short and stable: the partner's, or ours in snake_case
	Message string        // for people
	// Answer is the item's own part of the answer, as it came, where it has one.
	Answer string
	// After is how long a Retry has to wait at least.
	After time.Duration
}

// Receipt sorts a batch. Answers are values, not errors.
type Receipt struct {
	// Results holds one for each delivery of the request, in any order.
	Results []Result
	// RetryAfter is when the partner wants to be asked again; zero: as we like.
	RetryAfter time.Duration
	// Halve asks for the batch to be sent in two halves: it was too large, or
	// one delivery of it spoils the others and nothing says which.
	Halve bool
	// Alone asks for the deliveries to retry to be sent once more at once, in a
	// request of their own: the partner does not say what became of them.
	Alone bool
	// NewToken asks for a fresh token and one more try.
	NewToken bool
	// Pause says why no further request can succeed until a person acts, such as
	// a revoked right. The batch goes back to the queue.
	Pause string
	// RequestID is the partner's own name for the request.
	RequestID string
	// AskAfter is set where the partner has only queued what is Accepted: when to
	// ask what became of it. See Deferred.
	AskAfter time.Duration
}

// Received is something that reached a sandbox.
type Received struct {
	Partner  string    `json:"partner"`
	At       time.Time `json:"at"`
	Path     string    `json:"path"`
	Status   int       `json:"status"` // what was answered
	EventIDs []string  `json:"event_ids,omitempty"`
	OrderIDs []string  `json:"order_ids,omitempty"`
	// Duplicates are the event ids that an earlier request had brought already.
	Duplicates []string       `json:"duplicates,omitempty"`
	Body       jsontext.Value `json:"body"`
	Answer     string         `json:"answer"`
}

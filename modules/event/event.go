// Package event is the vocabulary that every part of the pixel speaks: what a
// page sends, what we keep of it, what a partner is given and what came of
// that. It holds types, their validation and their encoding; it decides nothing
// and imports nothing of ours.
package event

import (
	"log/slog"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Priority says which ingest queue an event travels in.
type Priority string

// The priorities, most urgent first.
const (
	High     Priority = "high"     // purchases and leads: money waits for them
	Standard Priority = "standard" // ordinary events
	Low      Priority = "low"      // scrolls and heartbeats
)

// Priorities lists them, most urgent first.
var Priorities = [...]Priority{High, Standard, Low}

// Event is one thing that happened, as we keep it after it was accepted. It
// never holds plain personal data: Subject has digests only.
type Event struct {
	// ID is the client's own, or one we made; it is the key of every write, so
	// that a repeat is harmless.
	ID string `json:"id"`
	// Receipt is new each time the collector takes an event in. It decides nothing:
	// copies are told apart by their message's id.
	Receipt    string    `json:"receipt"`
	PixelID    string    `json:"pixel_id"`
	Name       string    `json:"name"`
	Time       time.Time `json:"time"`             // when it happened, by the client's clock
	SentAt     time.Time `json:"sent_at,omitzero"` // when it was sent, by the client's clock
	ReceivedAt time.Time `json:"received_at"`      // when it was accepted, by ours
	// Source is the door it came through: "web", "pixel", "server".
	Source   string   `json:"source"`
	Priority Priority `json:"priority"`
	// Seq is its number among the events of its tab (Context.Tab), from 1: a gap
	// is an event that was lost on its way. 0 where the client counts none.
	Seq int `json:"seq,omitzero"`

	Consent Consent `json:"consent"`
	Verdict Verdict `json:"verdict"`
	Subject Subject `json:"subject"`
	Context Context `json:"context"`
	Order   Order   `json:"order,omitzero"`
	// Properties are what the page sent, unread but for Order.
	Properties jsontext.Value `json:"properties,omitempty"`

	Enrichment Enrichment `json:"enrichment,omitzero"`

	// Crossing is who the visitor was where he just came from. It is for the worker
	// alone: no store and no partner gets it.
	Crossing Crossing `json:"crossing,omitzero"`

	// Trace is the W3C traceparent of the request that brought the event.
	Trace string `json:"trace,omitempty"`
}

// Crossing is a way from one of the pixel's domains to another, as a token told of it.
type Crossing struct {
	Visitor string `json:"visitor,omitempty"` // the browser's id there
	Use     string `json:"use,omitempty"`     // tells tokens apart: one browser may use each
}

// LogValue keeps a Crossing out of the logs.
func (Crossing) LogValue() slog.Value { return slog.StringValue("[crossing]") }

// Context is where an event happened.
type Context struct {
	Page     Page   `json:"page,omitzero"`
	Locale   string `json:"locale,omitempty"`   // BCP 47, "en-GB"
	Timezone string `json:"timezone,omitempty"` // IANA, "Europe/London"
	Screen   Screen `json:"screen,omitzero"`
	SDK      SDK    `json:"sdk,omitzero"`
	// Tab is the browser's tab, by a name that ends with it.
	Tab string `json:"tab,omitempty"`
	// Touch is what brought the visitor here, as the tag remembers it.
	Touch Touches `json:"touch,omitzero"`
	// IP and UserAgent are the visitor's, as the request showed them; consent
	// may have cut them down.
	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	// ClientHints are the Sec-CH-UA headers that came, by lower-case name.
	ClientHints map[string]string `json:"client_hints,omitempty"`
	// Place is where the edge in front of us says that the visitor is; only with its
	// signature.
	Place Place `json:"place,omitzero"`
}

// Place is where a visitor is, by his address.
type Place struct {
	Country    string `json:"country,omitempty"` // ISO 3166-1, "GB"
	Region     string `json:"region,omitempty"`  // ISO 3166-2 without the country, "CA"
	City       string `json:"city,omitempty"`
	PostalCode string `json:"postal_code,omitempty"`
	Timezone   string `json:"timezone,omitempty"` // IANA
	// ASN is the number of the network, and Network who runs it.
	ASN     int    `json:"asn,omitempty"`
	Network string `json:"network,omitempty"`
}

// Touches are the first and the last arrival by a campaign or a click.
type Touches struct {
	First Touch `json:"first,omitzero"`
	Last  Touch `json:"last,omitzero"`
}

// Touch is one such arrival.
type Touch struct {
	Time     string `json:"time,omitempty"`     // RFC 3339, by the client's clock
	Referrer string `json:"referrer,omitempty"` // the origin that the visitor came from
	// Params are the campaign (utm_…) and the click ids that the address held.
	Params map[string]string `json:"params,omitempty"`
}

// Page is the page that an event happened on.
type Page struct {
	URL      string `json:"url,omitempty"`
	Referrer string `json:"referrer,omitempty"`
	Title    string `json:"title,omitempty"`
}

// Screen is a screen's size in CSS pixels.
type Screen struct {
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`
}

// SDK names the client that made the event.
type SDK struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

// Order is the commercial part of an event's properties.
type Order struct {
	ID       string `json:"id,omitempty"`
	Value    Amount `json:"value,omitempty"`
	Currency string `json:"currency,omitempty"` // ISO 4217
	Items    []Item `json:"items,omitempty"`
}

// Item is one line of an order, by the GA4 e-commerce names.
type Item struct {
	ID       string `json:"item_id,omitempty"`
	Name     string `json:"item_name,omitempty"`
	Brand    string `json:"item_brand,omitempty"`
	Category string `json:"item_category,omitempty"`
	Price    Amount `json:"price,omitempty"`
	Quantity Amount `json:"quantity,omitempty"`
}

// Enrichment is what the worker found out about an event.
type Enrichment struct {
	Device   Device   `json:"device,omitzero"`
	Campaign Campaign `json:"campaign,omitzero"`
	Referrer Referrer `json:"referrer,omitzero"`
	// Bot is the reason to take the client for a machine; empty for people.
	Bot string `json:"bot,omitempty"`
	// Automated is set where a person or a server may stand behind that machine, such
	// as a headless browser, an HTTP library or whatever comes out of a data centre.
	// It is shown as a machine, and its pixel says whether its events go to partners;
	// a crawler's never do.
	Automated bool `json:"automated,omitempty"`
	// Place is where the visitor is, and by whose network: as precise as consent
	// allows to keep.
	Place   Place   `json:"place,omitzero"`
	Session Session `json:"session,omitzero"`
	Value   Value   `json:"value,omitzero"`
	// Skew is by how much Event.Time was moved since the client's clock is wrong, in
	// milliseconds: the client said Time - Skew.
	Skew int64 `json:"skew_ms,omitempty"`
	// Cleaned are the kinds of personal data that were taken out of the page's address
	// and the properties: some of "email", "phone" and "key", with commas between.
	Cleaned string `json:"cleaned,omitempty"`
}

// ByProgram begins the reason to take a client for a program that does not pretend to
// be a browser.
const ByProgram = "user agent: program"

// Session is the visit that an event is part of.
type Session struct {
	ID    string    `json:"id,omitempty"`
	Start time.Time `json:"start,omitzero"`
	// Entry is the path of the page that it began on.
	Entry string `json:"entry,omitempty"`
	// N is which of the visitor's it is, from 1.
	N int `json:"n,omitempty"`
}

// Value is an order's value in the currency that all sites are compared in.
type Value struct {
	Amount   Amount `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"`
	// Date is the day from which on the rate counts, "2026-11-01"; empty where none was
	// needed.
	Date string `json:"date,omitempty"`
	// Missing says why there is no amount.
	Missing string `json:"missing,omitempty"`
}

// Device is what the user agent and the client hints say.
type Device struct {
	Class          string `json:"class,omitempty"` // desktop, mobile, tablet, bot, other
	Browser        string `json:"browser,omitempty"`
	BrowserVersion string `json:"browser_version,omitempty"`
	OS             string `json:"os,omitempty"`
	OSVersion      string `json:"os_version,omitempty"`
}

// Campaign is what the page's address says of the advertisement that led to it.
type Campaign struct {
	Source  string `json:"source,omitempty"`
	Medium  string `json:"medium,omitempty"`
	Name    string `json:"name,omitempty"`
	Term    string `json:"term,omitempty"`
	Content string `json:"content,omitempty"`
	ID      string `json:"id,omitempty"`
}

// Referrer is where the visitor came from.
type Referrer struct {
	Host string `json:"host,omitempty"`
	// Kind is one of search, social, mail, paid, referral, internal, direct.
	Kind string `json:"kind,omitempty"`
	// Name is the site's usual name, where we know it ("Google").
	Name string `json:"name,omitempty"`
}

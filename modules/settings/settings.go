// Package settings holds what administrators change while the product runs:
// pixels with their routes, and the partners' switches, settings and
// credentials. Every replica keeps a copy and asks once a second whether it is
// still the newest, so that a change reaches all of them in about a second and
// reading costs nothing.
package settings

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// ConsentMode says where a pixel's consent comes from.
type ConsentMode string

// The consent modes.
const (
	CMP     ConsentMode = "cmp"     // IAB TCF, GPP, US privacy
	GCM     ConsentMode = "gcm"     // Google Consent Mode, or miq("consent", …) from the site's own banner
	Banner  ConsentMode = "banner"  // our own banner
	Implied ConsentMode = "implied" // the site vouches that no opt-in law applies
)

// Pixel is one tag on one advertiser's site.
type Pixel struct {
	ID         string   `json:"id"` // ^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$
	Name       string   `json:"name"`
	Advertiser string   `json:"advertiser"`
	Domains    []string `json:"domains"` // where it may be used, with their subdomains; empty: anywhere
	Enabled    bool     `json:"enabled"`

	ConsentMode ConsentMode `json:"consent_mode"`
	// Consent are the site's choices where the decision table leaves one.
	Consent ConsentOptions `json:"consent"`
	// PrivacyURL is where our banner links to.
	PrivacyURL string `json:"privacy_url,omitempty"`
	// Country is where the site sells, ISO 3166-1 alpha-2: used where an event
	// does not tell and a partner must know.
	Country string `json:"country,omitempty"`

	Routes []Route `json:"routes"`

	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Revision is the document's; Save refuses to write over another's change.
	Revision int64 `json:"revision"`
}

// ConsentOptions are named as in the decision table (modules/consent). The zero
// value is the most careful reading.
type ConsentOptions struct {
	TrustGDPR0            bool     `json:"trust_gdpr_0,omitempty"`              // believe gdpr=0 from an EEA address
	IgnoreGPCInGDPR       bool     `json:"ignore_gpc_in_gdpr,omitempty"`        // TCF consent outweighs GPC
	PartialWithoutSignal  bool     `json:"us_partial_without_signal,omitempty"` // US without any signal: partial instead of full
	LimitedUse            bool     `json:"us_limited_use,omitempty"`            // US partial: send with the limited-use flag
	Default               string   `json:"default,omitempty"`                   // state where no regime applies; empty: none
	PartnersWithoutVendor []string `json:"partners_without_vendor,omitempty"`
}

// Route sends one kind of event to one partner.
type Route struct {
	Partner string         `json:"partner"`
	Event   string         `json:"event"` // an event's name, or "*" for all
	Enabled bool           `json:"enabled"`
	Params  jsontext.Value `json:"params,omitempty"` // by the adapter's Spec.Params
}

// Mode is a partner's three-way switch.
type Mode string

// The modes.
const (
	On   Mode = "on"
	Hold Mode = "hold" // events wait in the partner's queue
	Off  Mode = "off"  // events are not sent, and never will be
)

// Partner is what is set for one partner. A partner that nobody touched is on: without a route nothing goes to it.
type Partner struct {
	Name     string         `json:"name"`
	Mode     Mode           `json:"mode"`
	Settings jsontext.Value `json:"settings,omitempty"`
	// Sealed are the credentials, encrypted (modules/secret).
	Sealed    []byte    `json:"sealed,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
	Revision  int64     `json:"revision"`
}

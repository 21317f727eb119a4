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
	// Banner is what else our banner may be told.
	Banner BannerOptions `json:"banner,omitzero"`
	// Tag is what the tag does on pages beside what they ask of it.
	Tag TagOptions `json:"tag,omitzero"`
	// Processing is what is done to events on their way.
	Processing Processing `json:"processing,omitzero"`
	// Schemas are what its events' properties have to be like.
	Schemas Schemas `json:"schemas,omitzero"`
	// Retention is how long its data are kept.
	Retention Retention `json:"retention,omitzero"`
	// Attribution says what conversions are owed to.
	Attribution Attribution `json:"attribution,omitzero"`
	// Dry is set where events go to no partner, but what would be sent is shown.
	Dry bool `json:"dry,omitempty"`
	// Country is where the site sells, ISO 3166-1 alpha-2: used where an event
	// does not tell and a partner must know.
	Country string `json:"country,omitempty"`

	// ConsentApproval has a change of ConsentMode, Consent and of itself wait for a
	// second person, and what lets a partner be sent more fields.
	ConsentApproval bool `json:"consent_approval,omitzero"`
	// Fields says which fields partners may be sent.
	Fields Fields `json:"fields,omitzero"`

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
	// Categories say what the categories of a Segment client's consent stand for: each
	// a list of Consent Mode's signals (analytics_storage, ad_storage, ad_user_data,
	// ad_personalization). Empty: the usual names of such categories.
	Categories map[string][]string `json:"segment_categories,omitempty"`
}

// BannerOptions are our banner's. The zero value is a banner in the page's own
// language, in our words.
type BannerOptions struct {
	// Language is spoken where the page's and the visitor's are not known to us;
	// BCP 47, empty: English.
	Language string `json:"language,omitempty"`
	// Texts replace the banner's own, by language and word (BannerWords).
	Texts map[string]map[string]string `json:"texts,omitempty"`
	// HideReopen leaves it to the site to open the banner again.
	HideReopen bool `json:"hide_reopen,omitzero"`
}

// BannerWords are the texts that a banner has.
var BannerWords = [...]string{
	"title", "body", "accept", "refuse", "settings", "save", "back", "necessary", "necessary_about", "always",
	"analytics", "analytics_about", "advertising", "advertising_about", "privacy", "close", "reopen",
}

// TagOptions are the tag's. The zero value counts page views, of single-page apps
// too, and what the page reports.
type TagOptions struct {
	// SPA says what a new page of an app is: "" a new path or query, "hash" a new
	// fragment too, "off" only what the page reports.
	SPA string `json:"spa,omitempty"`
	// Autotrack lists what is reported without being asked: AutotrackKinds.
	Autotrack []string `json:"autotrack,omitempty"`
	// Ecommerce reads purchases and the like out of the page's data layer.
	Ecommerce bool `json:"ecommerce,omitzero"`
	// DataLayer is its name; empty: dataLayer.
	DataLayer string `json:"data_layer,omitempty"`
	// ClickIDs are query keys that hold click ids of systems we do not know.
	ClickIDs []string `json:"click_ids,omitempty"`
	// CrossDomain has visitors known again on the pixel's other domains, which they go to
	// by a link or a form: with full consent, by a token in the address.
	CrossDomain bool `json:"cross_domain,omitzero"`
	// Storage says where consent is used to keep the visitor's id: "" for as long
	// as the browser does, "session" in the tab alone, "none" in memory.
	Storage string `json:"storage,omitempty"`
}

// AutotrackKinds are what a tag can report by itself.
var AutotrackKinds = [...]string{"clicks", "outbound", "downloads", "forms", "scroll"}

// Route sends one kind of event to one partner.
type Route struct {
	Partner string         `json:"partner"`
	Event   string         `json:"event"` // an event's name, or "*" for all
	Enabled bool           `json:"enabled"`
	Params  jsontext.Value `json:"params,omitempty"` // by the adapter's Spec.Params
	// When is the condition under which it takes an event, an expression; empty: always.
	When string `json:"when,omitempty"`
	// Sample is the percentage of events that it takes, the same ones at every replica
	// and every time; 0: all.
	Sample float64 `json:"sample,omitzero"`
	// Map is what the partner is told instead of what the event says.
	Map Mapping `json:"map,omitzero"`
	// Dedupe is by what the partner knows a repeat: empty, the event's id, or
	// DedupeOrder.
	Dedupe string `json:"dedupe,omitempty"`
	// Mode is Hold where events wait until somebody decides; otherwise it is empty
	// and Enabled tells. Ask Switch for both.
	Mode Mode `json:"mode,omitempty"`
	// Dry is Pixel.Dry for this route alone.
	Dry bool `json:"dry,omitempty"`
	// Account names which of the partner's accounts it is sent by; empty: the
	// partner's own credentials.
	Account string `json:"account,omitempty"`
}

// Switch is the route's three-way switch.
func (r Route) Switch() Mode {
	switch {
	case r.Mode != "":
		return r.Mode
	case r.Enabled:
		return On
	}
	return Off
}

// Set switches the route.
func (r *Route) Set(m Mode) {
	r.Enabled, r.Mode = m == On, ""
	if m == Hold {
		r.Mode = Hold
	}
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
	Sealed []byte `json:"sealed,omitempty"`
	// Accounts are further sets of credentials by name, encrypted, for advertisers
	// with an account of their own; routes choose.
	Accounts map[string][]byte `json:"accounts,omitempty"`
	// Dry is set where nothing is sent, but what would be is shown.
	Dry       bool      `json:"dry,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
	Revision  int64     `json:"revision"`
}

// Package ttd translates for The Trade Desk: its Real-Time Conversion Events
// API, and its offline conversions API for events that come too late for it.
package ttd

import (
	_ "embed"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	realTimeURL = "https://insight.adsrvr.org/track/realtimeconversion"
	offlineURL  = "https://offlineattrib.adsrvr.org/providerapi/offlineconversion"

	realTimePath = "/track/realtimeconversion"
	offlinePath  = "/providerapi/offlineconversion"

	// realTimeAge is ours: the real-time call has no time of the event, so that
	// a late one would count for the wrong day.
	realTimeAge = 24 * time.Hour
	// grace covers the time between grouping and encoding.
	grace = 10 * time.Minute
)

//go:embed settings.schema.json
var settingsSchema []byte

//go:embed params.schema.json
var paramsSchema []byte

// Adapter is The Trade Desk.
type Adapter struct{}

// New makes the adapter.
func New() Adapter { return Adapter{} }

// Spec describes The Trade Desk.
func (Adapter) Spec() partner.Spec {
	return partner.Spec{
		Name:     "ttd",
		Title:    "The Trade Desk",
		About:    "Sends conversions to The Trade Desk in real time, and late ones to its offline API.",
		Docs:     "https://partner.thetradedesk.com/v3/portal/data/doc/DataConversionEventsApi",
		Endpoint: realTimeURL,
		Settings: settingsSchema,
		Params:   paramsSchema,
		Credentials: []partner.Credential{{
			Name:     "data_api_token",
			Title:    "Data API token",
			Help:     "Only for late events, together with the data provider id: The Trade Desk's account manager hands it out. Real-time conversions need no credential.",
			Optional: true,
		}},
		Auth:   partner.NoAuth,
		Limits: partner.Limits{Items: 100, Bytes: 28_600_000, Age: realTimeAge, Timeout: 15 * time.Second, Linger: time.Second, Parallel: 4},
		// A TC string is the only signal it reads where GDPR applies.
		Consent: partner.Needs{VendorID: 21, LimitedUse: true},
		Keys: []partner.Key{
			{Name: "uid2", Title: "UID2, raw or token", Usual: true},
			{Name: "euid", Title: "EUID, raw or token"},
			{Name: "tdid", Title: "The Trade Desk's cookie id (TDID)", Usual: true},
			{Name: "idl", Title: "RampID"},
			{Name: "mobile_id", Title: "Mobile advertising id"},
			{Name: "impression", Title: "Impression id"},
			{Name: "ip", Title: "Visitor's IP address", Weight: partner.Guess, Usual: true},
		},
		Carries:    carries,
		EventNames: standardNames(),
	}
}

func standardNames() map[string]string {
	return map[string]string{
		"purchase":            "purchase",
		"add_to_cart":         "addtocart",
		"view_item":           "viewitem",
		"search":              "searchitem",
		"view_search_results": "searchitem",
		"view_item_list":      "searchcategory",
		"login":               "login",
		"begin_checkout":      "startcheckout",
		"view_cart":           "viewcart",
		"page_view":           "sitevisit",
		"add_to_wishlist":     "wishlistitem",
	}
}

// eventName is the name at The Trade Desk.
func eventName(p params, name string) string {
	if p.EventName != "" {
		return p.EventName
	}
	if n, ok := standardNames()[name]; ok {
		return n
	}
	return name
}

// Group keeps apart what a 402 is about, the tag and the event's name: that
// answer names no event, and must not cost others.
func (Adapter) Group(d event.Delivery) string {
	p, err := readParams(d.Params)
	if err != nil {
		return "unreadable"
	}
	name := ""
	if p.TrackerID != "" {
		name = eventName(p, d.Event.Name)
	}
	return strings.Join([]string{p.Adv, p.MerchantID, p.TrackerID, p.UPixelID, name}, "/")
}

// GroupIn keeps late events apart too: they go elsewhere.
func (a Adapter) GroupIn(b partner.Batch, d event.Delivery) string {
	s, err := readSettings(b.Settings)
	if err == nil && s.offline(b.Credentials) && late(d, b.Now) {
		return "offline/" + a.Group(d)
	}
	return a.Group(d)
}

// LimitsIn takes older events where late ones have somewhere to go.
func (a Adapter) LimitsIn(b partner.Batch) partner.Limits {
	l := a.Spec().Limits
	if s, err := readSettings(b.Settings); err == nil && s.offline(b.Credentials) {
		l.Age = s.offlineAge()
	}
	return l
}

// ResendsUnknown is what is set: there is no dedupe key.
func (Adapter) ResendsUnknown(v jsontext.Value) bool {
	s, err := readSettings(v)
	return err == nil && s.OnUnknown == "resend"
}

// happened is the event's time, or its arrival where it has none.
func happened(e event.Event) time.Time {
	if e.Time.IsZero() {
		return e.ReceivedAt
	}
	return e.Time
}

func late(d event.Delivery, now time.Time) bool {
	return now.Sub(happened(d.Event)) > realTimeAge
}

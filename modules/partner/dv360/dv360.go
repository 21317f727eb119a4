// Package dv360 translates for Google's Display & Video 360, which has no
// endpoint of its own for conversions but reads Floodlight activities. Two of
// Google's APIs write to them: Campaign Manager 360's, which answers for each
// conversion, and the Data Manager API, which queues and tells later.
package dv360

import (
	_ "embed"
	"net/url"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	cm360URL       = "https://dfareporting.googleapis.com"
	dataManagerURL = "https://datamanager.googleapis.com"
	tokenURL       = "https://oauth2.googleapis.com/token"

	cm360Scope       = "https://www.googleapis.com/auth/ddmconversions"
	dataManagerScope = "https://www.googleapis.com/auth/datamanager"

	maxCM360       = 1000
	maxDataManager = 2000

	day = 24 * time.Hour
)

//go:embed settings.schema.json
var settingsSchema []byte

//go:embed params.schema.json
var paramsSchema []byte

// Adapter is Display & Video 360.
type Adapter struct{}

// New makes the adapter.
func New() Adapter { return Adapter{} }

// Spec describes Display & Video 360.
func (Adapter) Spec() partner.Spec {
	return partner.Spec{
		Name:     "dv360",
		Title:    "Display & Video 360",
		About:    "Google's DSP. Sends conversions to Floodlight activities, through Campaign Manager 360 or the Data Manager API.",
		Docs:     "https://developers.google.com/doubleclick-advertisers/guides/conversions_overview",
		Endpoint: cm360URL,
		TokenURL: tokenURL,
		Settings: settingsSchema,
		Params:   paramsSchema,
		Credentials: []partner.Credential{
			{Name: partner.ServiceAccount, Title: "Service account key", Optional: true, Help: "The JSON key file of a Google Cloud service account. For Campaign Manager 360 its address must be a CM360 user with a profile; for the Data Manager API it needs access to the Floodlight configuration. With it, the three below are not needed."},
			{Name: partner.ClientID, Title: "OAuth client id", Optional: true, Help: "Instead of a service account: of an OAuth client of your Google Cloud project, …apps.googleusercontent.com."},
			{Name: partner.ClientSecret, Title: "OAuth client secret", Optional: true, Help: "Of the same client."},
			{Name: partner.RefreshSecret, Title: "Refresh token", Optional: true, Help: "From a person's consent to the scopes ddmconversions and datamanager. It begins with 1//."},
		},
		Auth: partner.Google,
		// Both at once, so that a change of the API needs no new consent.
		Scopes: []string{cm360Scope, dataManagerScope},
		Connect: &partner.Grant{
			AuthorizeURL: "https://accounts.google.com/o/oauth2/v2/auth",
			Scopes:       []string{cm360Scope, dataManagerScope},
			Params:       map[string]string{"access_type": "offline", "prompt": "consent"},
			PKCE:         true,
		},
		Limits:    limits(settings{API: apiCM360}),
		Consent:   partner.Needs{VendorID: 755, Measure: true, ConsentMode: true, LimitedUse: true},
		DedupeKey: "ordinal (Campaign Manager 360) or transactionId (Data Manager)",
		Test:      "Data Manager: checks it and stores nothing (validateOnly). Campaign Manager 360 has no such flag, and counts it.",
		Keys: []partner.Key{
			{Name: "dclid", Title: "Display click id (dclid)", Usual: true},
			{Name: "gclid", Title: "Google click id (gclid, gbraid or wbraid)", Usual: true},
			{Name: "match_id", Title: "Match id, as the Floodlight tag was given it", Usual: true},
			{Name: "impression_id", Title: "Impression id"},
			{Name: "mobile_id", Title: "Mobile advertising id"},
			{Name: "encrypted_user_id", Title: "Google's encrypted user id"},
			{Name: "email", Title: "E-mail (SHA-256); never enough alone", Weight: partner.Adds, Usual: true},
			{Name: "phone", Title: "Telephone number (SHA-256); never enough alone", Weight: partner.Adds, Usual: true},
			{Name: "address", Title: "Name and postal address; never enough alone", Weight: partner.Adds},
		},
		Carries: carries,
		EventNames: map[string]string{
			"purchase": "the route's Floodlight activity", "generate_lead": "the route's Floodlight activity", "sign_up": "the route's Floodlight activity",
		},
	}
}

// limits are Google's where it states any; bytes and ages of the Data Manager API
// are not documented.
func limits(s settings) partner.Limits {
	l := partner.Limits{Items: maxCM360, Bytes: 4 << 20, Age: 28 * day, Timeout: 30 * time.Second, Linger: time.Second}
	if s.API == apiDataManager {
		l.Items, l.Age = maxDataManager, time.Duration(s.MaxAgeDays)*day
		l.PerSecond, l.PerDay = 5, 100_000
	}
	return l
}

// LimitsIn are those of the API that is set.
func (a Adapter) LimitsIn(b partner.Batch) partner.Limits {
	s, err := readSettings(b.Settings)
	if err != nil {
		return a.Spec().Limits
	}
	return limits(s)
}

// Group is that of Campaign Manager 360: one user profile, one way of encrypting
// user ids, and inserts apart from updates.
func (Adapter) Group(d event.Delivery) string {
	p, err := readParams(d.Params)
	if err != nil {
		return "unreadable"
	}
	return strings.Join([]string{p.ProfileID, p.Operation, p.EncryptionType, p.EncryptionID, p.EncryptionSource}, "/")
}

// GroupIn keeps activities apart at the Data Manager API, where what is wrong with
// one destination spoils a request.
func (a Adapter) GroupIn(b partner.Batch, d event.Delivery) string {
	s, err := readSettings(b.Settings)
	if err != nil || s.API != apiDataManager {
		return a.Group(d)
	}
	p, err := readParams(d.Params)
	if err != nil {
		return "unreadable"
	}
	return p.ConfigurationID + "/" + p.ActivityID
}

// base is where an API is: at Google's own host, unless the endpoint is set to
// something else, which then stands for both.
func base(configured, own string) string {
	u, err := url.Parse(configured)
	if configured == "" || err == nil && strings.HasSuffix(u.Hostname(), ".googleapis.com") {
		return own
	}
	return strings.TrimSuffix(configured, "/")
}

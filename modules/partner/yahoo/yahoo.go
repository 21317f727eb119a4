// Package yahoo translates for Yahoo DSP: its Standard Conversion API, and the
// click postback for those who have no access to that.
package yahoo

import (
	_ "embed"
	"net/url"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	eventsURL   = "https://batch.datax.yahoo.com/v1/events"
	postbackURL = "https://aaca.yahooinc.com/"
	tokenURL    = "https://id.b2b.yahooincapis.com/zts/v1/oauth2/token"

	eventsPath = "/v1/events"
	maxEvents  = 500
	day        = 24 * time.Hour
)

//go:embed settings.schema.json
var settingsSchema []byte

//go:embed params.schema.json
var paramsSchema []byte

// Adapter is Yahoo DSP.
type Adapter struct{}

// New makes the adapter.
func New() Adapter { return Adapter{} }

// Spec describes Yahoo DSP.
func (Adapter) Spec() partner.Spec {
	return partner.Spec{
		Name:     "yahoo",
		Title:    "Yahoo DSP",
		About:    "Sends conversions to Yahoo's Standard Conversion API, which takes them in about once a day.",
		Docs:     "https://help.yahooinc.com/dsp-api/docs/standard-yahoo-conversion-api",
		Endpoint: eventsURL,
		TokenURL: tokenURL,
		Settings: settingsSchema,
		Params:   paramsSchema,
		Credentials: []partner.Credential{
			{Name: partner.ClientID, Title: "Client id", Help: "Yahoo issues it for the Conversion API; that of its reporting API will not do. Not needed for the click postback."},
			{Name: partner.ClientSecret, Title: "Client secret", Help: "Of the same client. It signs each request for a token and is never sent."},
		},
		Auth:   partner.SignedAssertion,
		Limits: limits(settings{MaxAgeDays: 7}),
		// It has no way to say "measure only" and none for limited use.
		Consent:   partner.Needs{VendorID: 25},
		DedupeKey: "eventId",
		Keys: []partner.Key{
			{Name: "vmcid", Title: "Yahoo click id (vmcid)", Usual: true},
			{Name: "email", Title: "E-mail (SHA-256)", Usual: true},
			{Name: "phone", Title: "Telephone number (SHA-256)", Usual: true},
			{Name: "gpsaid", Title: "Android advertising id"},
			{Name: "idfa", Title: "Apple advertising id"},
			{Name: "pxid", Title: "Partner match id"},
			{Name: "tblci", Title: "Taboola click id; not sure to be enough", Weight: partner.Guess},
		},
		Carries:    carries,
		EventNames: standardNames(),
	}
}

// limits are ours but for the rates: Yahoo states no number of events and no age.
func limits(s settings) partner.Limits {
	l := partner.Limits{
		Items: maxEvents, Bytes: 1 << 20, Age: time.Duration(s.MaxAgeDays) * day, Timeout: 20 * time.Second, Linger: time.Second,
		PerSecond: 200, BytesPerSecond: 10_000_000,
	}
	if s.Transport == postback {
		l.Items = 1
	}
	return l
}

// LimitsIn are those of the way that is set.
func (a Adapter) LimitsIn(b partner.Batch) partner.Limits {
	s, err := readSettings(b.Settings)
	if err != nil {
		return a.Spec().Limits
	}
	return limits(s)
}

// standardNames are the two that Yahoo's examples use. A conversion rule matches
// any text, letter by letter.
func standardNames() map[string]string {
	return map[string]string{"purchase": "Purchase", "add_to_cart": "AddToCart"}
}

func eventName(p params, name string) string {
	if p.EventName != "" {
		return p.EventName
	}
	if n, ok := standardNames()[name]; ok {
		return n
	}
	return partner.Text(name, 128)
}

// Group is the pixel, which is in the path.
func (Adapter) Group(d event.Delivery) string {
	p, err := readParams(d.Params)
	if err != nil {
		return "unreadable"
	}
	return p.PixelID
}

// GroupIn is Group: time changes nothing here.
func (a Adapter) GroupIn(_ partner.Batch, d event.Delivery) string { return a.Group(d) }

// NeedsToken is false for the click postback, which anybody may call.
func (Adapter) NeedsToken(b partner.Batch) bool {
	s, err := readSettings(b.Settings)
	return err != nil || s.Transport != postback
}

// Assertion is what the client signs for a token: in the form that Yahoo's DataX
// family takes, unless the settings say otherwise.
func (Adapter) Assertion(b partner.Batch, _ string) partner.Assertion {
	s, _ := readSettings(b.Settings)
	client := b.Credentials[partner.ClientID]
	if !strings.HasPrefix(client, s.ClientIDPrefix) {
		client = s.ClientIDPrefix + client
	}
	form := map[string]string{"scope": s.Scope}
	if s.Realm != "" {
		form["realm"] = s.Realm
	}
	return partner.Assertion{Client: client, Audience: s.Audience, Life: time.Duration(s.AssertionSeconds) * time.Second, Form: form}
}

// eventsAddress is where a pixel's events go.
func eventsAddress(configured, pixel string) string {
	if configured == "" {
		configured = eventsURL
	}
	configured = strings.TrimSuffix(configured, "/")
	if !strings.HasSuffix(configured, eventsPath) {
		configured += eventsPath
	}
	return configured + "/" + pixel
}

// postbackAddress stands beside a redirected endpoint, so that nothing goes to the
// real partner then.
func postbackAddress(configured string) string {
	u, err := url.Parse(configured)
	if configured == "" || err != nil || strings.HasSuffix(u.Hostname(), ".yahoo.com") {
		return postbackURL
	}
	return strings.TrimSuffix(strings.TrimSuffix(configured, "/"), eventsPath) + "/"
}

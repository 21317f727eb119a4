package collector

import (
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// segmentMessage is a message of the Segment HTTP API, as far as it has a meaning here;
// docs/segment.md is the table.
type segmentMessage struct {
	Type        string         `json:"type"`
	MessageID   string         `json:"messageId"`
	AnonymousID loose          `json:"anonymousId"`
	UserID      loose          `json:"userId"`
	PreviousID  loose          `json:"previousId"`
	Event       string         `json:"event"`
	Name        loose          `json:"name"`
	Category    loose          `json:"category"`
	Timestamp   string         `json:"timestamp"`
	Original    string         `json:"originalTimestamp"`
	SentAt      string         `json:"sentAt"`
	Properties  jsontext.Value `json:"properties"`
	Traits      segmentTraits  `json:"traits"`
	Context     segmentContext `json:"context"`
}

// loose is a string, or whatever else a client put in its place: a number by its
// digits, anything else as if it were not there.
type loose string

func (l *loose) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"', '0':
		t, err := d.ReadToken()
		*l = loose(t.String())
		return err
	}
	return d.SkipValue()
}

type segmentTraits struct {
	Email     loose          `json:"email"`
	Phone     loose          `json:"phone"`
	FirstName loose          `json:"firstName"`
	LastName  loose          `json:"lastName"`
	Address   segmentAddress `json:"address"`
}

type segmentAddress struct {
	Street     loose `json:"street"`
	City       loose `json:"city"`
	State      loose `json:"state"`
	PostalCode loose `json:"postalCode"`
	Country    loose `json:"country"`
}

// UnmarshalJSONFrom takes an address that is one text for none.
func (a *segmentAddress) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	type plain segmentAddress
	return json.UnmarshalDecode(d, (*plain)(a))
}

type segmentContext struct {
	Page      segmentPage     `json:"page"`
	IP        loose           `json:"ip"`
	UserAgent loose           `json:"userAgent"`
	Locale    loose           `json:"locale"`
	Timezone  loose           `json:"timezone"`
	Screen    segmentScreen   `json:"screen"`
	Library   event.SDK       `json:"library"`
	Traits    segmentTraits   `json:"traits"`
	Campaign  segmentCampaign `json:"campaign"`
	Device    struct {
		AdvertisingID     loose `json:"advertisingId"`
		AdTrackingEnabled *bool `json:"adTrackingEnabled"`
	} `json:"device"`
	Consent segmentConsent `json:"consent"`
}

type segmentPage struct {
	URL      loose `json:"url"`
	Referrer loose `json:"referrer"`
	Title    loose `json:"title"`
}

type segmentScreen struct {
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

type segmentCampaign struct {
	Name    loose `json:"name"`
	Source  loose `json:"source"`
	Medium  loose `json:"medium"`
	Term    loose `json:"term"`
	Content loose `json:"content"`
}

// fromSegment reads a message as if it were an envelope of one event. A message that
// says nothing of a visitor's doings is ignored: a group's traits are its company's.
func fromSegment(raw jsontext.Value, kind, sent string, p *settings.Pixel) (env event.Envelope, one event.Incoming, ignored bool) {
	one.Raw = raw
	if len(raw) > event.MaxEventBytes {
		one.Fault = event.Fault{Code: "too_large", Message: "must be at most 32 KiB"}
		return env, one, false
	}
	var m segmentMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		_, f := explain(err)
		if f.Pointer == "/events" {
			f.Pointer = ""
		}
		one.Fault = f
		return env, one, false
	}
	if kind == "" {
		kind = m.Type
	}
	if page := &m.Context.Page; kind == "page" && page.URL == "" {
		// A server's client puts the page there. What is no object is refused below.
		_ = json.Unmarshal(m.Properties, page)
	}
	one.ID = m.MessageID
	env.PixelID = p.ID
	m.identity(&env.Identity, kind)
	m.context(&env.Context)
	m.Context.Consent.signals(&env.Consent, p)
	for _, at := range [...]string{m.SentAt, sent} {
		if t, ok := segmentTime(at); ok {
			env.SentAt = t
			break
		}
	}
	name, properties, f := m.event(kind)
	switch {
	case kind == "group":
		return env, one, true
	case f.Code != "":
		one.Fault = f
		return env, one, false
	}
	if err := env.Check(); err != nil {
		_, one.Fault = explain(err)
		return env, one, false
	}
	at := m.Timestamp
	if at == "" {
		at = m.Original
	}
	// As JSON, so that there is one reader with one set of limits.
	b := quote([]byte(`{"name":`), name)
	if m.MessageID != "" {
		b = quote(append(b, `,"id":`...), m.MessageID)
	}
	if at != "" {
		b = quote(append(b, `,"time":`...), at)
	}
	if len(properties) > 0 {
		b = append(append(b, `,"properties":`...), properties...)
	}
	one.Fault = one.Decode(append(b, '}'))
	return env, one, false
}

func (m *segmentMessage) identity(to *event.Identity, kind string) {
	to.AnonymousID, to.UserID = string(m.AnonymousID), string(m.UserID)
	if kind == "alias" && event.ValidID(string(m.PreviousID)) {
		to.AnonymousID = string(m.PreviousID)
	}
	t := m.Context.Traits
	if kind == "identify" {
		t = m.Traits
	}
	to.Email, to.Phone = string(t.Email), string(t.Phone)
	to.Address = event.Address{
		FirstName: string(t.FirstName), LastName: string(t.LastName), Street: string(t.Address.Street), City: string(t.Address.City),
		Region: string(t.Address.State), PostalCode: string(t.Address.PostalCode), Country: string(t.Address.Country),
	}
	if d := m.Context.Device; d.AdvertisingID != "" && d.AdTrackingEnabled != nil && *d.AdTrackingEnabled {
		to.PartnerIDs = map[string]string{"maid": string(d.AdvertisingID)}
	}
	u, err := url.Parse(string(m.Context.Page.URL))
	if err != nil {
		return
	}
	q := u.Query()
	for _, id := range [...]string{"gclid", "gbraid", "wbraid", "dclid", "msclkid", "fbclid", "ttclid", "vmcid", "aref"} {
		if v := q.Get(id); v != "" {
			if to.ClickIDs == nil {
				to.ClickIDs = map[string]string{}
			}
			to.ClickIDs[id] = v
		}
	}
}

func (m *segmentMessage) context(to *event.Context) {
	c := &m.Context
	to.Page = event.Page{URL: c.address(), Referrer: string(c.Page.Referrer), Title: string(c.Page.Title)}
	to.Locale, to.Timezone = string(c.Locale), string(c.Timezone)
	to.Screen = event.Screen{Width: int(min(max(c.Screen.Width, 0), 1<<16)), Height: int(min(max(c.Screen.Height, 0), 1<<16))}
	to.SDK = c.Library
	// The visitor's, by the word of a server: see shared.
	to.IP, to.UserAgent = header(string(c.IP), 64), event.WithoutMail(header(string(c.UserAgent), maxUserAgent))
}

// address is the page's, with the campaign where that is told beside it.
func (c *segmentContext) address() string {
	u, err := url.Parse(string(c.Page.URL))
	if err != nil || u.Host == "" || c.Campaign.Source == "" || u.Query().Has("utm_source") {
		return string(c.Page.URL)
	}
	q := u.Query()
	for key, v := range map[string]loose{
		"utm_source": c.Campaign.Source, "utm_medium": c.Campaign.Medium, "utm_campaign": c.Campaign.Name,
		"utm_term": c.Campaign.Term, "utm_content": c.Campaign.Content,
	} {
		if v != "" {
			q.Set(key, strings.ToValidUTF8(string(v), ""))
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

package consent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/miq/pixel/modules/event"
)

// Strip takes from an event what a state does not allow to keep, before the event
// reaches a queue, a log line or a trace. Full keeps everything. Partial keeps
// what our own analytics need: the first-party ids, the consent strings, and of
// the rest what names no person and no device. None, and whatever is no state,
// leaves a shell for counting.
//
// It builds a new event from an allow-list, so that a field that is added to the
// vocabulary later is lost until somebody lets it through here. salt is secret to
// the site and hides the order id; without one the order id is dropped, since a
// bare digest of a short number hides nothing.
func Strip(e *event.Event, state event.State, salt []byte) {
	switch state {
	case event.Full:
	case event.Partial:
		*e = partial(e, salt)
	default:
		*e = event.Event{
			PixelID: e.PixelID, Source: e.Source, Priority: e.Priority,
			ReceivedAt: e.ReceivedAt, Verdict: e.Verdict,
		}
	}
}

// withoutClicks is an arrival's campaign alone.
func withoutClicks(t event.Touch) event.Touch {
	kept := event.Touch{Referrer: origin(t.Referrer)}
	if _, err := time.Parse(time.RFC3339, t.Time); err == nil {
		kept.Time = t.Time
	}
	for _, key := range campaign {
		if v := t.Params[key]; v != "" {
			if kept.Params == nil {
				kept.Params = map[string]string{}
			}
			kept.Params[key] = v
		}
	}
	return kept
}

// tab is a tab's name where it is one of the tag's making, and nobody's name.
func tab(name string) string {
	if uuid.Validate(name) != nil {
		return ""
	}
	return name
}

func partial(e *event.Event, salt []byte) event.Event {
	order := event.Order{ID: pseudonym(e.Order.ID, salt)}
	order.Value, order.Currency, order.Items = goods(e.Order.Value, e.Order.Currency, e.Order.Items)
	return event.Event{
		ID: e.ID, Receipt: e.Receipt, PixelID: e.PixelID, Name: e.Name,
		Time: e.Time, SentAt: e.SentAt, ReceivedAt: e.ReceivedAt,
		Source: e.Source, Priority: e.Priority, Seq: e.Seq,
		Consent: e.Consent, Verdict: e.Verdict,
		Subject: event.Subject{VisitorID: e.Subject.VisitorID, AnonymousID: e.Subject.AnonymousID},
		Context: event.Context{
			Page:      event.Page{URL: pathOnly(e.Context.Page.URL), Referrer: origin(e.Context.Page.Referrer)},
			Screen:    screenClass(e.Context.Screen),
			SDK:       e.Context.SDK,
			Tab:       tab(e.Context.Tab),
			Touch:     event.Touches{First: withoutClicks(e.Context.Touch.First), Last: withoutClicks(e.Context.Touch.Last)},
			IP:        Truncate(e.Context.IP),
			UserAgent: ReduceUserAgent(e.Context.UserAgent),
			Place:     event.Place{Country: code(e.Context.Place.Country), Region: code(e.Context.Place.Region)},
		},
		Order:      order,
		Properties: properties(e.Properties),
		Enrichment: event.Enrichment{
			Device: event.Device{
				Class:          e.Enrichment.Device.Class,
				Browser:        e.Enrichment.Device.Browser,
				BrowserVersion: major(e.Enrichment.Device.BrowserVersion),
				OS:             e.Enrichment.Device.OS,
				OSVersion:      major(e.Enrichment.Device.OSVersion),
			},
			Campaign:  e.Enrichment.Campaign,
			Referrer:  e.Enrichment.Referrer,
			Bot:       e.Enrichment.Bot,
			Automated: e.Enrichment.Automated,
			Place:     event.Place{Country: code(e.Enrichment.Place.Country)},
			Session:   e.Enrichment.Session,
			Value:     worth(e.Enrichment.Value),
			Skew:      e.Enrichment.Skew,
			Cleaned:   e.Enrichment.Cleaned,
		},
		Trace: e.Trace,
	}
}

// worth is a value that is one.
func worth(v event.Value) event.Value {
	if _, err := event.ParseAmount(string(v.Amount)); err != nil {
		v.Amount = ""
	}
	return v
}

// code is a country's or a region's code, and "" if it is anything longer.
func code(s string) string {
	if len(s) > 3 {
		return ""
	}
	return s
}

// pseudonyms begin with this, so that an event which is stripped again, by
// whoever has no salt, keeps the one it has.
const pseudonyms = "anon_"

// pseudonym is an order id that only the site's salt can find again.
func pseudonym(id string, salt []byte) string {
	if digest, ok := strings.CutPrefix(id, pseudonyms); ok && len(digest) == 32 {
		if _, err := hex.DecodeString(digest); err == nil {
			return id
		}
	}
	if id == "" || len(salt) == 0 {
		return ""
	}
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(id))
	return pseudonyms + hex.EncodeToString(h.Sum(nil)[:16])
}

// goods keeps what was bought: value, currency and product ids.
func goods(value event.Amount, currency string, items []event.Item) (event.Amount, string, []event.Item) {
	// Both are checked at the door, but a value that is none could carry a name.
	if _, err := event.ParseAmount(string(value)); err != nil {
		value = ""
	}
	if !isCurrency(currency) {
		currency = ""
	}
	var kept []event.Item
	for _, i := range items {
		if i.ID != "" {
			kept = append(kept, event.Item{ID: i.ID})
		}
	}
	return value, currency, kept
}

func isCurrency(s string) bool {
	if len(s) != 3 {
		return false
	}
	for i := range 3 {
		if c := s[i] &^ 0x20; c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// properties keeps value, currency and the items' ids of what the page sent; all
// else is free-form and may hold anything.
func properties(raw jsontext.Value) jsontext.Value {
	if len(raw) == 0 {
		return nil
	}
	var in struct {
		Value    jsontext.Value `json:"value"`
		Currency jsontext.Value `json:"currency"`
		Items    jsontext.Value `json:"items"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return nil
	}
	var value event.Amount
	var currency string
	var items []struct {
		ID string `json:"item_id"`
	}
	// What does not read as it should is dropped, by itself.
	for _, x := range []struct {
		from jsontext.Value
		to   any
	}{{in.Value, &value}, {in.Currency, &currency}, {in.Items, &items}} {
		if len(x.from) > 0 {
			_ = json.Unmarshal(x.from, x.to)
		}
	}
	list := make([]event.Item, len(items))
	for i := range items {
		list[i].ID = items[i].ID
	}
	out := struct {
		Value    event.Amount `json:"value,omitzero"`
		Currency string       `json:"currency,omitempty"`
		Items    []event.Item `json:"items,omitempty"`
	}{}
	out.Value, out.Currency, out.Items = goods(value, currency, list)
	b, err := json.Marshal(out)
	if err != nil || string(b) == "{}" {
		return nil
	}
	return b
}

// campaign are the query keys that a page's address may keep. They are listed,
// not matched by their prefix: utm_email is no campaign.
var campaign = [...]string{
	"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id",
	"utm_source_platform", "utm_creative_format", "utm_marketing_tactic",
}

// pathOnly keeps an address's path and its campaign.
func pathOnly(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || raw == "" || u.Opaque != "" {
		return ""
	}
	path := u.EscapedPath()
	if strings.Contains(path, ";") {
		// Matrix parameters: /basket;jsessionid=…
		segments := strings.Split(path, "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		path = strings.Join(segments, "/")
	}
	if path == "" {
		path = "/"
	}
	if u.RawQuery == "" {
		return path
	}
	in, kept := u.Query(), url.Values{}
	for _, key := range campaign {
		if in.Has(key) {
			kept.Set(key, in.Get(key))
		}
	}
	if len(kept) == 0 {
		return path
	}
	return path + "?" + kept.Encode()
}

// origin keeps a referrer's scheme and host.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// screenClass keeps the lower bound of a screen's class: phone, tablet, laptop,
// large.
func screenClass(s event.Screen) event.Screen {
	for _, w := range [...]int{1920, 1280, 768, 320} {
		if s.Width >= w {
			return event.Screen{Width: w}
		}
	}
	return event.Screen{}
}

// Truncate cuts an address down to its network: /24 of IPv4, /48 of IPv6. It is
// what we store, whatever was allowed. What is no address becomes "".
func Truncate(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	a = a.Unmap().WithZone("")
	length := 48
	if a.Is4() {
		length = 24
	}
	p, err := a.Prefix(length)
	if err != nil {
		return ""
	}
	return p.Addr().String()
}

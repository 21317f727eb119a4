package yahoo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	maxText     = 512
	maxURL      = 2048
	maxProducts = 50
)

// Encode makes a request for one pixel, or the postback of one click.
func (Adapter) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	s, err := readSettings(b.Settings)
	if err != nil {
		return nil, nil, err
	}
	if s.Transport == postback {
		return encodePostback(ctx, b, s)
	}
	var body []conversion
	var refused []partner.Result
	pixel := ""
	for _, d := range b.Deliveries {
		c, p, no := convert(d, s, b.Now)
		if no != nil {
			refused = append(refused, *no)
			continue
		}
		pixel = p.PixelID
		body = append(body, c)
	}
	if len(body) == 0 {
		return nil, refused, nil
	}
	raw, err := json.Marshal(body, json.Deterministic(true))
	if err != nil {
		return nil, nil, fmt.Errorf("encode for Yahoo: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, eventsAddress(b.Endpoint, pixel), bytes.NewReader(raw))
	if err != nil {
		return nil, nil, fmt.Errorf("request to Yahoo: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.Token)
	return req, refused, nil
}

// check holds what both ways ask of a delivery.
func check(d event.Delivery, s settings, now time.Time) (params, time.Time, *partner.Result) {
	p, err := readParams(d.Params)
	if err != nil {
		return p, time.Time{}, partner.Refuse(d, event.Rejected, "bad_route", err.Error())
	}
	at := partner.Happened(d.Event)
	switch {
	case d.Permission == event.Measure:
		return p, at, partner.Refuse(d, event.NotSent, "consent_measure_only", "not sent: consent allows measuring only, and Yahoo has no way to say so")
	case d.Permission != event.Allowed:
		return p, at, partner.Refuse(d, event.NotSent, "consent", "not sent: consent does not allow it")
	case d.Event.ID == "" || at.IsZero() || eventName(p, d.Event.Name) == "":
		return p, at, partner.Refuse(d, event.Rejected, "incomplete", "the event has no id, no name or no time")
	case now.Sub(at) > time.Duration(s.MaxAgeDays)*day:
		return p, at, partner.Refuse(d, event.Rejected, "too_old", fmt.Sprintf("the event is older than %d days", s.MaxAgeDays))
	case at.Sub(now) > time.Minute:
		return p, at, partner.Refuse(d, event.Rejected, "in_the_future", "the event's time is in the future")
	case partner.GDPR(d.Event) && partner.TCF(d.Event.Consent) == "":
		return p, at, partner.Refuse(d, event.NotSent, "no_tc_string", "not sent: GDPR applies and there is no readable TC string, which Yahoo needs")
	}
	return p, at, nil
}

// convert makes Yahoo's form of a delivery, or says why it cannot go.
func convert(d event.Delivery, s settings, now time.Time) (conversion, params, *partner.Result) {
	p, at, no := check(d, s, now)
	if no != nil {
		return conversion{}, p, no
	}
	e := d.Event
	c := conversion{
		TS: at.Unix(), Name: eventName(p, e.Name), ID: d.Key(), ActionSource: p.ActionSource,
		Country: country(d, p), User: userOf(e), Click: clickOf(e), Privacy: privacyOf(e),
	}
	if p.Region != "" {
		c.Region = partner.Text(partner.Property(e.Properties, p.Region), maxText)
	}
	if p.ActionSource != "phone" && p.ActionSource != "physical_store" {
		c.URL = partner.PageURL(e.Context.Page.URL, maxURL)
	}
	if !c.usable(s) {
		return c, p, partner.Refuse(d, event.NotSent, "no_key", "not sent: the event carries nothing that Yahoo could match a person by")
	}
	if c.Event, no = eventDataOf(d, s, p); no != nil {
		return c, p, no
	}
	return c, p, nil
}

// usable reports whether the event has one of the keys that Yahoo matches by; an
// address and a user agent are none.
func (c conversion) usable(s settings) bool {
	u := c.User
	if len(u.Email)+len(u.Phone)+len(u.GPSAID)+len(u.IDFA)+len(u.PXID) > 0 {
		return true
	}
	return c.Click != nil && (c.Click.VMCID != "" || s.TaboolaAlone)
}

var pxid = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}:[!-~]{1,256}$`)

func userOf(e event.Event) userData {
	list := func(v string) []string {
		if v == "" {
			return nil
		}
		return []string{v}
	}
	ids := e.Subject.PartnerIDs
	first := func(names ...string) string {
		for _, name := range names {
			if v := partner.GUID(ids[name]); v != "" {
				return v
			}
		}
		return ""
	}
	google, apple := first("gpsaid", "aaid"), first("idfa")
	if m := first("maid"); m != "" && google+apple == "" {
		// Of no named platform: the device tells.
		switch e.Enrichment.Device.OS {
		case "iOS":
			apple = m
		case "Android":
			google = m
		}
	}
	u := userData{
		Email: list(partner.Digest(e.Subject.Email)), Phone: list(partner.Digest(e.Subject.PhoneE164)),
		GPSAID: list(strings.ToLower(google)), IDFA: list(strings.ToUpper(apple)),
		IP: partner.IP(e.Context.IP), UserAgent: partner.Text(e.Context.UserAgent, maxText),
	}
	if v := ids["pxid"]; pxid.MatchString(v) && !partner.Personal(v) {
		u.PXID = []string{v}
	}
	return u
}

var clickID = regexp.MustCompile(`^[A-Za-z0-9_.~+/=-]{1,512}$`)

func click(e event.Event, name string) string {
	if v := e.Subject.ClickIDs[name]; clickID.MatchString(v) {
		return v
	}
	return ""
}

func clickOf(e event.Event) *clickData {
	c := clickData{VMCID: click(e, "vmcid"), TBLCI: click(e, "tblci")}
	if c == (clickData{}) {
		return nil
	}
	return &c
}

// privacyOf is the one signal that Yahoo reads: the TC string under GDPR, else GPP.
func privacyOf(e event.Event) *privacy {
	if partner.GDPR(e) {
		return &privacy{Type: "GDPR", Consent: partner.TCF(e.Consent)}
	}
	gpp := partner.GPP(e.Consent)
	if gpp == "" {
		return nil
	}
	out := &privacy{Type: "GPP", Consent: gpp}
	for _, id := range e.Consent.GPPSID {
		if id > 0 {
			out.GPPSID = append(out.GPPSID, id)
		}
	}
	return out
}

// country is what the event, its place, the route or the pixel says.
func country(d event.Delivery, p params) string {
	for _, c := range []string{d.Event.Subject.Country, d.Event.Context.Place.Country, p.Country, d.Country} {
		if c = partner.Country(c); c != "" {
			return c
		}
	}
	return ""
}

// eventDataOf is the money, the categories and the keys that were agreed with
// Yahoo.
func eventDataOf(d event.Delivery, s settings, p params) (*eventData, *partner.Result) {
	e := d.Event
	out := eventData{Custom: map[string]string{}}
	set := func(key, value string) {
		if key != "" && value != "" {
			out.Custom[key] = value
		}
	}
	if value := partner.Number(e.Order.Value); value != "" {
		currency, no := currencyOf(d, s, p)
		if no != nil {
			return nil, no
		}
		out.Price = jsontext.Value(value)
		set(s.CurrencyKey, currency)
	}
	out.Products = products(e)
	set(s.OrderIDKey, partner.Text(e.Order.ID, maxText))
	for _, key := range slices.Sorted(maps.Keys(p.CustomKeys)) {
		set(key, partner.Text(partner.Property(e.Properties, p.CustomKeys[key]), maxText))
	}
	if out.Price == nil && out.Products == nil && len(out.Custom) == 0 {
		return nil, nil
	}
	return &out, nil
}

// currencyOf is that of the order's value. Yahoo takes a price for US dollars
// where no key for another currency was agreed.
func currencyOf(d event.Delivery, s settings, p params) (string, *partner.Result) {
	currency := partner.Currency(d.Event.Order.Currency)
	if currency == "" {
		currency = p.Currency
	}
	if s.Transport == capi && s.CurrencyKey == "" && currency != "" && currency != "USD" {
		return "", partner.Refuse(d, event.Rejected, "foreign_currency", "the value is in "+currency+", and Yahoo takes it for US dollars, since the settings name no key for the currency (currency_key)")
	}
	return currency, nil
}

// products are the categories of the order's items, each once.
func products(e event.Event) []product {
	var out []product
	for i, item := range e.Order.Items {
		one := product{
			Category:    partner.Text(item.Category, maxText),
			SubCategory: partner.Text(partner.Property(e.Properties, "items."+strconv.Itoa(i)+".item_category2"), maxText),
		}
		if one.Category != "" && !slices.Contains(out, one) && len(out) < maxProducts {
			out = append(out, one)
		}
	}
	return out
}

// carries names the keys that a delivery has, for the way that is set.
func carries(v jsontext.Value, d event.Delivery) []string {
	s, _ := readSettings(v)
	u, vmcid := userOf(d.Event), click(d.Event, "vmcid")
	var out []string
	for _, k := range []struct {
		name string
		has  bool
	}{
		{"vmcid", vmcid != ""},
		{"email", len(u.Email) > 0 && s.Transport == capi},
		{"phone", len(u.Phone) > 0 && s.Transport == capi},
		{"gpsaid", len(u.GPSAID) > 0 && s.Transport == capi},
		{"idfa", len(u.IDFA) > 0 && s.Transport == capi},
		{"pxid", len(u.PXID) > 0 && s.Transport == capi},
		{"tblci", click(d.Event, "tblci") != "" && s.Transport == capi},
	} {
		if k.has {
			out = append(out, k.name)
		}
	}
	return out
}

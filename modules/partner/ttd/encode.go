package ttd

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	maxText = 512
	maxURL  = 2048
)

// Encode makes a real-time request, or one for late events.
func (a Adapter) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	s, err := readSettings(b.Settings)
	if err != nil {
		return nil, nil, err
	}
	if len(b.Deliveries) > 0 && s.offline(b.Credentials) && late(b.Deliveries[0], b.Now) {
		return encodeOffline(ctx, b, s)
	}
	var body request
	var refused []partner.Result
	for _, d := range b.Deliveries {
		c, no := convert(d, s, b.Now)
		if no != nil {
			refused = append(refused, *no)
			continue
		}
		body.Data = append(body.Data, c)
	}
	if len(body.Data) == 0 {
		return nil, refused, nil
	}
	endpoint := b.Endpoint
	if endpoint == "" {
		endpoint = realTimeURL
	}
	req, err := post(ctx, endpoint, body)
	return req, refused, err
}

func post(ctx context.Context, endpoint string, body any) (*http.Request, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode for The Trade Desk: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("request to The Trade Desk: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// facts are what both calls say of an event.
type facts struct {
	params   params
	name     string
	ids      ids
	imp      string
	order    string
	value    string
	currency string
	items    []item
	privacy  []privacy[int]
	limited  bool
}

// convert makes the real-time form of a delivery, or says why it cannot go.
func convert(d event.Delivery, s settings, now time.Time) (conversion, *partner.Result) {
	f, no := gather(d, s)
	if no != nil {
		return conversion{}, no
	}
	e := d.Event
	if now.Sub(happened(e)) > realTimeAge+grace {
		return conversion{}, partner.Refuse(d, event.Rejected, "too_old", "the event is older than 24 hours; The Trade Desk counts the time of arrival")
	}
	c := conversion{
		TrackerID: f.params.TrackerID, UPixelID: f.params.UPixelID,
		MerchantID: f.params.MerchantID, Adv: f.params.Adv,
		EventName:   f.name,
		ClientIP:    partner.IP(e.Context.IP),
		ReferrerURL: partner.PageURL(e.Context.Page.URL, maxURL),
		OrderID:     f.order, Value: f.value, Currency: f.currency, Items: f.items,
		Imp:             f.imp,
		PrivacySettings: f.privacy,
	}
	list := f.ids.list()
	switch {
	case c.ClientIP == "" && s.RequireClientIP:
		return c, partner.Refuse(d, event.Rejected, "missing_client_ip", "the visitor's address is missing or malformed, and the settings require one")
	case c.ClientIP == "" && len(list) == 0 && c.Imp == "":
		return c, partner.Refuse(d, event.NotSent, "no_key", "not sent: the event carries neither a visitor's address nor an identifier")
	case c.UPixelID != "" && c.ReferrerURL == "":
		return c, partner.Refuse(d, event.Rejected, "missing_page_url", "a universal pixel needs the page's address (http or https), and the event has none")
	}
	if s.Identifiers == "one" {
		for _, t := range list {
			if t.kind != "" {
				c.AdIDType, c.AdID = t.kind, t.id
				break
			}
		}
	} else {
		c.IDs = f.ids
	}
	prop := property(e)
	c.Dimensions = f.params.Dimensions.each(prop)
	if c.Imp != "" {
		c.IAttr, c.IVTC = flag(e, f.params.IAttr), flag(e, f.params.IVTC)
	}
	c.Country = country(e)
	c.Metro = prop(f.params.Metro)
	place := e.Context.Place
	c.Region = cmp.Or(prop(f.params.Region), partner.Text(place.Region, maxText))
	c.City = cmp.Or(prop(f.params.City), partner.Text(place.City, maxText))
	c.Zip = cmp.Or(prop(f.params.Zip), partner.Text(place.PostalCode, maxText))
	if f.limited {
		c.DataProcessingOption = &dataProcessing{Policies: []string{"LDU"}, Region: s.LDURegion}
	}
	return c, nil
}

// gather checks and collects what both calls say.
func gather(d event.Delivery, s settings) (facts, *partner.Result) {
	e := d.Event
	p, err := readParams(d.Params)
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return facts{}, partner.Refuse(d, event.Rejected, "bad_route", err.Error())
	}
	f := facts{params: p, ids: readIDs(e.Subject), imp: impression(e, p)}
	var no *partner.Result
	if f.limited, no = may(d, s); no != nil {
		return f, no
	}
	var ok bool
	if f.privacy, ok = signals(e); !ok {
		return f, partner.Refuse(d, event.NotSent, "no_tc_string", "not sent: GDPR applies and there is no readable TC string, which The Trade Desk needs")
	}
	if p.TrackerID != "" {
		if f.name = eventName(p, e.Name); !nameShape.MatchString(f.name) {
			return f, partner.Refuse(d, event.Rejected, "bad_event_name", "the event's name is missing, or holds what no name may hold")
		}
	}
	f.order = partner.Text(e.Order.ID, maxText)
	f.currency = partner.Currency(e.Order.Currency)
	if f.currency == "" {
		f.currency = p.Currency
	}
	f.value = money(e.Order.Value)
	switch {
	case f.value != "" && f.currency == "" && e.Name == "purchase":
		return f, partner.Refuse(d, event.Rejected, "missing_currency", "the purchase has a value, but no ISO 4217 currency, and the route names none")
	case f.value == "" || f.currency == "":
		f.value, f.currency = "", ""
	}
	for _, i := range e.Order.Items {
		if code := partner.Text(i.ID, maxText); code != "" {
			f.items = append(f.items, item{
				Code: code, Name: partner.Text(i.Name, maxText), Qty: string(amount(i.Quantity)), Price: money(i.Price), Cat: partner.Text(i.Category, maxText),
			})
		}
	}
	return f, nil
}

// money is a decimal string, with two decimals unless there are more; "" if it
// is no amount.
func money(a event.Amount) string {
	a = amount(a)
	if _, decimals, _ := strings.Cut(string(a), "."); len(decimals) > 2 {
		return string(a)
	}
	return a.Fixed()
}

func amount(a event.Amount) event.Amount {
	out, err := event.ParseAmount(string(a))
	if err != nil {
		return ""
	}
	return out
}

var nameShape = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

// country is that of the address, else where the visitor is.
func country(e event.Event) string {
	return cmp.Or(partner.Country(e.Subject.Country), partner.Country(e.Context.Place.Country))
}

// impression is a captured impression id: from the property that the route
// names, or where the tag keeps it.
func impression(e event.Event, p params) string {
	if p.Imp != "" {
		if id := partner.GUID(partner.Property(e.Properties, p.Imp)); id != "" {
			return id
		}
	}
	return partner.GUID(e.Subject.PartnerIDs["ttd_imp"])
}

func property(e event.Event) func(string) string {
	return func(name string) string {
		if name == "" {
			return ""
		}
		return partner.Text(partner.Property(e.Properties, name), maxText)
	}
}

func flag(e event.Event, name string) *bool {
	if name == "" {
		return nil
	}
	var yes bool
	switch partner.Property(e.Properties, name) {
	case "true", "1":
		yes = true
	case "false", "0":
	default:
		return nil
	}
	return &yes
}

// encodeOffline makes a request for late events.
func encodeOffline(ctx context.Context, b partner.Batch, s settings) (*http.Request, []partner.Result, error) {
	body := offlineRequest{DataProviderID: s.DataProviderID, Format: []string{"type", "id"}}
	var refused []partner.Result
	for _, d := range b.Deliveries {
		i, no := convertLate(d, s, b.Now)
		if no != nil {
			refused = append(refused, *no)
			continue
		}
		body.Items = append(body.Items, i)
	}
	if len(body.Items) == 0 {
		return nil, refused, nil
	}
	endpoint, err := offlineEndpoint(b.Endpoint)
	if err != nil {
		return nil, nil, err
	}
	req, err := post(ctx, endpoint, body)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("TTD-Auth", b.Credentials["data_api_token"])
	return req, refused, nil
}

// offlineEndpoint stands beside the configured real-time one, so that a
// redirected adapter sends nothing to the real partner.
func offlineEndpoint(configured string) (string, error) {
	if configured == "" || configured == realTimeURL {
		return offlineURL, nil
	}
	if base, ok := strings.CutSuffix(configured, realTimePath); ok {
		return base + offlinePath, nil
	}
	u, err := url.Parse(configured)
	if err != nil {
		return "", fmt.Errorf("endpoint of The Trade Desk: %w", err)
	}
	u.Path, u.RawPath, u.RawQuery, u.Fragment = offlinePath, "", "", ""
	return u.String(), nil
}

func convertLate(d event.Delivery, s settings, now time.Time) (offlineItem, *partner.Result) {
	f, no := gather(d, s)
	if no != nil {
		return offlineItem{}, no
	}
	e := d.Event
	at := happened(e)
	switch {
	case f.params.TrackerID == "":
		return offlineItem{}, partner.Refuse(d, event.Rejected, "too_old", "the event is older than 24 hours, and the offline API takes event trackers only, no universal pixel")
	case now.Sub(at) > s.offlineAge():
		return offlineItem{}, partner.Refuse(d, event.Rejected, "too_old", fmt.Sprintf("the event is older than %d days", s.OfflineAgeDays))
	case f.limited:
		return offlineItem{}, partner.Refuse(d, event.NotSent, "limited_use_too_late", "not sent: the offline API has no flag for limited data use")
	}
	i := offlineItem{
		TrackingTagID: f.params.TrackerID,
		TimestampUTC:  at.UTC().Format("2006-01-02T15:04:05.000Z"),
		ImpressionID:  f.imp,
		OrderID:       f.order, Value: f.value, Currency: f.currency,
		MerchantID: f.params.MerchantID, EventName: f.name, LineItems: f.items,
		PrivacySettings: inWords(f.privacy),
		Country:         country(e),
	}
	for _, t := range f.ids.list() {
		i.UserIDs = append(i.UserIDs, [2]string{t.code, t.id})
	}
	if len(i.UserIDs) == 0 && i.ImpressionID == "" {
		return i, partner.Refuse(d, event.NotSent, "no_key", "not sent: the offline API needs an identifier, and the event carries none")
	}
	prop := property(e)
	i.Metro = prop(f.params.Metro)
	i.Region = cmp.Or(prop(f.params.Region), partner.Text(e.Context.Place.Region, maxText))
	i.City = cmp.Or(prop(f.params.City), partner.Text(e.Context.Place.City, maxText))
	t := f.params.Dimensions.each(prop)
	i.TD1, i.TD2, i.TD3, i.TD4, i.TD5 = t.TD1, t.TD2, t.TD3, t.TD4, t.TD5
	i.TD6, i.TD7, i.TD8, i.TD9, i.TD10 = t.TD6, t.TD7, t.TD8, t.TD9, t.TD10
	return i, nil
}

package amazon

import (
	"bytes"
	"context"
	"errors"
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

// Encode makes one request for one advertiser account.
func (Adapter) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	s, err := readSettings(b.Settings)
	if err != nil {
		return nil, nil, err
	}
	var body request
	var refused []partner.Result
	var to params
	seen := map[string]bool{}
	for _, d := range b.Deliveries {
		p, err := readParams(d.Params)
		if err != nil {
			refused = append(refused, *partner.Refuse(d, event.Rejected, "bad_route", err.Error()))
			continue
		}
		c, no := convert(d, s, p, b.Now)
		if no == nil && seen[c.ID] {
			no = partner.Refuse(d, event.NotSent, "duplicate", "not sent: the request holds this event already")
		}
		if no != nil {
			refused = append(refused, *no)
			continue
		}
		to, seen[c.ID] = p, true
		body.Events = append(body.Events, c)
	}
	if len(body.Events) == 0 {
		return nil, refused, nil
	}
	client := b.Credentials["client_id"]
	if client == "" {
		return nil, nil, errors.New("encode for Amazon: there is no client_id among the credentials")
	}
	url := b.Endpoint
	if url == "" {
		url = endpoint(to.Region)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, nil, fmt.Errorf("encode for Amazon: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return nil, nil, fmt.Errorf("request to Amazon: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+b.Token)
	req.Header.Set("Amazon-Ads-ClientId", client)
	req.Header.Set("Amazon-Ads-AccountId", to.AccountID)
	return req, refused, nil
}

// convert makes Amazon's form of a delivery, or says why it cannot go.
func convert(d event.Delivery, s settings, p params, now time.Time) (conversion, *partner.Result) {
	e := d.Event
	at := partner.Happened(e)
	c := conversion{
		Description: description{
			Name: p.EventName, Type: conversionType(p, e.Name), Source: p.EventSource,
			Ingestion: "SERVER_TO_SERVER", DataSetKey: p.DataSetName,
		},
		Time:    at.UTC().Format("2006-01-02T15:04:05.000Z"),
		Country: country(d, p),
		ID:      d.Key(),
		Aref:    aref(e.Subject.ClickIDs),
		Partner: partner.Text(s.Partner, 64),
		AdKey:   adKey(e.Subject.PartnerIDs["amazon_ad_event_key"]),
	}
	if c.Description.Name == "" {
		c.Description.Name = partner.Text(e.Name, 128)
	}
	var limited bool
	var no *partner.Result
	if c.Consent, limited, no = signals(d, s, p); no != nil {
		return c, no
	}
	if limited {
		c.Options = &dataProcessing{Options: "LIMITED_DATA_USE"}
	}
	c.MatchKeys = matchKeys(e, s)
	switch {
	case e.ID == "" || c.Description.Name == "":
		return c, partner.Refuse(d, event.Rejected, "incomplete", "the event has no id or no name")
	case now.Sub(at) > s.maxAge():
		return c, partner.Refuse(d, event.Rejected, "too_old", fmt.Sprintf("the event is older than %d days", s.MaxAgeDays))
	case c.Country == "":
		return c, partner.Refuse(d, event.Rejected, "missing_country", "Amazon needs a country: the event and its locale tell none, and the route names none (country)")
	case len(c.MatchKeys) == 0:
		return c, partner.Refuse(d, event.NotSent, "no_key", "not sent: the event carries nothing that Amazon could match a person by")
	}
	if no = c.setValue(d, p); no != nil {
		return c, no
	}
	c.Custom = custom(e, s, p)
	if agent := partner.Cut(strings.ToValidUTF8(e.Context.UserAgent, ""), 512); agent != "" {
		c.Device = &device{UserAgent: agent}
	}
	return c, nil
}

// setValue is money for purchases, and a number on its own scale otherwise.
func (c *conversion) setValue(d event.Delivery, p params) *partner.Result {
	o := d.Event.Order
	value := number(o.Value)
	if value != "" {
		c.Value = jsontext.Value(value)
	}
	if c.Description.Type != purchase {
		return nil
	}
	c.UnitsSold = int32(partner.Units(o.Items))
	if value == "" {
		return nil
	}
	c.Currency = strings.ToUpper(strings.TrimSpace(o.Currency))
	if c.Currency == "" {
		c.Currency = p.Currency
	}
	switch {
	case strings.HasPrefix(value, "-"):
		return partner.Refuse(d, event.Rejected, "negative_value", "Amazon takes no purchase below zero")
	case c.Currency == "":
		return partner.Refuse(d, event.Rejected, "missing_currency", "the purchase has a value, but no currency, and the route names none")
	case !listed(currencyCodes, c.Currency):
		return partner.Refuse(d, event.Rejected, "unsupported_currency", "Amazon does not take this purchase's currency")
	}
	return nil
}

// number is an amount with two decimals at most and none to spare: 99.5.
func number(a event.Amount) string {
	a, err := event.ParseAmount(string(a))
	if err != nil {
		return ""
	}
	v := strings.TrimSuffix(strings.TrimRight(a.Fixed(), "0"), ".")
	if v == "-0" {
		return "0"
	}
	return v
}

// cents is an amount in hundredths, "" below zero.
func cents(a event.Amount) string {
	if a.Negative() {
		return ""
	}
	v := strings.TrimLeft(strings.Replace(a.Fixed(), ".", "", 1), "0")
	if v == "" {
		return "0"
	}
	return v
}

var visibleKey = regexp.MustCompile(`^[!-~]{1,512}$`)

// adKey is Amazon's key of an ad event, for events that somebody else attributed.
func adKey(s string) string {
	if !visibleKey.MatchString(s) || partner.Personal(s) {
		return ""
	}
	return s
}

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)
	notAllowed    = regexp.MustCompile(`[^A-Za-z0-9_]+`)
)

// custom are the order id and the attributes that the route names. Amazon takes
// letters, digits and underscores only, so values are cleaned.
func custom(e event.Event, s settings, p params) []attribute {
	var out []attribute
	add := func(name, text string) {
		if !attributeName.MatchString(name) || len(out) == 13 {
			return
		}
		a, err := event.ParseAmount(text)
		switch amount := err == nil; {
		case amount && strings.HasSuffix(name, "Cents"):
			text = cents(a)
		case amount && (a.Negative() || strings.Contains(text, ".")):
			// Cleaning would turn -9.5 into 9_5.
			return
		}
		kind := "STRING"
		if at, err := time.Parse(time.RFC3339, text); err == nil && s.Timestamps {
			// The usual form has characters that Amazon takes in no value.
			text, kind = at.UTC().Format("20060102T150405Z"), "TIMESTAMP"
		}
		if n, err := strconv.ParseInt(text, 10, 32); err == nil && strconv.FormatInt(n, 10) == text && name != "orderId" {
			kind = "INTEGER"
		}
		if text = strings.Trim(notAllowed.ReplaceAllString(partner.Text(text, 256), "_"), "_"); text != "" {
			out = append(out, attribute{name, text, kind})
		}
	}
	if _, own := p.CustomData["orderId"]; !own {
		add("orderId", e.Order.ID)
	}
	for _, name := range slices.Sorted(maps.Keys(p.CustomData)) {
		add(name, partner.Property(e.Properties, p.CustomData[name]))
	}
	return out
}

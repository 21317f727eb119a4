package dv360

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const (
	ingestPath = "/v1/events:ingest"
	statusPath = "/v1/requestStatus:retrieve"
)

// encodeEvents makes an events:ingest to one Floodlight activity.
func encodeEvents(ctx context.Context, b partner.Batch, s settings) (*http.Request, []partner.Result, error) {
	body := eventsRequest{ValidateOnly: b.Test}
	var refused []partner.Result
	for _, d := range b.Deliveries {
		f, no := gather(d, s, b.Now)
		if no != nil {
			refused = append(refused, *no)
			continue
		}
		reference := "activity-" + f.params.ActivityID
		if len(body.Destinations) == 0 {
			at := account{"FLOODLIGHT_CONFIG", f.params.ConfigurationID}
			body.Destinations = []destination{{reference, at, at, f.params.ActivityID}}
		}
		e := f.ingested(d.Event, s, reference)
		if e.UserData != nil {
			body.Encoding = "HEX"
		}
		body.Events = append(body.Events, e)
	}
	if len(body.Events) == 0 {
		return nil, refused, nil
	}
	req, err := post(ctx, base(b.Endpoint, dataManagerURL)+ingestPath, b.Token, body)
	return req, refused, err
}

func (f *facts) ingested(e event.Event, s settings, reference string) ingested {
	p := f.params
	out := ingested{
		References: []string{reference}, TransactionID: f.key,
		Time:  f.at.UTC().Format("2006-01-02T15:04:05.000Z"),
		Count: f.quantity, Source: p.EventSource,
	}
	out.Updated = updated(e, p, f.at)
	a := &out.AdIdentifiers
	switch f.id.kind {
	case "dclid":
		a.Dclid = f.id.value
	case "gclid":
		a.Gclid = f.id.value
	case "gbraid":
		a.Gbraid = f.id.value
	case "wbraid":
		a.Wbraid = f.id.value
	case "matchId":
		a.MatchID = f.id.value
	case "impressionId":
		a.ImpressionID = f.id.value
	case "mobileDeviceId":
		a.MobileDeviceID = f.id.value
	case "encryptedUserId":
		f.id.values = []string{f.id.value}
	}
	for _, v := range f.id.values {
		a.EncryptedIDs = append(a.EncryptedIDs, encryptedUserID{v, entityType(p.EncryptionType), p.EncryptionID, p.EncryptionSource})
	}
	personal := f.consent.personalization
	if f.consent.limited {
		// There is no field for limited use here: this is what comes nearest.
		personal = "denied"
	} else if ids := f.contact.eventIdentifiers(); len(ids) > 0 {
		out.UserData = &userData{ids}
	}
	if c := (consent{inCapitals(f.consent.userData), inCapitals(personal)}); c != (consent{}) {
		out.Consent = &c
	}
	if f.value != "" {
		out.Value, out.Currency = jsontext.Value(f.value), f.currency
	}
	dev := device{UserAgent: partner.Text(e.Context.UserAgent, 512)}
	if s.SendIP && !partner.GDPR(e) {
		dev.IP = partner.IP(e.Context.IP)
	}
	if dev != (device{}) {
		out.Device = &dev
	}
	if lines := f.lines(e.Order); len(lines) > 0 {
		out.Cart = &eventCart{MerchantID: p.MerchantID, FeedLabel: p.MerchantFeedLabel, FeedLanguage: p.MerchantFeedLanguage, Discount: rawNumber(discount(e, p))}
		for _, l := range lines {
			out.Cart.Items = append(out.Cart.Items, eventItem{l.id, l.quantity, rawNumber(l.price)})
		}
	}
	for _, v := range f.vars {
		out.Variables = append(out.Variables, eventVar{v.name, v.value})
	}
	return out
}

// rawNumber is a number's digits as JSON; nil, which is left out, where there are none.
func rawNumber(s string) jsontext.Value {
	if s == "" {
		return nil
	}
	return jsontext.Value(s)
}

// discount is what the order's property of that name takes off, in the order's
// currency; "" where there is none.
func discount(e event.Event, p params) string {
	if p.DiscountFrom == "" {
		return ""
	}
	v := partner.Number(event.Amount(partner.Property(e.Properties, p.DiscountFrom)))
	if strings.HasPrefix(v, "-") {
		return ""
	}
	return v
}

// updated is when the order was last changed, by the property that the route names;
// "" unless that is a time after the event.
func updated(e event.Event, p params, at time.Time) string {
	if p.UpdatedFrom == "" {
		return ""
	}
	t, err := time.Parse(time.RFC3339, partner.Property(e.Properties, p.UpdatedFrom))
	if err != nil || !t.After(at) {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func (c contact) eventIdentifiers() []eventIdentifier {
	var out []eventIdentifier
	if c.email != "" {
		out = append(out, eventIdentifier{Email: c.email})
	}
	if c.phone != "" {
		out = append(out, eventIdentifier{Phone: c.phone})
	}
	if c.address() {
		out = append(out, eventIdentifier{Address: &eventAddress{c.firstName, c.lastName, c.country, c.place.PostalCode}})
	}
	return out
}

func inCapitals(signal string) string {
	switch signal {
	case "granted":
		return "CONSENT_GRANTED"
	case "denied":
		return "CONSENT_DENIED"
	}
	return ""
}

var eventIndex = regexp.MustCompile(`events\[(\d+)\]`)

// decodeEvents reads the answer to events:ingest: that everything is queued, or
// that nothing was taken.
func decodeEvents(a partner.Answer, s settings, sent []event.Delivery) partner.Receipt {
	if a.Status >= 200 && a.Status < 300 {
		var body struct {
			RequestID string `json:"requestId"`
		}
		if unmarshal(a.Body, &body) != nil || body.RequestID == "" {
			return partner.Receipt{Results: partner.All(sent, event.Retry, "unread_answer", "the answer names no request; sending again is harmless")}
		}
		return partner.Receipt{
			RequestID: body.RequestID, AskAfter: s.askAfter(),
			Results: partner.All(sent, event.Accepted, "accepted_unverified", "queued by Google, which tells later what became of it"),
		}
	}
	r := decodeRefusal(a, sent)
	g := readRefusal(a.Body)
	if a.Status != http.StatusBadRequest {
		return r
	}
	named, quotes := map[int]violation{}, map[int]string{}
	var other *violation
	for _, d := range g.Error.Details {
		for _, quoted := range d.Violations {
			v := quoted.Value
			m := eventIndex.FindStringSubmatch(v.Field)
			if m == nil {
				other = &v
				continue
			}
			if i, err := strconv.Atoi(m[1]); err == nil && i >= 0 && i < len(sent) {
				if _, first := named[i]; !first {
					named[i], quotes[i] = v, quoted.Text
				}
			}
		}
	}
	switch {
	case len(named) > 0:
		// One bad event, and none of the request is taken.
		r.Halve, r.Alone = false, len(named) < len(sent)
		for i, d := range sent {
			v, bad := named[i]
			if !bad {
				r.Results[i] = *partner.Refuse(d, event.Retry, "spared", "another event spoiled the request: it is sent again without that one")
				continue
			}
			code := v.Reason
			if code == "" {
				code = g.code("INVALID_ARGUMENT")
			}
			r.Results[i] = *partner.Refuse(d, event.Rejected, partner.Cut(code, 64), strings.TrimPrefix(v.Field+": "+v.Description, ": "))
			r.Results[i].Answer = quotes[i]
		}
	case g.has(tooMany...) || other != nil && contains(tooMany, other.Reason):
		return r // in halves
	case g.has(misconfigured...) || other != nil && contains(misconfigured, other.Reason):
		// Every event of the route would fail in the same way.
		code, message := g.code("INVALID_ARGUMENT"), g.Error.Message
		if other != nil {
			code, message = other.Reason, other.Description
		}
		r.Halve = false
		r.Results = partner.All(sent, event.Rejected, partner.Cut(code, 64), "the route's Floodlight configuration or activity is wrong, or the credentials have no access to it: "+message)
	}
	return r
}

var (
	tooMany       = []string{"TOO_MANY_EVENTS", "TOO_MANY_DESTINATIONS", "TOO_MANY_USER_IDENTIFIERS"}
	misconfigured = []string{
		"PERMISSION_DENIED", "INVALID_DESTINATION", "OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH", "DESTINATION_ACCOUNT_TYPE_MISMATCH",
		"DUPLICATE_DESTINATION_REFERENCE", "NOT_ALLOWLISTED",
	}
)

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// Ask makes the request for what became of an earlier one.
func (Adapter) Ask(ctx context.Context, b partner.Batch, requestID string) (*http.Request, error) {
	address := base(b.Endpoint, dataManagerURL) + statusPath + "?requestId=" + url.QueryEscape(requestID)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+b.Token)
	return req, nil
}

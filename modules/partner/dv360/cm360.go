package dv360

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// Contact data may amend a conversion from 90 minutes to 24 hours after it, and
// one that Google does not know yet is looked for during six hours.
const (
	enhanceFrom  = 90 * time.Minute
	enhanceUntil = day
	lookFor      = 6 * time.Hour
	lookEvery    = 30 * time.Minute
)

// encodeConversions makes a batchinsert, or a batchupdate for a route that
// enhances.
func encodeConversions(ctx context.Context, b partner.Batch, s settings) (*http.Request, []partner.Result, error) {
	var body conversionsRequest
	var refused []partner.Result
	var to params
	for _, d := range b.Deliveries {
		f, no := gather(d, s, b.Now)
		if no == nil {
			no = f.tooEarlyOrLate(d, b.Now)
		}
		if no != nil {
			refused = append(refused, *no)
			continue
		}
		to = f.params
		if (f.id.kind == "encryptedUserId" || f.id.kind == "encryptedUserIdCandidates") && body.Encryption == nil {
			body.Encryption = &encryption{"dfareporting#encryptionInfo", to.EncryptionType, to.EncryptionID, to.EncryptionSource}
		}
		body.Conversions = append(body.Conversions, f.conversion(d.Event, s))
	}
	if len(body.Conversions) == 0 {
		return nil, refused, nil
	}
	call := "batchinsert"
	body.Kind = "dfareporting#conversionsBatchInsertRequest"
	if to.Operation == enhance {
		call, body.Kind = "batchupdate", "dfareporting#conversionsBatchUpdateRequest"
	}
	address := base(b.Endpoint, cm360URL) + "/dfareporting/v5/userprofiles/" + to.ProfileID + "/conversions/" + call
	req, err := post(ctx, address, b.Token, body)
	return req, refused, err
}

// tooEarlyOrLate holds a route that enhances to Google's window, and to what it
// needs.
func (f *facts) tooEarlyOrLate(d event.Delivery, now time.Time) *partner.Result {
	if f.params.Operation != enhance {
		return nil
	}
	age := now.Sub(f.at)
	switch {
	case f.contact.empty():
		return partner.Refuse(d, event.NotSent, "no_contact", "not sent: the event carries no contact data to amend the conversion with")
	case f.consent.limited || f.consent.userData == "denied":
		return partner.Refuse(d, event.NotSent, "consent", "not sent: consent allows limited use only, and contact data is more")
	case age < enhanceFrom:
		early := partner.Refuse(d, event.Retry, "too_early", "waits: Google takes contact data from 90 minutes after the conversion")
		early.After = enhanceFrom - age
		return early
	case age > enhanceUntil:
		return partner.Refuse(d, event.Rejected, "too_late", "Google takes contact data within 24 hours of the conversion")
	}
	return nil
}

func (f *facts) conversion(e event.Event, s settings) conversion {
	p := f.params
	c := conversion{
		ConfigurationID: p.ConfigurationID, ActivityID: p.ActivityID,
		Ordinal: f.key, TimestampMicros: f.at.UnixMicro(), Quantity: f.quantity, Value: jsontext.Value("0"),
		Underage: p.Underage,
	}
	if f.value != "" {
		c.Value = jsontext.Value(f.value)
	}
	switch f.id.kind {
	case "dclid":
		c.Dclid = f.id.value
	case "gclid":
		c.Gclid = f.id.value
	case "matchId":
		c.MatchID = f.id.value
	case "impressionId":
		c.ImpressionID = f.id.value
	case "mobileDeviceId":
		c.MobileDeviceID = f.id.value
	case "encryptedUserId":
		c.EncryptedID = f.id.value
	case "encryptedUserIdCandidates":
		c.Candidates = f.id.values
	}
	if f.consent.userData == "granted" {
		c.AdUserDataConsent = "GRANTED"
	}
	if f.consent.personalization != "" {
		denied := f.consent.personalization == "denied"
		c.NonPersonalizedAd = &denied
	}
	for _, v := range f.vars {
		c.Variables = append(c.Variables, customVariable{"dfareporting#customFloodlightVariable", v.name, v.value})
	}
	if p.Operation == enhance || s.InsertIdentifiers && !f.consent.limited {
		c.UserIdentifiers = f.contact.identifiers()
	}
	if p.Operation == enhance {
		// An update cannot change the members below.
		return c
	}
	c.LimitAdTracking, c.ChildDirected = f.consent.limited, p.ChildDirected
	if lines := f.lines(e.Order); len(lines) > 0 {
		c.Cart = &cart{MerchantID: p.MerchantID, FeedLabel: p.MerchantFeedLabel, FeedLanguage: p.MerchantFeedLanguage}
		for _, l := range lines {
			c.Cart.Items = append(c.Cart.Items, cartItem{l.id, l.quantity, rawNumber(l.price)})
		}
	}
	if v := e.Subject.PartnerIDs["session_attributes"]; len(v) <= 4096 {
		if _, err := base64.StdEncoding.DecodeString(v); err == nil {
			c.Session = v
		}
	}
	return c
}

// identifiers are at most three of the five that Google takes.
func (c contact) identifiers() []userIdentifier {
	var out []userIdentifier
	if c.email != "" {
		out = append(out, userIdentifier{Email: c.email})
	}
	if c.phone != "" {
		out = append(out, userIdentifier{Phone: c.phone})
	}
	if c.address() {
		out = append(out, userIdentifier{Address: &addressInfo{
			c.firstName, c.lastName, c.street, c.place.City, c.place.Region, c.place.PostalCode, c.country,
		}})
	}
	return out
}

// decodeConversions reads the status of each conversion. The answer is 200 even
// where every one of them failed.
func decodeConversions(a partner.Answer, sent []event.Delivery) partner.Receipt {
	if a.Status < 200 || a.Status >= 300 {
		return decodeRefusal(a, sent)
	}
	var body struct {
		HasFailures *bool            `json:"hasFailures"`
		Status      []jsontext.Value `json:"status"`
	}
	if err := unmarshal(a.Body, &body); err != nil || body.Status == nil && body.HasFailures == nil {
		return partner.Receipt{Results: partner.All(sent, event.Retry, "unread_answer", "the answer could not be read; sending again is harmless")}
	}
	r := partner.Receipt{Results: partner.All(sent, event.Retry, "unmentioned", "the answer does not say what became of the event; sending again is harmless")}
	for i, raw := range body.Status {
		var st conversionStatus
		if i >= len(sent) || unmarshal(raw, &st) != nil {
			continue
		}
		r.Results[i] = settleConversion(st, sent[i], a.Now)
	}
	return r
}

// settleConversion makes a result of a conversion's errors; of several the one
// that is least to be mended counts.
func settleConversion(st conversionStatus, d event.Delivery, now time.Time) partner.Result {
	errs := st.Errors.Value
	if len(errs) == 0 {
		return *partner.Refuse(d, event.Accepted, "", "")
	}
	rank := func(code string) int {
		switch code {
		case "INTERNAL":
			return 0
		case "NOT_FOUND":
			return 1
		}
		return 2
	}
	worst := errs[0]
	for _, e := range errs[1:] {
		if rank(e.Code) > rank(worst.Code) {
			worst = e
		}
	}
	if worst.Code == "" {
		worst.Code = "refused"
	}
	res := partner.Refuse(d, event.Rejected, partner.Cut(worst.Code, 64), worst.Message)
	res.Answer = st.Errors.Text
	switch worst.Code {
	case "INTERNAL":
		res.Outcome = event.Retry
	case "PERMISSION_DENIED":
		res.Message = fmt.Sprintf("the user profile has no right to this Floodlight configuration or activity, so that every event of the route will be refused: %s", worst.Message)
	case "NOT_FOUND":
		if wait := lookAgain(d, now); wait > 0 {
			res.Outcome, res.After = event.Retry, wait
		}
	}
	return *res
}

// lookAgain is when a conversion or click that Google does not know is worth
// another try; 0: it is not.
func lookAgain(d event.Delivery, now time.Time) time.Duration {
	p, err := readParams(d.Params)
	if err != nil {
		return 0
	}
	at := partner.Happened(d.Event)
	if p.Operation == enhance {
		// The conversion may not be recorded yet.
		began := at.Add(enhanceFrom)
		if d.QueuedAt.After(began) {
			began = d.QueuedAt
		}
		again := now.Add(lookEvery)
		if again.After(began.Add(lookFor)) || again.Sub(at) > enhanceUntil {
			return 0
		}
		return lookEvery
	}
	// The click may be too young to be known: one more try some hours later.
	clicked := d.Event.Subject.ClickIDs["dclid"] != "" || d.Event.Subject.ClickIDs["gclid"] != ""
	if wait := at.Add(lookFor).Sub(now); clicked && wait > 0 {
		return wait
	}
	return 0
}

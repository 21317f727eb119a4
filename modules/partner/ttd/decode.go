package ttd

import (
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// itemNumber is a number that comes as a string; -1 where it is none.
type itemNumber int

// UnmarshalJSONFrom reads "2" and 2.
func (n *itemNumber) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	text := string(v)
	if v.Kind() == '"' {
		if s, err := jsontext.AppendUnquote(nil, v); err == nil {
			text = string(s)
		}
	}
	*n = -1
	if i, err := strconv.Atoi(text); err == nil {
		*n = itemNumber(i)
	}
	return nil
}

// Decode sorts an answer of either call.
func (Adapter) Decode(a partner.Answer, sent []event.Delivery) partner.Receipt {
	s, _ := readSettings(a.Settings)
	switch {
	case a.Status >= 200 && a.Status < 300, a.Status == http.StatusBadRequest:
		return decodeItems(a, s, sent)
	case a.Status == http.StatusPaymentRequired:
		return partner.Receipt{Results: partner.All(sent, event.Rejected, "undefined_tag_or_event",
			"the tag or the event's name is not defined for this advertiser or merchant at The Trade Desk (HTTP 402)")}
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		if s.DataProviderID != "" && len(sent) > 0 && late(sent[0], a.Now) {
			// Real-time conversions need no token, so the lane must go on.
			return partner.Receipt{Results: partner.All(sent, event.Retry, "offline_unauthorized",
				"The Trade Desk's offline API refused the Data API token or its rights")}
		}
		r := partner.Receipt{Pause: "The Trade Desk refused the request (HTTP " + strconv.Itoa(a.Status) + "), which needs no credentials: check the endpoint"}
		r.Results = partner.All(sent, event.Retry, "http_"+strconv.Itoa(a.Status), r.Pause)
		return r
	}
	return partner.Sort(a, sent)
}

// decodeItems reads a 200 or a 400 item by item: each may name failures.
func decodeItems(a partner.Answer, s settings, sent []event.Delivery) partner.Receipt {
	var body answer
	unread := json.Unmarshal(a.Body, &body) != nil
	if unread {
		body = answer{}
	}
	named := make([]*partner.Result, len(sent))
	again := false
	for _, r := range body.EventResponses {
		if r.EventIndex == nil || *r.EventIndex < 0 || *r.EventIndex >= len(sent) {
			continue
		}
		named[*r.EventIndex] = settle(r, sent[*r.EventIndex])
	}
	for _, line := range body.FailedLines {
		l := line.Value
		i := find(l, sent, s)
		if i < 0 {
			continue
		}
		named[i] = partner.Refuse(sent[i], event.Rejected, code(l.ErrorCode), l.Message)
		named[i].Answer = line.Text
		if l.ErrorCode == "Unknown" {
			named[i].Outcome, again = event.Retry, true
		}
	}

	ok := a.Status < 300
	if !ok && !anyNamed(named) {
		// Nothing says which event was bad.
		r := partner.Receipt{Halve: len(sent) > 1}
		o := event.Rejected
		if r.Halve {
			o = event.Retry
		}
		r.Results = partner.All(sent, o, "http_400", "The Trade Desk refused the request and did not say why")
		return r
	}
	r := partner.Receipt{Results: make([]partner.Result, 0, len(sent))}
	for i, d := range sent {
		switch {
		case named[i] != nil:
			r.Results = append(r.Results, *named[i])
		case ok && unread && len(a.Body) > 0:
			r.Results = append(r.Results, *partner.Refuse(d, event.Accepted, "unread_answer", "accepted, by an answer that could not be read"))
		case ok:
			r.Results = append(r.Results, *partner.Refuse(d, event.Accepted, "", ""))
		case s.OnPartial == "assume_taken":
			r.Results = append(r.Results, *partner.Refuse(d, event.Accepted, "assumed_taken", "not named in an answer that refused others, and taken for counted"))
		default:
			again = true
			r.Results = append(r.Results, *partner.Refuse(d, event.Retry, "unnamed", "not named in an answer that refused others: it is sent once more and may count twice"))
		}
	}
	r.Alone = again
	return r
}

func anyNamed(results []*partner.Result) bool {
	for _, r := range results {
		if r != nil {
			return true
		}
	}
	return false
}

func settle(r eventResponse, d event.Delivery) *partner.Result {
	errs := r.EventErrors.Value
	bad := len(errs) > 0
	if r.Successful != nil {
		bad = !*r.Successful
	}
	if !bad {
		return partner.Refuse(d, event.Accepted, "", "")
	}
	res := partner.Refuse(d, event.Rejected, "refused", "The Trade Desk refused the event without a reason")
	res.Answer = r.EventErrors.Text
	if len(errs) > 0 {
		res.Code, res.Message = code(errs[0].Error), errs[0].ErrorMessage
	}
	return res
}

func code(s string) string {
	if s == "" {
		return "refused"
	}
	return partner.Cut(s, 64)
}

// find is the delivery that a failed line is about: by its order id where that
// is one delivery's alone, else by its number; -1 where neither helps.
func find(l failedLine, sent []event.Delivery, s settings) int {
	at := -1
	for i, d := range sent {
		if l.OrderID != "" && d.Event.Order.ID == l.OrderID {
			if at >= 0 {
				at = -1
				break
			}
			at = i
		}
	}
	if at >= 0 {
		return at
	}
	if i := int(l.ItemNumber) - s.ItemNumberFrom; i >= 0 && i < len(sent) {
		return i
	}
	return -1
}

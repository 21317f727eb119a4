package yahoo

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// Decode sorts an answer, which never says anything of a single event.
func (Adapter) Decode(a partner.Answer, sent []event.Delivery) partner.Receipt {
	s, _ := readSettings(a.Settings)
	r := partner.Sort(a, sent)
	switch {
	case a.Status >= 200 && a.Status < 300 && s.Transport == capi:
		r = decodeTaken(a, s, sent)
	case a.Status == http.StatusForbidden:
		r.Pause = "Yahoo refused our rights (HTTP 403): it must allow-list the pixel for these credentials"
		r.Results = partner.All(sent, event.Retry, "forbidden", r.Pause)
	case a.Status == http.StatusBadRequest && len(sent) > 1:
		r = partner.Receipt{Halve: true, Results: partner.All(sent, event.Retry, "http_400", "Yahoo refused the request as a whole: it is sent again in halves to find the culprit")}
	case a.Status >= 400 && a.Status < 500 && a.Status != http.StatusUnauthorized:
		for i, res := range r.Results {
			if text := message(a.Body); res.Outcome == event.Rejected && text != "" {
				r.Results[i].Message = text
			}
		}
	}
	if r.RequestID == "" {
		r.RequestID = a.Header.Get("X-Request-Id")
	}
	return r
}

func message(body []byte) string {
	var in answer
	if json.Unmarshal(body, &in, jsontext.AllowDuplicateNames(true)) != nil {
		return ""
	}
	return partner.Cut(in.Message, 300)
}

// decodeTaken reads COMPLETE and PARTIAL.
func decodeTaken(a partner.Answer, s settings, sent []event.Delivery) partner.Receipt {
	var in answer
	_ = json.Unmarshal(a.Body, &in, jsontext.AllowDuplicateNames(true))
	switch strings.ToUpper(strings.Trim(string(in.Success), `"`)) {
	case "COMPLETE", "TRUE":
		return partner.Receipt{Results: partner.All(sent, event.Accepted, "", "")}
	case "PARTIAL":
	default:
		return partner.Receipt{Results: partner.All(sent, event.Retry, "unread_answer", "the answer says neither COMPLETE nor PARTIAL; sending again is harmless")}
	}
	text := partner.Cut(in.Message, 300)
	switch {
	case len(sent) == 1:
		return partner.Receipt{Results: partner.All(sent, event.Rejected, "partial", strings.TrimSuffix("Yahoo did not take the event: "+text, ": "))}
	case s.OnPartial == "halve":
		return partner.Receipt{Halve: true, Results: partner.All(sent, event.Retry, "partial", "Yahoo took only some events of the request and does not say which: it is sent again in halves, which the event id makes harmless")}
	}
	return partner.Receipt{Results: partner.All(sent, event.Accepted, "partial",
		strings.TrimSuffix(fmt.Sprintf("Yahoo took only some of the %d events of this request and does not say which: %s", len(sent), text), ": "))}
}

package amazon

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// Decode sorts an answer: item by item where it has the lists.
func (Adapter) Decode(a partner.Answer, sent []event.Delivery) partner.Receipt {
	r := decode(a, sent)
	for _, name := range []string{"X-Amzn-RequestId", "X-Amz-Request-Id", "Amzn-Requestid"} {
		if r.RequestID == "" {
			r.RequestID = a.Header.Get(name)
		}
	}
	return r
}

func decode(a partner.Answer, sent []event.Delivery) partner.Receipt {
	if a.Status >= 200 && a.Status < 300 {
		var body answer
		err := json.Unmarshal(a.Body, &body)
		if a.Status == http.StatusMultiStatus || err == nil && (body.Success != nil || body.Error != nil) {
			if err != nil {
				return partner.Receipt{Results: partner.All(sent, event.Retry, "unread_answer", "the answer could not be read; sending again is harmless")}
			}
			return decodeItems(body, sent)
		}
		return partner.Sort(a, sent)
	}
	if a.Status == http.StatusBadRequest && len(sent) > 1 {
		return partner.Receipt{Halve: true, Results: partner.All(sent, event.Retry, "http_400", "Amazon refused the request as a whole: it is sent again in halves to find the culprit")}
	}
	r := partner.Sort(a, sent)
	var e answerError
	if json.Unmarshal(a.Body, &e) == nil && e.Code != "" {
		for i := range r.Results {
			if r.Results[i].Outcome == event.Rejected {
				r.Results[i].Code, r.Results[i].Message = partner.Cut(e.Code, 64), e.Message
			}
		}
	}
	return r
}

func decodeItems(body answer, sent []event.Delivery) partner.Receipt {
	r := partner.Receipt{Results: partner.All(sent, event.Retry, "unmentioned", "the answer does not say what became of the event; sending again is harmless")}
	for _, s := range body.Success {
		if s.Index != nil && *s.Index >= 0 && *s.Index < len(sent) {
			r.Results[*s.Index] = *partner.Refuse(sent[*s.Index], event.Accepted, "", "")
		}
	}
	for _, item := range body.Error {
		if item.Index == nil || *item.Index < 0 || *item.Index >= len(sent) {
			continue
		}
		d := sent[*item.Index]
		worst := answerError{Code: "INTERNAL_ERROR", Message: "Amazon gave no reason"}
		kind := again
		for i, e := range item.Errors.Value {
			if k := sort(e.Code); i == 0 || k > kind {
				worst, kind = e, k
			}
		}
		message := worst.Message
		if worst.Location != "" {
			message = strings.TrimSpace(worst.Location + ": " + message)
		}
		res := partner.Refuse(d, event.Retry, partner.Cut(worst.Code, 64), message)
		res.Answer = item.Errors.Text
		switch kind {
		case token:
			r.NewToken = true
		case rights:
			r.Pause = "Amazon refused our rights to the account"
		case never:
			res.Outcome = event.Rejected
		}
		r.Results[*item.Index] = *res
	}
	return r
}

// The kinds of an item's error; of several, the last one here counts.
const (
	again = iota
	token
	rights
	never
)

func sort(code string) int {
	switch code {
	case "INTERNAL_ERROR", "CONFLICT", "TOO_MANY_REQUESTS", "BAD_GATEWAY", "GATEWAY_TIMEOUT", "THROTTLED":
		return again
	case "UNAUTHORIZED":
		return token
	case "FORBIDDEN":
		return rights
	}
	if strings.HasPrefix(code, "SERVICE_UNAVAILABLE") || strings.HasPrefix(code, "INTERNAL_SERVER") {
		return again
	}
	return never
}

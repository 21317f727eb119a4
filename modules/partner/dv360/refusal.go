package dv360

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// refusal is how Google's APIs say that they refuse a request as a whole.
type refusal struct {
	Error struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Errors  []struct {
			Reason string `json:"reason"`
		} `json:"errors"`
		Details []refusalDetail `json:"details"`
	} `json:"error"`
}

// refusalDetail is an ErrorInfo, a BadRequest or a RequestInfo, which have no
// member in common.
type refusalDetail struct {
	Reason     string                      `json:"reason"`
	Metadata   map[string]string           `json:"metadata"`
	Violations []partner.Quoted[violation] `json:"fieldViolations"`
	RequestID  string                      `json:"requestId"`
}

type violation struct {
	Field       string `json:"field"`
	Reason      string `json:"reason"`
	Description string `json:"description"`
}

// unmarshal reads what Google answers, whatever it adds one day.
func unmarshal(raw []byte, into any) error {
	return json.Unmarshal(raw, into, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

func readRefusal(body []byte) refusal {
	var r refusal
	if unmarshal(body, &r) != nil {
		return refusal{}
	}
	return r
}

// has reports whether a reason of the refusal is one of some.
func (r refusal) has(reasons ...string) bool {
	for _, want := range reasons {
		for _, e := range r.Error.Errors {
			if e.Reason == want {
				return true
			}
		}
		for _, d := range r.Error.Details {
			if d.Reason == want {
				return true
			}
		}
	}
	return false
}

// code is the most telling name of the refusal, and says what message goes with it.
func (r refusal) code(otherwise string) string {
	for _, d := range r.Error.Details {
		if d.Reason != "" {
			return partner.Cut(d.Reason, 64)
		}
	}
	if r.Error.Status != "" {
		return partner.Cut(r.Error.Status, 64)
	}
	return otherwise
}

// decodeRefusal sorts an answer that is about the request as a whole, as both APIs
// give it.
func decodeRefusal(a partner.Answer, sent []event.Delivery) partner.Receipt {
	g := readRefusal(a.Body)
	r := partner.Sort(a, sent)
	say := func(o event.Outcome, code, message string) {
		r.Results = partner.All(sent, o, code, message)
	}
	switch {
	case a.Status == http.StatusUnauthorized:
		say(event.Retry, g.code("unauthorized"), "Google refused the access token")
	case a.Status == http.StatusForbidden && g.has("rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"):
		r.Pause = ""
		say(event.Retry, "rate_limit", "Google asks for fewer requests (HTTP 403)")
		r.RetryAfter = max(r.RetryAfter, time.Minute)
	case a.Status == http.StatusForbidden:
		r.Pause = "Google refused our rights (HTTP 403)"
		if g.has("ACCESS_TOKEN_SCOPE_INSUFFICIENT") {
			r.Pause = "Google's consent does not cover this API (ACCESS_TOKEN_SCOPE_INSUFFICIENT): connect the account again"
		} else if g.Error.Message != "" {
			r.Pause += ": " + partner.Cut(g.Error.Message, 200)
		}
		say(event.Retry, g.code("forbidden"), r.Pause)
	case a.Status == http.StatusTooManyRequests:
		say(event.Retry, g.code("http_429"), g.Error.Message)
		if wait := dailyQuota(g, a.Now); wait > 0 {
			r.RetryAfter = wait
		}
	case a.Status == http.StatusBadRequest && len(sent) > 1:
		r.Halve = true
		say(event.Retry, g.code("http_400"), "Google refused the request as a whole: it is sent again in halves to find the culprit")
	case a.Status >= 400 && a.Status < 500 && len(r.Results) > 0 && r.Results[0].Outcome == event.Rejected:
		say(event.Rejected, g.code(r.Results[0].Code), g.Error.Message)
		if a.Status == http.StatusNotFound && g.Error.Message == "" {
			say(event.Rejected, "http_404", "Google knows no such address: check the route's profile_id")
		}
	}
	for _, d := range g.Error.Details {
		if d.RequestID != "" {
			r.RequestID = d.RequestID
		}
	}
	return r
}

// dailyQuota is the time until a quota of a day is full again, at midnight of
// Google's Pacific time; 0 where the refusal is about another quota.
func dailyQuota(g refusal, now time.Time) time.Duration {
	for _, d := range g.Error.Details {
		if strings.HasSuffix(d.Metadata["quota_limit"], "PerDayPerProject") {
			// Eight hours behind UTC in winter: an hour late in summer.
			pacific := now.UTC().Add(-8 * time.Hour)
			return pacific.Truncate(day).Add(day).Sub(pacific)
		}
	}
	return 0
}

package partner

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// Sort is the receipt for an answer that says nothing of single events, by the
// rules that all partners share: 2xx accepts, 429 and 5xx retry, 401 and 403
// are about credentials, 413 halves, and the rest is permanent.
func Sort(a Answer, sent []event.Delivery) Receipt {
	r := Receipt{RetryAfter: RetryAfter(a)}
	switch s := a.Status; {
	case s >= 200 && s < 300:
		r.Results = All(sent, event.Accepted, "", "")
	case s == http.StatusUnauthorized:
		r.NewToken = true
		r.Results = All(sent, event.Retry, "unauthorized", "the access token was refused")
	case s == http.StatusForbidden:
		r.Pause = "the partner refused our credentials or rights (HTTP 403)"
		r.Results = All(sent, event.Retry, "forbidden", r.Pause)
	case s == http.StatusRequestEntityTooLarge && len(sent) > 1:
		r.Halve = true
		r.Results = All(sent, event.Retry, "too_large", "the request was too large and is sent again in halves")
	case s == http.StatusRequestTimeout || s == http.StatusTooManyRequests || s >= 500:
		r.Results = All(sent, event.Retry, "http_"+strconv.Itoa(s), http.StatusText(s))
	default:
		r.Results = All(sent, event.Rejected, "http_"+strconv.Itoa(s), http.StatusText(s))
	}
	return r
}

// Quoted is a part of an answer, read, and as it came.
type Quoted[T any] struct {
	Value T
	Text  string
}

// UnmarshalJSONFrom reads both, whatever is added to an answer one day.
func (q *Quoted[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	raw, err := d.ReadValue()
	if err != nil {
		return err
	}
	// The white space is the partner's own, and nobody's need.
	if c := raw.Clone(); c.Compact() == nil {
		raw = c
	}
	q.Text = Cut(strings.ToValidUTF8(string(raw), "?"), maxQuote)
	return json.Unmarshal(raw, &q.Value, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// maxQuote is how much is kept of what a partner says of one event.
const maxQuote = 2 << 10

// All gives every delivery the same result.
func All(sent []event.Delivery, o event.Outcome, code, message string) []Result {
	out := make([]Result, len(sent))
	for i, d := range sent {
		out[i] = Result{EventID: d.Event.ID, Outcome: o, Code: code, Message: message}
	}
	return out
}

// RetryAfter reads the header of that name, in seconds or as a date; 0 if there
// is none. More than a day is taken as a day.
func RetryAfter(a Answer) time.Duration {
	v := a.Header.Get("Retry-After")
	if v == "" {
		return 0
	}
	d := time.Duration(0)
	if s, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(s, 0), 86400)) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(a.Now)
	}
	return min(max(d, 0), 24*time.Hour)
}

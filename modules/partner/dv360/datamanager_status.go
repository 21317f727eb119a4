package dv360

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// retryReason is how long events of a request whose status names a passing fault
// wait before they are sent again.
const retryReason = time.Hour

// Hear sorts what Google tells later of a request. It counts failures by their
// reasons and never names an event, so that where only some failed nobody can say
// which.
func (Adapter) Hear(a partner.Answer, sent []event.Delivery) partner.Receipt {
	s, _ := readSettings(a.Settings)
	waiting := func() partner.Receipt {
		return partner.Receipt{
			AskAfter: max(s.askAfter(), partner.RetryAfter(a)),
			Results:  partner.All(sent, event.Accepted, "accepted_unverified", "queued by Google, which is still at work"),
		}
	}
	switch {
	case a.Status == http.StatusUnauthorized:
		r := waiting()
		r.NewToken = true
		return r
	case a.Status == http.StatusForbidden, a.Status == http.StatusTooManyRequests, a.Status >= 500, a.Status == http.StatusRequestTimeout, a.Status < 200:
		return waiting()
	case a.Status >= 300:
		return partner.Receipt{Results: partner.All(sent, event.Accepted, "status_unknown", "queued by Google, which does not tell what became of it (HTTP "+strconv.Itoa(a.Status)+")")}
	}
	var body statusAnswer
	if unmarshal(a.Body, &body) != nil || len(body.Destinations) == 0 {
		return waiting()
	}
	status := "SUCCESS"
	var counts []reasonCount
	for _, d := range body.Destinations {
		switch d.Status {
		case "SUCCESS":
		case "FAILED", "PARTIAL_SUCCESS":
			status = d.Status
			counts = append(counts, d.Errors.Counts...)
		default: // PROCESSING, and what is not known yet
			return waiting()
		}
	}
	if status == "SUCCESS" {
		return partner.Receipt{Results: partner.All(sent, event.Accepted, "", "")}
	}
	return judge(status, tally(counts), sent)
}

// reasons are the failures of a request, by what is to be done about them.
type reasons struct {
	final, passing, harmless int    // how many events
	code                     string // the only reason, or "partly_refused"
	text                     string
}

func tally(counts []reasonCount) reasons {
	var r reasons
	var parts []string
	for _, c := range counts {
		name := strings.TrimPrefix(c.Reason, "PROCESSING_ERROR_REASON_")
		n, err := strconv.Atoi(strings.Trim(string(c.Count), `"`))
		if err != nil || n < 1 {
			n = 1
		}
		switch name {
		case "DUPLICATE_TRANSACTION_ID":
			// The event is there already, which is all that we want.
			r.harmless += n
			continue
		case "INTERNAL_ERROR", "TOO_RECENT_CLICK":
			r.passing += n
		default:
			r.final += n
		}
		if r.code = partner.Cut(name, 64); len(parts) > 0 {
			r.code = "partly_refused"
		}
		parts = append(parts, partner.Cut(name, 64)+" "+strconv.Itoa(n))
	}
	r.text = strings.Join(parts, ", ")
	return r
}

// judge makes the best of counts that name no event.
func judge(status string, r reasons, sent []event.Delivery) partner.Receipt {
	all := func(o event.Outcome, code, message string) partner.Receipt {
		return partner.Receipt{Results: partner.All(sent, o, code, message)}
	}
	n := len(sent)
	switch {
	case r.final+r.passing+r.harmless == 0 && status == "FAILED":
		return all(event.Rejected, "FAILED", "Google could not use the events and gave no reason")
	case r.passing > 0:
		// To send all again is harmless: what was taken is known by its transaction id.
		out := all(event.Retry, r.code, fmt.Sprintf("Google could not use %d of the %d events of this request: %s. It does not say which, so that all are sent again", r.final+r.passing, n, r.text))
		for i := range out.Results {
			out.Results[i].After = retryReason
		}
		return out
	case r.final >= n || r.final > 0 && status == "FAILED":
		return all(event.Rejected, r.code, "Google could not use the event: "+r.text)
	case r.final > 0 || r.harmless == 0:
		return all(event.Accepted, "partly_refused", fmt.Sprintf("Google could not use %d of the %d events of this request, and does not say which: %s", max(r.final, 1), n, cmp.Or(r.text, "no reason given")))
	}
	return all(event.Accepted, "DUPLICATE_TRANSACTION_ID", "Google had some of these events already")
}

package dispatcher

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/codes"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

// attempt is one go at a batch: its checks, its requests, and what came of it.
type attempt struct {
	lane     *lane
	account  delivery.Account
	partner  settings.Partner
	age      time.Duration // of the oldest event that the partner takes
	keep     time.Duration // of the records
	deadline time.Time     // no request is begun after it

	untried []*job            // go back as they came
	later   []*job            // another message of the same event is under way
	settled []*job            // have a result
	last    delivery.Exchange // for the log
	wait    time.Duration     // the partner's wish
}

// send takes a batch through the checks and requests, and settles it.
func (l *lane) send(b *batch) {
	account, p, err := l.account()
	if err != nil || p.Mode == settings.Hold {
		l.release(b)
		return
	}
	now := time.Now()
	a := &attempt{lane: l, account: account, partner: p, deadline: l.beginBefore(b)}
	a.age = partner.AgeLimit(l.adapter, account.Batch(now))
	a.keep = l.keepRecords(a.age)

	ctx, span, traces := l.traced(b)
	defer func() { traces.end(span, b) }()
	// A request that outlives the lease would meet a second one of the same
	// message, so it is cut before, with time left to write what became of it.
	ctx, cancel := context.WithDeadline(ctx, b.pulled.Add(l.lease()*5/6))
	defer cancel()

	jobs, err := a.check(ctx, b.jobs, now)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		l.log.Warn("deliveries cannot be checked; they wait in their queue", "events", len(b.jobs), "error", err)
		l.release(b)
		l.rest(time.Second)
		return
	}
	if len(jobs) > 0 {
		l.flying(len(jobs))
		a.request(ctx, jobs, false)
		l.flying(-len(jobs))
	}
	a.settle()
}

// check takes out what is not to be sent, and returns the rest.
func (a *attempt) check(ctx context.Context, jobs []*job, now time.Time) ([]*job, error) {
	if err := a.lane.claim(ctx, jobs, now, a.keep); err != nil {
		return nil, err
	}
	left := make([]*job, 0, len(jobs))
	for _, j := range jobs {
		switch {
		case j.record.State == done:
			a.settled = append(a.settled, j)
		case !j.mayTry(now):
			a.later = append(a.later, j)
		case a.partner.Mode == settings.Off:
			j.decide(event.NotSent, routes.CodeOff, routes.MessageOff)
			a.settled = append(a.settled, j)
		case a.age > 0 && now.Sub(happened(j.delivery.Event)) > a.age:
			j.decide(event.Rejected, "too_old", fmt.Sprintf("the event is older than the %s that %s takes", a.age, a.lane.spec.Title))
			a.settled = append(a.settled, j)
		default:
			left = append(left, j)
		}
	}
	permitted, err := a.permit(ctx, left, now)
	if err != nil {
		return nil, err
	}
	return permitted, nil
}

// happened is the event's time, or its receipt where it has none.
func happened(e event.Event) time.Time {
	if e.Time.IsZero() {
		return e.ReceivedAt
	}
	return e.Time
}

// request sends jobs in one request, then in halves or once more where the answer
// asks for it, and leaves each job with a result or among the untried.
func (a *attempt) request(ctx context.Context, jobs []*job, again bool) {
	if time.Now().After(a.deadline) {
		a.untried = append(a.untried, jobs...)
		return
	}
	x, out := a.lane.client.send(ctx, a.account, deliveries(jobs))
	if !out {
		a.untried = append(a.untried, jobs...)
		a.lane.rest(look)
		return
	}
	a.last = x
	r := x.Receipt
	if r.Halve && len(jobs) > 1 {
		a.lane.note(x, len(jobs), 0, 0)
		half := len(jobs) / 2
		a.request(ctx, jobs[:half], again)
		a.request(ctx, jobs[half:], again)
		return
	}
	by := make(map[string]partner.Result, len(r.Results))
	for _, res := range r.Results {
		by[res.EventID] = res
	}
	var twice []*job
	accepted, failed := 0, 0
	for _, j := range jobs {
		j.result = by[j.delivery.Event.ID]
		if x.Sent() && !x.Refused[j.delivery.Event.ID] {
			j.exchange = &x
		}
		switch j.result.Outcome {
		case event.Accepted:
			accepted++
		case event.NotSent:
		case event.Rejected:
			failed++
		default:
			failed++
			j.result.Outcome = event.Retry
			if r.Halve {
				// Alone and still too large.
				j.result.Outcome = event.Rejected
			}
			if r.Alone && !again {
				twice = append(twice, j)
				continue
			}
		}
		a.settled = append(a.settled, j)
	}
	a.lane.note(x, len(jobs), accepted, failed)
	a.heed(x)
	if len(twice) > 0 {
		a.request(ctx, twice, true)
	}
}

// heed does to the lane what the answer asks for.
func (a *attempt) heed(x delivery.Exchange) {
	now := time.Now()
	switch {
	case x.Receipt.Pause != "":
		a.lane.pause(x.Receipt.Pause, a.partner.Revision, now)
	case x.Status == http.StatusTooManyRequests || x.Status == http.StatusServiceUnavailable && x.Receipt.RetryAfter > 0:
		a.lane.throttle(x.Receipt.RetryAfter, now)
	case x.Status >= 200 && x.Status < 300:
		a.lane.unpause()
	default:
		a.lane.postpone(now)
	}
	a.wait = max(a.wait, x.Receipt.RetryAfter)
}

// note keeps an answer for people and for the metrics.
func (l *lane) note(x delivery.Exchange, events, accepted, failed int) {
	if !x.Sent() {
		return
	}
	l.metrics.latency.WithLabelValues(l.name).Observe(x.Latency.Seconds())
	l.answered(lanestatus.Answer{At: x.At.UTC(), Status: x.Status, Events: events, Latency: x.Latency, Note: trouble(x.Receipt)}, accepted, failed)
}

// trouble is what went wrong in a receipt, "" if nothing did.
func trouble(r partner.Receipt) string {
	if r.Pause != "" {
		return r.Pause
	}
	for _, res := range r.Results {
		if res.Outcome == event.Retry || res.Outcome == event.Rejected {
			if res.Code == "" {
				return res.Message
			}
			return res.Code
		}
	}
	return ""
}

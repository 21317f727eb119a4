package dispatcher

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/exemplar"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

// attempt is one go at a batch: its checks, its requests, and what came of it.
type attempt struct {
	lane     *lane
	seat     *seat
	account  delivery.Account
	partner  settings.Partner
	age      time.Duration // of the oldest event that the partner takes
	keep     time.Duration // of the records
	pulled   time.Time     // when the lease began
	deadline time.Time     // no request is begun after it
	discard  bool          // what waits for the partner is too much, and this the oldest of it
	resends  bool          // what may have been counted is sent again

	untried []*job            // go back as they came
	later   []*job            // another message of the same event is under way
	parked  []*job            // wait by a route that is on hold, or for a decision upon a field
	told    map[string][]*job // by the request whose outcome is to be asked for
	settled []*job            // have a result
	last    delivery.Exchange // for the log
	wait    time.Duration     // the partner's wish
	span    trace.SpanContext // of the batch, for the log
}

// send takes a batch through the checks and requests, and settles it. It reports
// whether the time that it took says something of the partner.
func (l *lane) send(b *batch) bool {
	account, p, err := b.seat.credentials()
	if err != nil {
		l.release(b)
		return false
	}
	now := time.Now()
	a := &attempt{lane: l, seat: b.seat, account: account, partner: p, pulled: b.pulled, deadline: l.beginBefore(b), discard: b.discard}
	a.age = partner.AgeLimit(l.adapter, account.Batch(now))
	a.keep = l.keepRecords(a.age)
	a.resends = partner.ResendsUnknown(l.adapter, p.Settings)

	ctx, span, traces := l.traced(b)
	defer func() { traces.end(span, b) }()
	a.span = span.SpanContext()
	// A request that outlives the lease would meet a second one of the same
	// message, so it is cut before, with time left to write what became of it.
	ctx, cancel := context.WithDeadline(ctx, b.pulled.Add(l.lease()*5/6))
	defer cancel()

	jobs, err := a.check(ctx, b.jobs, now)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		l.log.WarnContext(ctx, "deliveries cannot be checked; they wait in their queue", "events", len(b.jobs), "error", err)
		l.release(b)
		l.rest(time.Second)
		return false
	}
	if len(jobs) > 0 {
		b.seat.inFlight(len(jobs))
		a.request(ctx, jobs, 0)
		b.seat.inFlight(-len(jobs))
	}
	for id, jobs := range a.told {
		a.ask(ctx, id, jobs)
	}
	a.settle()
	return a.last.Sent()
}

// happened is the event's time, or its receipt where it has none.
func happened(e event.Event) time.Time {
	if e.Time.IsZero() {
		return e.ReceivedAt
	}
	return e.Time
}

// The kinds of request that follow from another.
const (
	follows = 1 << iota // it was not let go by the pace on its own
	again               // what is unsure was sent once more already
)

// request sends jobs in one request, then in halves or once more where the answer
// asks for it, and leaves each job with a result or among the untried.
func (a *attempt) request(ctx context.Context, jobs []*job, kind int) {
	if time.Now().After(a.deadline) {
		a.untried = append(a.untried, jobs...)
		return
	}
	if kind&follows != 0 {
		a.seat.pace.also(time.Now())
	}
	l := &lastCheck{attempt: a, jobs: slices.Clone(jobs)}
	x, out := a.seat.request(ctx, a.account, deliveries(jobs), l.ask)
	jobs = l.jobs
	if l.err != nil {
		a.lane.log.Warn("deliveries cannot be checked again; they wait in their queue", "events", len(jobs), "error", l.err)
		out = false
	}
	if !out {
		a.untried = append(a.untried, jobs...)
		return
	}
	if len(jobs) == 0 {
		return
	}
	a.last = x
	a.seat.pace.sent(time.Now(), len(x.RequestBody))
	r := x.Receipt
	if r.Halve && len(jobs) > 1 {
		a.note(ctx, x, len(jobs), 0, 0)
		half := len(jobs) / 2
		a.request(ctx, jobs[:half], kind|follows)
		a.request(ctx, jobs[half:], kind|follows)
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
			j.exchange, j.alone = &x, len(jobs) == 1
			if x.Unsure {
				a.unknown(j)
			}
		}
		switch j.result.Outcome {
		case event.Accepted:
			accepted++
			if r.AskAfter > 0 {
				j.result.Outcome, j.result.After = event.Unverified, r.AskAfter
				j.result.Message = "accepted, unverified: " + a.lane.spec.Title + " tells later what became of it"
			}
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
			if r.Alone && kind&again == 0 {
				twice = append(twice, j)
				continue
			}
		}
		a.settled = append(a.settled, j)
	}
	a.note(ctx, x, len(jobs), accepted, failed)
	a.heed(x)
	if len(twice) > 0 {
		a.request(ctx, twice, kind|follows|again)
	}
}

// throttled reports whether an answer asks for peace, which is nobody's failure.
func throttled(x delivery.Exchange) bool {
	return x.Status == http.StatusTooManyRequests || x.Status == http.StatusServiceUnavailable && x.Receipt.RetryAfter > 0
}

// heed does to the seat what the answer asks for.
func (a *attempt) heed(x delivery.Exchange) {
	now := time.Now()
	switch {
	case x.Receipt.Pause != "":
		a.seat.pause(x.Receipt.Pause, a.partner.Revision, now)
	case throttled(x):
		a.seat.throttle(x.Receipt.RetryAfter, now)
	case x.Status >= 200 && x.Status < 300:
		a.seat.unpause()
	default:
		a.seat.postpone(now)
	}
	a.wait = max(a.wait, x.Receipt.RetryAfter)
}

// note keeps an answer for people and for the metrics.
func (a *attempt) note(ctx context.Context, x delivery.Exchange, events, accepted, failed int) {
	if !x.Sent() {
		return
	}
	exemplar.Observe(ctx, a.lane.metrics.latency.WithLabelValues(a.lane.name), x.Latency.Seconds())
	a.seat.answered(lanestatus.Answer{At: x.At.UTC(), Status: x.Status, Events: events, Latency: x.Latency, Note: trouble(x.Receipt)}, accepted, failed)
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

// maxAsking is for how long it is asked what became of a request.
const maxAsking = 24 * time.Hour

// ask asks what became of a request that the partner only queued, and settles those
// of its events whose fate is known. The rest stay as they are, for a later time.
func (a *attempt) ask(ctx context.Context, requestID string, jobs []*job) {
	a.seat.pace.also(time.Now())
	x, out := a.seat.ask(ctx, a.account, requestID, deliveries(jobs))
	by := map[string]partner.Result{}
	if out {
		a.last = x
		a.note(ctx, x, len(jobs), 0, 0)
		a.heed(x)
		for _, res := range x.Receipt.Results {
			by[res.EventID] = res
		}
	}
	known := out && x.Status >= 200 && x.Status < 300 && x.Receipt.AskAfter == 0
	for _, j := range jobs {
		switch res, named := by[j.delivery.Event.ID]; {
		case known && named:
			j.result, j.exchange, j.asked = res, &x, true
			if res.Outcome == event.Accepted && res.Message == "" {
				j.result.Message = "verified: " + a.lane.spec.Title + " has processed it"
			}
		case time.Since(j.record.Told) > maxAsking:
			j.decide(event.Accepted, "unverified", fmt.Sprintf("accepted; %s did not tell within %s what became of it", a.lane.spec.Title, maxAsking))
		default:
			j.result = partner.Result{EventID: j.delivery.Event.ID, Outcome: event.Unverified, After: max(cmp.Or(x.Receipt.AskAfter, time.Minute), x.Receipt.RetryAfter)}
		}
		a.settled = append(a.settled, j)
	}
}

package dispatcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/state"
)

const (
	// maxAnswer is how much of an answer the sync log keeps.
	maxAnswer = 2 << 10
	// relog is when a delivery whose line could not be written comes back for it.
	relog = 30 * time.Second
)

// verdict is what is done to a message in the queue.
type verdict struct {
	ack    map[string][]*job // by what the ledger calls it
	retry  map[time.Time][]string
	bury   map[string][]*job // by reason
	copies []*job            // in whose place a copy goes, since the queue would not give them again
}

// settle writes what became of a batch: first the sync log, then the records,
// and last the queue, so that a crash in between repeats the harmless part.
func (a *attempt) settle() {
	l, now := a.lane, time.Now()
	ctx, cancel := l.settling()
	defer cancel()

	var syncs []event.Sync
	v := verdict{ack: map[string][]*job{}, retry: map[time.Time][]string{}, bury: map[string][]*job{}}
	counts := map[event.Outcome]int{}
	type written struct {
		job    *job
		record record
	}
	var records []written

	for _, j := range a.later {
		v.putOff(a, j, j.again(now))
	}
	for _, j := range a.settled {
		if j.record.State == done {
			if j.record.Unlogged {
				syncs = append(syncs, j.unlogged(l.name, now))
				r := j.record
				r.Unlogged = false
				records = append(records, written{j, r})
			}
			v.end(ledger.Duplicate, j)
			counts["repeat"]++
			continue
		}
		if a.halted(j) {
			a.untried = append(a.untried, j)
			if j.exchange != nil {
				syncs = append(syncs, j.sync(l.name, now))
			}
			continue
		}
		r := record{State: done, Attempts: j.attempts()}
		at, again := a.next(j, now)
		s := j.sync(l.name, now)
		switch s.Outcome = j.result.Outcome; {
		case again:
			r.State, r.NotBefore = free, at
			v.putOff(a, j, at)
		case j.result.Outcome == event.Accepted:
			v.end(ledger.Delivered, j)
		case j.result.Outcome == event.NotSent:
			v.end(ledger.NotSentFor(j.result.Code), j)
		default:
			r.State = free // so that a replay sends it again
			reason := cause(j)
			v.bury[reason] = append(v.bury[reason], j)
		}
		s.Code, s.Message = j.result.Code, j.result.Message
		counts[j.result.Outcome]++
		syncs = append(syncs, s)
		records = append(records, written{j, r})
	}

	logged := l.write(ctx, syncs)
	var entries []state.Entry
	sent := map[string]record{}
	for _, w := range records {
		if !logged && w.job.result.Outcome == event.Accepted {
			w.record.Unlogged = true
		} else if !logged && w.record.State == done {
			w.record.State = free
		}
		e, err := l.entry(w.job, w.record, a.keep)
		if err != nil {
			l.log.Error("a record cannot be encoded", "error", err)
			continue
		}
		entries = append(entries, e)
		if w.record.State == done {
			sent[e.Key] = w.record
		}
	}
	if err := l.remember(ctx, entries); err != nil {
		// If the queue is away too, the messages come back though they were sent.
		l.owed.keep(sent)
		l.log.Warn("what was sent could not be remembered by all", "events", len(entries), "error", err)
	}
	if !logged {
		v.comeBack(a, now.Add(relog))
	}
	l.apply(ctx, v)
	l.release(&batch{jobs: a.untried})
	a.report(counts)
}

// halted reports whether the job goes back as it came: nothing can be sent until
// a person acts, or the lane stops.
func (a *attempt) halted(j *job) bool {
	if j.result.Outcome != event.Retry {
		return false
	}
	return j.exchange != nil && j.exchange.Receipt.Pause != "" || j.exchange == nil && a.last.Receipt.Pause != "" || j.result.Code == "stopped"
}

// attempts counts the requests that the event was in, this time included.
func (j *job) attempts() int {
	if j.exchange == nil {
		return j.record.Attempts
	}
	return j.record.Attempts + 1
}

// next is when a job is to be tried again; if not, its result says why.
func (a *attempt) next(j *job, now time.Time) (at time.Time, again bool) {
	if j.result.Outcome != event.Retry {
		return now, false
	}
	n := max(j.attempts(), j.message.Deliveries)
	if j.exchange != nil {
		n = j.attempts()
	}
	at = now.Add(max(delay(a.lane.config.Retry, n), a.wait, j.result.After)).Truncate(time.Millisecond)
	why := ""
	switch {
	case n >= max(a.lane.config.Retry.Attempts, 1):
		why = fmt.Sprintf("gave up after %d attempts", n)
	case a.age > 0 && at.Sub(happened(j.delivery.Event)) > a.age:
		why = fmt.Sprintf("gave up: it would be older than the %s that %s takes", a.age, a.lane.spec.Title)
	default:
		return at, true
	}
	j.result.Outcome = event.Rejected
	j.result.Message = strings.TrimSuffix(why+": "+j.result.Message, ": ")
	return at, false
}

// sync is the job's line in the sync log.
func (j *job) sync(name string, now time.Time) event.Sync {
	e := j.delivery.Event
	s := event.Sync{
		EventID: e.ID, PixelID: e.PixelID, Partner: name, At: now.UTC(), OrderID: e.Order.ID,
		Outcome: j.result.Outcome, Code: j.result.Code, Message: j.result.Message,
	}
	if x := j.exchange; x != nil {
		s.Attempt = j.attempts()
		s.Status, s.Latency, s.RequestID, s.Payload = x.Status, x.Latency, x.Receipt.RequestID, x.Payload
		s.Answer = head(x.Answer)
	}
	return s
}

// unlogged is the line for a delivery whose own could not be written in time.
func (j *job) unlogged(name string, now time.Time) event.Sync {
	e := j.delivery.Event
	return event.Sync{
		EventID: e.ID, PixelID: e.PixelID, Partner: name, At: now.UTC(), OrderID: e.Order.ID, Attempt: j.record.Attempts,
		Outcome: event.Accepted, Code: "logged_late", Message: "accepted; the answer was lost because the sync log could not be written",
	}
}

// head is the beginning of an answer, as text.
func head(answer []byte) string {
	return partner.Cut(strings.ToValidUTF8(string(answer[:min(len(answer), 2*maxAnswer)]), "?"), maxAnswer)
}

// cause is why a delivery is among the dead letters.
func cause(j *job) string {
	if j.result.Code == "" {
		return j.result.Message
	}
	return j.result.Code + ": " + j.result.Message
}

// write stores the lines, and tries again for a moment if it must.
func (l *lane) write(ctx context.Context, syncs []event.Sync) bool {
	if len(syncs) == 0 {
		return true
	}
	err := insist(ctx, func() error { return l.writer.WriteSyncs(ctx, syncs...) })
	if err == nil {
		return true
	}
	l.log.Error("the sync log cannot be written; the deliveries come back for it", "events", len(syncs), "error", err)
	return false
}

func (v *verdict) end(outcome string, j *job) { v.ack[outcome] = append(v.ack[outcome], j) }

// putOff has a message come again at a time. The queue gives a message only so
// often; after that a copy takes its place, and the record keeps the time.
func (v *verdict) putOff(a *attempt, j *job, at time.Time) {
	if m := a.lane.limits.MaxDeliveries; m > 0 && j.message.Deliveries >= m {
		v.copies = append(v.copies, j)
		return
	}
	v.retry[at] = append(v.retry[at], j.message.ID)
}

// comeBack turns every end into a retry.
func (v *verdict) comeBack(a *attempt, at time.Time) {
	for _, ended := range []map[string][]*job{v.ack, v.bury} {
		for _, jobs := range ended {
			for _, j := range jobs {
				v.putOff(a, j, at)
			}
		}
	}
	v.ack, v.bury = nil, nil
}

// ends are what the queue forgets, by account and by what the ledger calls it.
func (v *verdict) ends() []queue.End {
	type key struct {
		account queue.Account
		outcome string
	}
	by := map[key][]string{}
	add := func(outcome string, jobs []*job) {
		for _, j := range jobs {
			k := key{j.message.Account, outcome}
			by[k] = append(by[k], j.message.ID)
		}
	}
	for outcome, jobs := range v.ack {
		add(outcome, jobs)
	}
	add(ledger.Moved, v.copies)
	ends := make([]queue.End, 0, len(by))
	for k, ids := range by {
		ends = append(ends, queue.End{Account: k.account, Outcome: k.outcome, IDs: ids})
	}
	return ends
}

// apply tells the queue. What fails comes back when its lease ends.
func (l *lane) apply(ctx context.Context, v verdict) {
	name := queue.Partner(l.name)
	failed := func(what string, err error) {
		if err != nil {
			l.log.Warn("the queue did not take what became of a delivery", "operation", what, "error", err)
		}
	}
	if len(v.copies) > 0 {
		copies := make([]queue.Item, len(v.copies))
		for i, j := range v.copies {
			copies[i] = queue.Item{Queue: name, Body: j.message.Body, Account: j.message.Account}
		}
		if err := l.queue.Push(ctx, copies...); err != nil {
			failed("push", err)
			return
		}
	}
	if ends := v.ends(); len(ends) > 0 {
		failed("settle", l.queue.Settle(ctx, name, ends...))
	}
	for at, ids := range v.retry {
		if len(ids) > 0 {
			failed("retry", l.queue.Retry(ctx, name, at, ids...))
		}
	}
	for reason, jobs := range v.bury {
		failed("bury", l.queue.Bury(ctx, name, reason, messageIDs(jobs)...))
	}
}

// report is the one line and the figures of a batch.
func (a *attempt) report(counts map[event.Outcome]int) {
	l, total := a.lane, 0
	for _, o := range [...]event.Outcome{event.Accepted, event.Retry, event.Rejected, event.NotSent, "repeat"} {
		total += counts[o]
		if counts[o] > 0 {
			l.metrics.deliveries.WithLabelValues(l.name, string(o)).Add(float64(counts[o]))
		}
	}
	x := a.last
	l.log.Info("delivery batch", "events", total+len(a.untried)+len(a.later),
		"accepted", counts[event.Accepted], "retry", counts[event.Retry], "rejected", counts[event.Rejected],
		"not_sent", counts[event.NotSent], "repeat", counts["repeat"], "untried", len(a.untried), "later", len(a.later),
		"status", x.Status, "latency_ms", x.Latency.Milliseconds(), "request_id", x.Receipt.RequestID, "trouble", trouble(x.Receipt))
}

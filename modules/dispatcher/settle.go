package dispatcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/state"
)

// relog is when a delivery whose line could not be written comes back for it.
const relog = 30 * time.Second

// logging is for how long a batch's lines may take: a log that hangs must leave
// time for the records, without which the deliveries would be sent again.
const logging = 3 * time.Second

// written is a job's record as it shall be.
type written struct {
	job    *job
	record record
}

// settle writes what became of a batch: first the sync log, then the records,
// and last the queue, so that a crash in between repeats the harmless part. Only what
// nobody knows the outcome of is first among the dead letters and then free to be
// replayed: if it is not buried it comes back, and must not be sent again.
func (a *attempt) settle() {
	l, now := a.lane, time.Now()

	var syncs []event.Sync
	v := newVerdict()
	counts := map[event.Outcome]int{}
	var records, unknown []written

	if len(a.parked) > 0 {
		a.park(v, now)
		for _, j := range v.park {
			records = append(records, written{j, a.freed(j)})
		}
	}
	for _, j := range a.later {
		v.putOff(l, j, j.again(now))
	}
	for _, j := range a.settled {
		if j.record.State == done {
			if j.record.Unlogged {
				syncs = append(syncs, j.unlogged(l.name, now))
				r := j.record
				r.Unlogged = false
				records = append(records, written{j, r})
			}
			v.end(j.record.again(j.message.ID), j)
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
		r, line := a.finish(v, j, now)
		counts[j.result.Outcome]++
		if line {
			syncs = append(syncs, j.sync(l.name, now))
		}
		if j.result.Code == codeUnknown {
			unknown = append(unknown, written{j, r})
		} else {
			records = append(records, written{j, r})
		}
	}

	for _, j := range a.untried {
		if j.marked {
			records = append(records, written{j, a.freed(j)})
		}
	}

	logged := l.write(syncs)
	ctx, cancel := l.settling()
	defer cancel()
	l.keepRecordsOf(ctx, records, logged, a)
	if !logged {
		v.comeBack(l, now.Add(relog))
	}
	if l.apply(ctx, v, a.pulled) && logged {
		l.keepRecordsOf(ctx, unknown, logged, a)
	}
	l.release(&batch{jobs: a.untried, pulled: a.pulled})
	a.report(trace.ContextWithSpanContext(ctx, a.span), counts)
}

// finish decides what becomes of a job's message and record by its result, and
// whether there is something to tell in the sync log.
func (a *attempt) finish(v *verdict, j *job, now time.Time) (r record, line bool) {
	l := a.lane
	r = record{State: done, Attempts: j.attempts(), Excused: j.excused()}
	if at, again := a.next(j, now); again {
		r.State, r.NotBefore = free, at
		v.putOff(l, j, at)
		return r, true
	}
	end := func(outcome string) {
		r.Holder, r.End = j.message.ID, outcome
		v.end(outcome, j)
	}
	switch j.result.Outcome {
	case event.Accepted:
		end(ledger.Delivered)
	case event.NotSent:
		end(ledger.NotSentFor(j.result.Code))
	case event.Dry:
		end(ledger.NotSentFor("dry_run"))
	case event.Unverified:
		r.State, r.NotBefore = told, now.Add(max(j.result.After, time.Second)).Truncate(time.Millisecond)
		v.putOff(l, j, r.NotBefore)
		if j.record.State == told {
			r.Request, r.Told = j.record.Request, j.record.Told
			return r, false // nothing new
		}
		r.Request, r.Told = j.exchange.Receipt.RequestID, now
	default:
		// So that a replay sends it again, with as many tries as the first time.
		r.State, r.Excused = free, r.Attempts
		v.bury(cause(j), j)
	}
	return r, true
}

// freed is the record of a job that was not tried: as it was.
func (a *attempt) freed(j *job) record {
	r := j.record
	r.State, r.Holder, r.Until = free, "", time.Time{}
	return r
}

// keepRecordsOf writes the records. What was taken and could not be logged is
// marked, what was decided and could not be logged is decided again. That an event is
// free is written only where the record is still this attempt's, and not once the lease
// is over: another that holds it since may have sent it.
func (l *lane) keepRecordsOf(ctx context.Context, records []written, logged bool, a *attempt) {
	lapsed := l.lapsed(a.pulled)
	var entries []state.Entry
	var freed []*job
	var changes []state.Change
	sent := map[string]record{}
	for _, w := range records {
		if !logged && (w.job.result.Outcome == event.Accepted || w.record.State == told) {
			w.record.Unlogged = w.record.State == done
		} else if !logged && w.record.State == done {
			w.record.State = free
		}
		if lapsed && w.record.State == free {
			continue
		}
		e, err := l.entry(w.job, w.record, a.keep)
		if err != nil {
			l.log.Error("a record cannot be encoded", "error", err)
			continue
		}
		if w.record.State == free {
			freed, changes = append(freed, w.job), append(changes, state.Change{Old: w.job.stood, Entry: e})
			continue
		}
		entries = append(entries, e)
		sent[e.Key] = w.record
	}
	if err := l.remember(ctx, entries); err != nil {
		// If the queue is away too, the messages come back though they were sent.
		l.owed.keep(sent)
		l.log.Warn("what was sent could not be remembered by all", "events", len(entries), "error", err)
	}
	if len(changes) == 0 {
		return
	}
	if err := insist(ctx, func() error { _, err := l.swap(ctx, freed, changes); return err }); err != nil {
		l.log.Warn("what is to be sent again could not be remembered", "events", len(changes), "error", err)
	}
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
	if j.exchange == nil && !j.lost {
		return j.record.Attempts
	}
	return j.record.Attempts + 1
}

// excused counts those of them that do not count towards giving up.
func (j *job) excused() int {
	if j.exchange != nil && (throttled(*j.exchange) || j.asked) {
		return j.record.Excused + 1
	}
	return j.record.Excused
}

// next is when a job is to be tried again; if not, its result says why.
func (a *attempt) next(j *job, now time.Time) (at time.Time, again bool) {
	if j.result.Outcome != event.Retry {
		return now, false
	}
	n := max(j.attempts()-j.excused(), 1)
	early := j.exchange == nil && j.result.After > 0
	if j.exchange == nil && !early {
		n = max(n, j.message.Deliveries)
	}
	at = now.Add(max(delay(a.lane.config.Retry, n), a.wait, j.result.After)).Truncate(time.Millisecond)
	if early {
		at = now.Add(j.result.After).Truncate(time.Millisecond)
	}
	why := ""
	switch {
	case !early && n >= max(a.lane.config.Retry.Attempts, 1) && (j.exchange == nil || !throttled(*j.exchange)):
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

// cause is why a delivery is among the dead letters.
func cause(j *job) string {
	if j.result.Code == "" {
		return j.result.Message
	}
	return j.result.Code + ": " + j.result.Message
}

// report is the one line and the figures of a batch.
func (a *attempt) report(ctx context.Context, counts map[event.Outcome]int) {
	l, total := a.lane, 0
	for _, o := range [...]event.Outcome{event.Accepted, event.Unverified, event.Retry, event.Rejected, event.NotSent, event.Dry, "repeat"} {
		total += counts[o]
		if counts[o] > 0 {
			l.metrics.deliveries.WithLabelValues(l.name, string(o)).Add(float64(counts[o]))
		}
	}
	x := a.last
	l.log.InfoContext(ctx, "delivery batch", "account", a.seat.account, "events", total+len(a.untried)+len(a.later)+len(a.parked),
		"accepted", counts[event.Accepted], "unverified", counts[event.Unverified], "retry", counts[event.Retry], "rejected", counts[event.Rejected],
		"not_sent", counts[event.NotSent], "dry", counts[event.Dry], "repeat", counts["repeat"], "untried", len(a.untried), "later", len(a.later), "held", len(a.parked),
		"status", x.Status, "latency_ms", x.Latency.Milliseconds(), "request_id", x.Receipt.RequestID, "trouble", trouble(x.Receipt))
}

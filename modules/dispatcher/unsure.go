package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

// Some partners have no dedupe key. What was sent to them and not answered may have
// been counted, and a second request would count it twice; so it becomes a dead
// letter that says so, for a person to replay, unless the partner's settings ask for
// it to be sent again. A mark in the record, written just before the request, tells
// the same after a crash: without it nothing had left.

// codeUnknown is the code of what nobody knows whether the partner took it.
const codeUnknown = "unknown_outcome"

// lastCheck has the last word on a request: see delivery.Last.
type lastCheck struct {
	attempt *attempt
	jobs    []*job // that are not settled
	err     error
}

// ask asks consent once more, since a token may have taken long to get, or the
// request before this one, and marks the records of what then goes.
func (c *lastCheck) ask(ctx context.Context, list []event.Delivery) []event.Delivery {
	a := c.attempt
	in := make(map[string]bool, len(list))
	for _, d := range list {
		in[d.Event.ID] = true
	}
	var going, rest []*job
	for _, j := range c.jobs {
		if in[j.delivery.Event.ID] {
			going = append(going, j)
		} else {
			rest = append(rest, j)
		}
	}
	going, err := a.permit(ctx, going, time.Now())
	if err == nil {
		c.jobs = slices.Concat(rest, going)
		going, err = a.mark(ctx, going)
	}
	if err != nil {
		c.err = err
		return nil
	}
	c.jobs = slices.Concat(rest, going)
	return deliveries(going)
}

// mark writes that the jobs are about to be sent, where that matters, and returns
// those that are this attempt's still: what another took over meanwhile is for it.
func (a *attempt) mark(ctx context.Context, jobs []*job) ([]*job, error) {
	l := a.lane
	if l.spec.DedupeKey != "" || len(jobs) == 0 {
		return jobs, nil
	}
	changes := make([]state.Change, len(jobs))
	for i, j := range jobs {
		r := j.record
		r.State, r.Holder, r.Until, r.NotBefore, r.Sending = held, j.message.ID, a.pulled.Add(l.lease()), time.Time{}, true
		e, err := l.entry(j, r, a.keep)
		if err != nil {
			return nil, err
		}
		changes[i], j.marked = state.Change{Old: j.stood, Entry: e}, true
	}
	lost, err := l.swap(ctx, jobs, changes)
	if err != nil {
		for i, j := range jobs {
			j.stood = changes[i].Value // maybe: only then it is to be freed
		}
		return nil, fmt.Errorf("mark what is sent: %w", err)
	}
	for _, j := range lost {
		j.marked = false
		j.anothers(a.pulled.Add(l.lease()))
		a.later = append(a.later, j)
	}
	return slices.DeleteFunc(jobs, func(j *job) bool { return !j.marked }), nil
}

// unknown decides about a job whose request was not answered.
func (a *attempt) unknown(j *job) {
	switch {
	case a.lane.spec.DedupeKey != "":
	case a.resends:
		j.result.Message += "; it is sent again, and may count twice"
	default:
		j.result.Outcome, j.result.Message = event.Rejected, j.result.Code+": "+j.result.Message+a.noKey()
		j.result.Code = codeUnknown
	}
}

func (a *attempt) noKey() string {
	return fmt.Sprintf("; %s drops no repeats, so it is not sent again by itself: replay it if it was not counted", a.lane.spec.Title)
}

var _ delivery.Last = (&lastCheck{}).ask

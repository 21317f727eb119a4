package dispatcher

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// Where a pixel says so, a field that its partner was never approved for waits for
// somebody to decide. What a delivery would tell is read off the request that the
// adapter makes of it alone, so that no setting, mapping or property of the site's can
// add a field that nobody saw. It waits where a route's does that is on hold; once
// its fields are decided upon, it goes back and through all checks again. A field that
// was refused is not cut out of the request: a payload without it was never seen by
// anybody, and may mean something else. Its deliveries are not sent, until the mapping
// leaves it out.

// cleared is what a job's fields were found in order by.
type cleared struct {
	pixel      int64 // its revision
	permission event.Permission
}

// fielded heeds what was decided on the fields of a job's request, and reports whether
// that keeps it from being sent.
func (a *attempt) fielded(ctx context.Context, p settings.Pixel, j *job) bool {
	l := a.lane
	by := cleared{p.Revision, j.delivery.Permission}
	if p.Fields.Open(l.name) || j.cleared == by {
		return false
	}
	x := l.sender.Rehearse(ctx, a.account, j.delivery)
	if x.Method == "" {
		return false // the adapter will not take it, and says so
	}
	refused, undecided := p.Fields.Sift(l.name, fields.Paths(fields.Request{URL: x.URL, Type: x.RequestHeader.Get("Content-Type"), Body: x.RequestBody, At: x.At}))
	switch {
	case len(refused) > 0:
		j.decide(event.NotSent, fields.CodeRefused, fields.RefusedMessage(l.spec.Title, refused))
		a.settled = append(a.settled, j)
		return true
	case len(undecided) > 0:
		j.waits = undecided
		a.parked = append(a.parked, j)
		return true
	}
	j.cleared = by
	return false
}

// waiting reports whether a delivery still waits for a decision upon its fields.
func waiting(p settings.Pixel, partner string, d *event.Delivery) bool {
	refused, undecided := p.Fields.Sift(partner, d.Waits)
	return len(refused) == 0 && len(undecided) > 0
}

// heldItem is a job's message as it goes to where it waits, with what for.
func (l *lane) heldItem(j *job) (queue.Item, error) {
	item := queue.Item{Queue: queue.Held(l.name), Body: j.message.Body, Account: j.message.Account}
	if slices.Equal(j.waits, j.delivery.Waits) {
		return item, nil
	}
	// As it came: what was decided in this attempt is decided again in the next.
	var d event.Delivery
	if err := json.Unmarshal(j.message.Body, &d); err != nil {
		return item, fmt.Errorf("read a delivery again: %w", err)
	}
	d.Waits = j.waits
	var err error
	if item.Body, err = json.Marshal(d); err != nil {
		return item, fmt.Errorf("write what a delivery waits for: %w", err)
	}
	return item, nil
}

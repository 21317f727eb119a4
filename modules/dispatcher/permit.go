package dispatcher

import (
	"context"
	"time"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/routes"
)

// permit asks consent again, just before an attempt: by the event's own signals
// and by what the visitor decided since. The narrowest of these and of what was
// allowed when the event was routed counts.
func (a *attempt) permit(ctx context.Context, jobs []*job, now time.Time) ([]*job, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	visitors := make([]consent.Visitor, len(jobs))
	for i, j := range jobs {
		visitors[i] = visitor(j.delivery.Event)
	}
	newest, err := consent.Load(ctx, a.lane.keys, visitors...)
	if err != nil {
		return nil, err
	}
	left := jobs[:0]
	for i, j := range jobs {
		pixel, ok := a.lane.settings.Pixel(j.delivery.Event.PixelID)
		if !ok {
			j.decide(event.NotSent, "pixel_removed", "not sent: the pixel was removed")
			a.settled = append(a.settled, j)
			continue
		}
		p, why := a.lane.decider.Permit(&j.delivery.Event, newest[i], a.lane.name, a.lane.spec.Consent, pixel.Site(), now)
		j.delivery.Permission = consent.Lesser(j.delivery.Permission, p)
		if j.delivery.Permission == event.Denied {
			j.decide(event.NotSent, routes.CodeConsent, routes.ConsentMessage(why))
			a.settled = append(a.settled, j)
			continue
		}
		// Partners read a TC string from its own field alone.
		j.delivery.Event.Consent.TCF = a.lane.decider.TCF(j.delivery.Event.Consent)
		left = append(left, j)
	}
	return left, nil
}

// visitor names whose consent counts: the browser's, or for an event without one
// the visitor it was linked to.
func visitor(e event.Event) consent.Visitor {
	id := e.Subject.AnonymousID
	if id == "" {
		id = e.Subject.VisitorID
	}
	return consent.Visitor{PixelID: e.PixelID, ID: id}
}

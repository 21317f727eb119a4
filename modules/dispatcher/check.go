package dispatcher

import (
	"context"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

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
		case j.record.State == told:
			if a.told == nil {
				a.told = map[string][]*job{}
			}
			a.told[j.record.Request] = append(a.told[j.record.Request], j)
		case j.record.State == held && j.record.Sending && !a.resends:
			j.lost = true
			j.decide(event.Rejected, codeUnknown, fmt.Sprintf("a request was under way when the process that made it ended, so nobody knows whether %s counted it", a.lane.spec.Title)+a.noKey())
			a.settled = append(a.settled, j)
		case a.switched(j):
		case a.age > 0 && now.Sub(happened(j.delivery.Event)) > a.age:
			j.decide(event.Rejected, "too_old", fmt.Sprintf("the event is older than the %s that %s takes", a.age, a.lane.spec.Title))
			a.settled = append(a.settled, j)
		default:
			left = append(left, j)
		}
	}
	return a.permit(ctx, left, now)
}

// switched heeds the switches of the partner and of the route as they are now, and
// reports whether they keep the job from being sent.
func (a *attempt) switched(j *job) bool {
	switch a.partner.Mode {
	case settings.Off:
		j.decide(event.NotSent, routes.CodeOff, routes.MessageOff)
		a.settled = append(a.settled, j)
		return true
	case settings.Hold:
		if a.discard {
			j.decide(event.NotSent, "hold_full", fmt.Sprintf("not sent: more than %d deliveries wait while the partner is on hold, and the oldest go first", a.lane.config.HoldMax))
			a.settled = append(a.settled, j)
			return true
		}
		a.untried = append(a.untried, j)
		return true
	}
	pixel, ok := a.lane.settings.Pixel(j.delivery.Event.PixelID)
	if !ok {
		return false // permit says so
	}
	route, known := routes.Find(pixel, a.lane.name, j.delivery.Routed(), j.delivery.When)
	if !known {
		return false
	}
	switch route.Switch() {
	case settings.Off:
		j.decide(event.NotSent, routes.CodeRouteOff, routes.MessageRouteOff)
		a.settled = append(a.settled, j)
		return true
	case settings.Hold:
		a.parked = append(a.parked, j)
		return true
	}
	return false
}

// permit asks consent again, just before an attempt: by the event's own signals
// and by what the visitor decided since. The narrowest of these and of what was
// allowed when the event was routed counts. What is in a dry run ends here, and what
// has a field that may not go, or waits for somebody to say so.
func (a *attempt) permit(ctx context.Context, jobs []*job, now time.Time) ([]*job, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	visitors := make([]consent.Visitor, len(jobs))
	for i, j := range jobs {
		visitors[i] = consent.VisitorOf(&j.delivery.Event)
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
		if where := a.dry(pixel, &j.delivery); where != "" {
			a.rehearse(ctx, j, where)
			continue
		}
		// Partners read a TC string from its own field alone.
		j.delivery.Event.Consent.TCF = a.lane.decider.TCF(j.delivery.Event.Consent)
		if !a.fielded(ctx, pixel, j) {
			left = append(left, j)
		}
	}
	return left, nil
}

// dry says what is in a dry run, the partner, the pixel or the route; "" if none.
func (a *attempt) dry(p settings.Pixel, d *event.Delivery) string {
	if a.partner.Dry {
		return "partner"
	}
	if p.Dry {
		return "pixel"
	}
	if route, known := routes.Find(p, a.lane.name, d.Routed(), d.When); known && route.Dry {
		return "route"
	}
	return ""
}

// rehearse makes the request for one event, and does not send it.
func (a *attempt) rehearse(ctx context.Context, j *job, where string) {
	// The payload is kept, so it must not hold what no store may.
	d := j.delivery
	d.Event.Context.IP = consent.Truncate(d.Event.Context.IP)
	x := a.lane.sender.Rehearse(ctx, a.account, d)
	if x.Method == "" {
		// The adapter would not take it: that is what would be told.
		j.result = x.Receipt.Results[0]
		j.result.Message = "dry run: " + j.result.Message
		if j.result.Outcome != event.NotSent {
			j.result.Outcome = event.Dry
		}
	} else {
		j.decide(event.Dry, "dry_run", "made and not sent: the "+where+" is in a dry run")
		j.built = string(x.RequestBody)
		j.result.Answer = x.Method + " " + x.URL
	}
	a.settled = append(a.settled, j)
}

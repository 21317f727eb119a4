package backfill

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

// Why an event is skipped, beside what routes say.
const (
	skipPixel     = "pixel_removed"
	skipErased    = "erased"
	skipWithdrawn = "consent_withdrawn"
	skipConsent   = "consent"
	skipOld       = "too_old"
	skipSent      = "sent_already"
	skipWhere     = "condition_failed"
)

// Permitted is an event that may be kept, with its pixel as it is set now.
type Permitted struct {
	Event event.Event
	Pixel settings.Pixel

	newest *consent.Newest // what its visitor chose since
}

// permit asks consent again, of the whole page in one round trip.
func (r *Runner) permit(ctx context.Context, events []event.Event, now time.Time, skip func(reason string)) ([]Permitted, error) {
	visitors := make([]consent.Visitor, len(events))
	for i := range events {
		visitors[i] = consent.VisitorOf(&events[i])
	}
	newest, err := consent.Load(ctx, r.d.Keys, visitors...)
	if err != nil {
		return nil, err
	}
	named := make([]*event.Event, len(events))
	for i := range events {
		named[i] = &events[i]
	}
	erased, err := erasure.Drops(ctx, r.d.Keys, named...)
	if err != nil {
		return nil, err
	}
	out := make([]Permitted, 0, len(events))
	for i, e := range events {
		pixel, ok := r.d.Settings.Pixel(e.PixelID)
		switch {
		case !ok:
			skip(skipPixel)
			continue
		case erased[i]:
			skip(skipErased)
			continue
		case newest[i].Drops(&e):
			skip(skipWithdrawn)
			continue
		}
		e.Verdict = r.d.Decider.Again(e.Verdict, e.Consent, pixel.Site(), now)
		e.Verdict = newest[i].Cap(&e)
		if !e.Verdict.State.Allows(event.Partial) {
			skip(skipConsent)
			continue
		}
		consent.Strip(&e, e.Verdict.State, nil)
		out = append(out, Permitted{e, pixel, newest[i]})
	}
	return out, nil
}

// rules are what routes asks of an event.
func (r *Runner) rules(p Permitted, now time.Time) routes.Rules {
	return routes.Rules{
		Expressions: r.expressions,
		Mode:        func(name string) settings.Mode { return r.d.Settings.Partner(name).Mode },
		Needs: func(name string) (partner.Needs, bool) {
			a := r.adapters[name]
			if a == nil {
				return partner.Needs{}, false
			}
			return a.Spec().Consent, true
		},
		Share: func(e *event.Event, pixel *settings.Pixel, name string, needs partner.Needs) (event.Permission, string) {
			return r.d.Decider.Permit(e, p.newest, name, needs, pixel.Site(), now)
		},
	}
}

// sending writes and sends.
type sending struct {
	r   *Runner
	job *Job
}

func (s *sending) do(ctx context.Context, events []event.Event) error {
	now := s.r.d.Now().UTC()
	p := &s.job.Progress
	page, err := s.r.permit(ctx, events, now, func(reason string) {
		p.skip(reason)
		s.r.events.WithLabelValues("skipped").Inc()
	})
	if err != nil || len(page) == 0 {
		return err
	}
	if s.job.Spec.Storage {
		list := make([]event.Event, len(page))
		for i := range page {
			list[i] = page[i].Event
		}
		if err := s.r.d.Writer.WriteEvents(ctx, list...); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		if s.job.Spec.Credits {
			if err := s.r.d.Credits.Credit(ctx, s.job.ID, page); err != nil {
				return fmt.Errorf("give credits anew: %w", err)
			}
		}
		p.Stored += int64(len(list))
		s.r.events.WithLabelValues("stored").Add(float64(len(list)))
	}
	if len(s.job.Spec.Partners) == 0 {
		return nil
	}
	return s.send(ctx, page, now)
}

// send hands over what the chosen partners' routes want, and what they may have
// still and have not had.
func (s *sending) send(ctx context.Context, page []Permitted, now time.Time) error {
	p := &s.job.Progress
	skip := func(name, reason string) {
		p.skip(name + ": " + reason)
		s.r.events.WithLabelValues("skipped").Inc()
	}
	ages := map[string]time.Duration{}
	for _, name := range s.job.Spec.Partners {
		account, err := s.r.account(name, "")
		if err != nil {
			return fmt.Errorf("read the credentials of %s: %w", name, err)
		}
		ages[name] = partner.AgeLimit(s.r.adapters[name], account.Batch(now))
	}
	var out []event.Delivery
	var marks []string
	for _, it := range page {
		for _, d := range routes.Decide(&it.Event, &it.Pixel, s.r.rules(it, now)) {
			if !slices.Contains(s.job.Spec.Partners, d.Partner) {
				continue
			}
			at := it.Event.Time
			if at.IsZero() || at.After(it.Event.ReceivedAt) {
				at = it.Event.ReceivedAt
			}
			switch age := ages[d.Partner]; {
			case !d.Send:
				skip(d.Partner, d.Code)
				continue
			case age > 0 && now.Sub(at) > age:
				skip(d.Partner, skipOld)
				continue
			}
			out = append(out, d.Delivery(&it.Event, it.Pixel.Country, now))
			marks = append(marks, delivery.SentKey(d.Partner, it.Event.PixelID, it.Event.ID))
		}
	}
	if len(out) == 0 {
		return nil
	}
	// The dispatcher asks this again before it sends; here it is to tell, and to spare
	// the queue.
	sent, err := s.r.d.Keys.Get(ctx, marks...)
	if err != nil {
		return fmt.Errorf("look up what was sent: %w", err)
	}
	var items []queue.Item
	queued := map[string]int64{}
	for i, d := range out {
		if delivery.Settled(sent[i]) {
			skip(d.Partner, skipSent)
			continue
		}
		body, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("encode the delivery of event %s: %w", d.Event.ID, err)
		}
		items = append(items, queue.Item{Queue: queue.Partner(d.Partner), Body: body, Account: queue.AccountOf(d.Event.PixelID, d.Event.ReceivedAt)})
		queued[d.Partner]++
	}
	if len(items) == 0 {
		return nil
	}
	if err := s.r.d.Push(ctx, items...); err != nil {
		return err
	}
	if p.Queued == nil {
		p.Queued = map[string]int64{}
	}
	for name, n := range queued {
		p.Queued[name] += n
	}
	s.r.events.WithLabelValues("queued").Add(float64(len(items)))
	return nil
}

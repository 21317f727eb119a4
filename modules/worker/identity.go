package worker

import (
	"context"

	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
)

// identity gives each event the visitor that it belongs to, and links what came
// together.
func (w *Worker) identity(ctx context.Context, b *batch) error {
	from, err := w.crossed(ctx, b)
	if err != nil {
		return err
	}
	all := make([]identity.Seen, len(b.items))
	seen := make([]*identity.Seen, len(b.items))
	for i, it := range b.items {
		x := &it.event.Enrichment
		all[i] = identity.Seen{Event: &it.event, Alone: x.Bot != "" && !x.Automated, Withdrawn: it.less(), Whole: it.credits(), Keep: it.buys(), From: from[i]}
		seen[i] = &all[i]
	}
	if err := w.people.Resolve(ctx, seen...); err != nil {
		return err
	}
	for i, it := range b.items {
		it.profile, it.linked, it.merged = all[i].Profile, all[i].Others, all[i].Merged
	}
	return nil
}

// credits reports whether attribution may have something to say of an event, and so
// wants to know whose all touchpoints are.
func (it *item) credits() bool {
	e := &it.event
	return it.pixel.Attribution.Conversion(e.Name) || attribution.IsRefund(e) || attribution.Tells(e)
}

// less reports whether the visitor, as far as is known by now, allows less than what
// links need.
func (it *item) less() bool {
	e, n := &it.event, it.newest
	if e.Verdict.State == event.Full {
		return false
	}
	if n == nil || n.Verdict.State != event.Full {
		return true
	}
	return e.ReceivedAt.After(n.At) && consent.Stated(e.Verdict, e.Consent)
}

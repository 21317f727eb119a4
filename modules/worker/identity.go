package worker

import (
	"context"
	"time"

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
		all[i] = identity.Seen{Event: &it.event, Alone: x.Bot != "" && !x.Automated, Withdrawn: it.less(), Whole: it.credits(), Keep: it.buys(), From: from[i], Lately: it.lately()}
		seen[i] = &all[i]
	}
	if err := w.people.Resolve(ctx, seen...); err != nil {
		return err
	}
	for i, it := range b.items {
		it.linked, it.merged = all[i].Others, all[i].Merged
	}
	return nil
}

// credits reports whether attribution may have something to say of an event, and so
// wants to know whose all touchpoints are.
func (it *item) credits() bool {
	e := &it.event
	return it.pixel.Attribution.Conversion(e.Name) || attribution.IsRefund(e) || attribution.Tells(e)
}

// lately reports whether an event of the same visitor was here within a day, under full
// consent too. By what is remembered of it: that is read anyway, and brought up to date by
// the first event of a day.
func (it *item) lately() bool {
	n := it.newest
	return n != nil && n.Verdict.State == event.Full && it.event.ReceivedAt.Sub(n.At).Abs() < 24*time.Hour
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

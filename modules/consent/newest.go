package consent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/state"
)

// Visitor names a visitor of one pixel, by the first-party id.
type Visitor struct {
	PixelID string `json:"pixel_id"`
	ID      string `json:"id"`
}

// VisitorOf names whose consent counts for an event: the browser's, or for an event
// without one the visitor it was linked to.
func VisitorOf(e *event.Event) Visitor {
	id := e.Subject.AnonymousID
	if id == "" {
		id = e.Subject.VisitorID
	}
	return Visitor{PixelID: e.PixelID, ID: id}
}

// Newest is the last that a visitor of a pixel decided. It outlives the events,
// so that a withdrawal reaches those which still wait to be sent.
type Newest struct {
	Verdict event.Verdict `json:"verdict,omitzero"`
	Signals event.Consent `json:"signals,omitzero"`
	At      time.Time     `json:"at"` // by our clock
	// Revoked is when the visitor last withdrew everything: a tombstone for what
	// happened before, and it stays when the visitor consents again.
	Revoked time.Time `json:"revoked,omitzero"`
	// Last is the end of the visitor's chain of receipts. It is kept here, as it is
	// swapped together with the rest, so that two replicas never make the chain fork.
	Last *event.ConsentReceipt `json:"last,omitzero"`
}

// Change is what an event or a request says of a visitor's consent.
type Change struct {
	Visitor Visitor
	Verdict event.Verdict
	Signals event.Consent
	At      time.Time // by our clock: ReceivedAt
	// Source and ID say what brought it, for its receipt.
	Source, ID string
}

// key holds a digest of the id: a tombstone must not itself keep the identifier
// that it says was withdrawn.
func key(v Visitor) string {
	return "consent:" + v.PixelID + ":" + Subject(v)
}

// Load reads the newest consent of each visitor, in one round trip; nil where
// there is none. An empty id has none.
func Load(ctx context.Context, keys state.Keys, visitors ...Visitor) ([]*Newest, error) {
	out := make([]*Newest, len(visitors))
	names := make([]string, len(visitors))
	for i, v := range visitors {
		names[i] = key(v)
	}
	raw, err := get(ctx, keys, names)
	if err != nil {
		return nil, err
	}
	for i, b := range raw {
		if b == nil || visitors[i].ID == "" {
			continue
		}
		if out[i], err = decodeNewest(visitors[i], names[i], b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func get(ctx context.Context, keys state.Keys, names []string) ([][]byte, error) {
	if len(names) == 0 {
		return nil, nil
	}
	raw, err := keys.Get(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("read the newest consent: %w", err)
	}
	return raw, nil
}

// alike tells whether two sets of signals say the same.
func alike(a, b *event.Consent) bool {
	return a.TCF == b.TCF && a.GPP == b.GPP && a.USPrivacy == b.USPrivacy && a.AddtlConsent == b.AddtlConsent && a.GPC == b.GPC &&
		a.GCM == b.GCM && a.State == b.State && slices.Equal(a.GPPSID, b.GPPSID) &&
		(a.GDPRApplies == nil) == (b.GDPRApplies == nil) && (a.GDPRApplies == nil || *a.GDPRApplies == *b.GDPRApplies)
}

// Drops reports whether the visitor withdrew everything after the event: then it
// must not be kept, sent or counted with the visitor. n may be nil.
func (n *Newest) Drops(e *event.Event) bool {
	if n == nil || n.Revoked.IsZero() {
		return false
	}
	return !happened(e).After(n.Revoked)
}

// happened is when an event happened by our clock, and never after it was received:
// the client's clock may be off, but how long it held an event it can tell.
func happened(e *event.Event) time.Time {
	if e.Time.IsZero() || e.SentAt.IsZero() {
		return e.ReceivedAt
	}
	return e.ReceivedAt.Add(-max(e.SentAt.Sub(e.Time), 0))
}

// since reports whether n was decided after the event came in; otherwise the
// event's own consent is the newer one.
func (n *Newest) since(e *event.Event) bool { return n != nil && n.At.After(e.ReceivedAt) }

// Cap is the event's verdict, or what the visitor decided since if that allows
// less. n may be nil.
func (n *Newest) Cap(e *event.Event) event.Verdict {
	if !n.since(e) || n.Verdict.State.Allows(e.Verdict.State) {
		return e.Verdict
	}
	return n.Verdict
}

// Permit says what one partner may do with an event now: what the event's own
// signals allow, and what the visitor decided since allows as well. n may be nil.
func (d *Decider) Permit(e *event.Event, n *Newest, name string, needs partner.Needs, site Site, now time.Time) (event.Permission, string) {
	if n.Drops(e) {
		return event.Denied, "consent: the visitor withdrew consent after the event"
	}
	p, why := d.Share(e.Verdict, e.Consent, name, needs, site, now)
	if p == event.Denied || !n.since(e) {
		return p, why
	}
	if q, newer := d.Share(n.Verdict, n.Signals, name, needs, site, now); Lesser(p, q) != p {
		return q, newer + " (decided after the event)"
	}
	return p, why
}

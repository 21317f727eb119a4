package consent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/state"
)

// Visitor names a visitor of one pixel, by the first-party id.
type Visitor struct{ PixelID, ID string }

// Newest is the last that a visitor of a pixel decided. It outlives the events,
// so that a withdrawal reaches those which still wait to be sent.
type Newest struct {
	Verdict event.Verdict `json:"verdict,omitzero"`
	Signals event.Consent `json:"signals,omitzero"`
	At      time.Time     `json:"at"` // by our clock
	// Revoked is when the visitor last withdrew everything: a tombstone for what
	// happened before, and it stays when the visitor consents again.
	Revoked time.Time `json:"revoked,omitzero"`
}

// Change is what an event or a request says of a visitor's consent.
type Change struct {
	Visitor Visitor
	Verdict event.Verdict
	Signals event.Consent
	At      time.Time // by our clock: ReceivedAt
}

const (
	keepConsent = 90 * 24 * time.Hour  // longer than any partner takes an event
	keepRevoked = 400 * 24 * time.Hour // longer than the id cookie lives
	// refresh is how stale At may get while a visitor's full consent stays the
	// same, which spares a write for most events. Anything less is kept exact.
	refresh = time.Minute
)

// ErrBusy says that a visitor's record kept changing while it was written.
var ErrBusy = errors.New("the visitor's consent keeps changing")

// key holds a digest of the id: a tombstone must not itself keep the identifier
// that it says was withdrawn.
func key(v Visitor) string {
	sum := sha256.Sum256([]byte(v.PixelID + "\x00" + v.ID))
	return "consent:" + v.PixelID + ":" + hex.EncodeToString(sum[:16])
}

// Load reads the newest consent of each visitor, in one round trip; nil where
// there is none. An empty id has none.
func Load(ctx context.Context, keys state.Keys, visitors ...Visitor) ([]*Newest, error) {
	out := make([]*Newest, len(visitors))
	raw, err := load(ctx, keys, visitors)
	if err != nil {
		return nil, err
	}
	for i, b := range raw {
		if b == nil || visitors[i].ID == "" {
			continue
		}
		if out[i], err = decodeNewest(b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func load(ctx context.Context, keys state.Keys, visitors []Visitor) ([][]byte, error) {
	if len(visitors) == 0 {
		return nil, nil
	}
	names := make([]string, len(visitors))
	for i, v := range visitors {
		names[i] = key(v)
	}
	raw, err := keys.Get(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("read the newest consent: %w", err)
	}
	return raw, nil
}

func decodeNewest(b []byte) (*Newest, error) {
	n := new(Newest)
	if err := json.Unmarshal(b, n, jsontext.AllowInvalidUTF8(true)); err != nil {
		return nil, fmt.Errorf("decode the newest consent: %w", err)
	}
	return n, nil
}

// Record keeps what events say. It costs one round trip where nothing changed. A
// visitor of whom nothing is known and who allows nothing leaves no trace; one who
// is known and allows nothing has withdrawn.
func Record(ctx context.Context, keys state.Keys, changes ...Change) error {
	return record(ctx, keys, changes, false)
}

// Revoke writes tombstones, known visitor or not: somebody asked for it.
func Revoke(ctx context.Context, keys state.Keys, at time.Time, visitors ...Visitor) error {
	changes := make([]Change, len(visitors))
	for i, v := range visitors {
		changes[i] = Change{Visitor: v, At: at, Verdict: event.Verdict{
			State: event.None, Regime: regimeDefault, Rule: "claim", Reason: "The visitor withdrew consent.",
		}}
	}
	return record(ctx, keys, changes, true)
}

func record(ctx context.Context, keys state.Keys, changes []Change, always bool) error {
	// A visitor's events often share a batch: they make one write.
	var visitors []Visitor
	of := map[Visitor][]Change{}
	for _, c := range changes {
		if c.Visitor.ID == "" {
			continue
		}
		if of[c.Visitor] == nil {
			visitors = append(visitors, c.Visitor)
		}
		of[c.Visitor] = append(of[c.Visitor], c)
	}
	raw, err := load(ctx, keys, visitors)
	if err != nil {
		return err
	}
	for i, v := range visitors {
		if err := write(ctx, keys, key(v), raw[i], of[v], always); err != nil {
			return err
		}
	}
	return nil
}

// write swaps, so that of two replicas neither undoes what the other learned.
func write(ctx context.Context, keys state.Keys, key string, old []byte, changes []Change, always bool) error {
	for range 8 {
		var n *Newest
		if old != nil {
			var err error
			if n, err = decodeNewest(old); err != nil {
				return err
			}
		}
		changed := false
		for _, c := range changes {
			if n != nil || always || c.Verdict.State.Allows(event.Partial) {
				next, differs := merge(n, c)
				n, changed = &next, changed || differs
			}
		}
		if !changed {
			return nil
		}
		b, err := json.Marshal(n, jsontext.AllowInvalidUTF8(true))
		if err != nil {
			return fmt.Errorf("encode the newest consent: %w", err)
		}
		ttl := keepConsent
		if !n.Revoked.IsZero() {
			ttl = keepRevoked
		}
		done, err := keys.Swap(ctx, old, state.Entry{Key: key, Value: b, TTL: ttl})
		if err != nil {
			return fmt.Errorf("write the newest consent: %w", err)
		}
		if done {
			return nil
		}
		got, err := keys.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read the newest consent again: %w", err)
		}
		old = got[0]
	}
	return ErrBusy
}

// merge is what is known after a change. The later one by our clock stands, of two
// at the same time the stricter one; a withdrawal leaves its time for good.
func merge(before *Newest, c Change) (Newest, bool) {
	after := Newest{Verdict: c.Verdict, Signals: c.Signals, At: c.At}
	if !c.Verdict.State.Allows(event.Partial) {
		// What the tag said is of no use any more.
		after.Verdict.State, after.Signals, after.Revoked = event.None, event.Consent{}, c.At
	}
	if before == nil {
		return after, true
	}
	same := before.Verdict.State == after.Verdict.State && alike(before.Signals, after.Signals)
	if same && after.Verdict.State == event.Full && c.At.Sub(before.At) < refresh {
		return *before, false
	}
	revoked := before.Revoked
	if after.Revoked.After(revoked) {
		revoked = after.Revoked
	}
	older := c.At.Before(before.At) ||
		c.At.Equal(before.At) && !before.Verdict.State.Allows(after.Verdict.State)
	if older {
		if revoked.Equal(before.Revoked) {
			return *before, false
		}
		after = *before
	}
	after.Revoked = revoked
	return after, true
}

// alike tells whether two sets of signals say the same.
func alike(a, b event.Consent) bool {
	x, errX := json.Marshal(a, jsontext.AllowInvalidUTF8(true))
	y, errY := json.Marshal(b, jsontext.AllowInvalidUTF8(true))
	return errX == nil && errY == nil && bytes.Equal(x, y)
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

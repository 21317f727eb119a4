package consent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

const (
	keepConsent = 90 * 24 * time.Hour  // longer than any partner takes an event
	keepRevoked = 400 * 24 * time.Hour // longer than the id cookie lives
	// How stale Newest.At may get while a visitor's consent stays the same, which
	// spares a write for most events. Of full consent that only makes a late event
	// which says less count as newer than it is; of anything less, a late one which
	// says more, and so it is kept nearly exact.
	refreshFull = 24 * time.Hour
	refreshLess = 10 * time.Second
	// repeatable is how long after a withdrawal its repeat is taken for a client's that
	// was not told that the first one holds.
	repeatable = 10 * time.Minute
)

// ErrBusy says that a visitor's record kept changing while it was written.
var ErrBusy = errors.New("the visitor's consent keeps changing")

// Book keeps each visitor's newest consent and makes the receipts of its changes. A
// receipt is given out by every call that might be the last to know of it: whoever
// gets receipts stores them, by their hash, and then none is lost by a crash between.
type Book struct {
	keys    state.Keys
	decider *Decider
	seals   [][]byte
}

// NewBook returns a book in keys. The first of the seals is the key of the receipts'
// hashes, the same on every replica; the others are those before it, by which older
// receipts are still known.
func NewBook(keys state.Keys, d *Decider, seals ...[]byte) *Book {
	return &Book{keys: keys, decider: d, seals: seals}
}

// mode says what a change is taken for.
type mode int

const (
	seen       mode = iota // an event's: a stranger who allows nothing leaves no trace
	acquainted             // the same, but of a stranger nothing at all is kept
	decided                // somebody says so: even of a stranger
)

// Record keeps what events say; where they say nothing (see Stated), that is the first
// sight of a visitor and no more. It costs one round trip where nothing changed, and
// two for new visitors. A visitor of whom nothing is known and who allows nothing
// leaves no trace; one who is known and allows nothing has withdrawn.
//
// It returns too what was known of each change's visitor before, nil where that is
// nothing.
func (b *Book) Record(ctx context.Context, changes ...Change) ([]*Newest, []event.ConsentReceipt, error) {
	return b.record(ctx, seen, changes)
}

// Withdraw keeps what an event says if it allows less than is known of the visitor;
// it reports whether that was a withdrawal of everything. One that comes again soon is
// one again, with the receipt of the first: nobody knows whether what has to follow the
// first was seen to, and it does no harm twice.
func (b *Book) Withdraw(ctx context.Context, c Change) (receipts []event.ConsentReceipt, revoked bool, err error) {
	if !Stated(c.Verdict, c.Signals) {
		return nil, false, nil
	}
	list, err := Load(ctx, b.keys, c.Visitor)
	if err != nil || list[0] == nil {
		return nil, false, err
	}
	known := list[0]
	if known.Verdict.State == event.None && !c.Verdict.State.Allows(event.Partial) && c.At.Sub(known.Revoked) < repeatable {
		if known.Last != nil {
			receipts = append(receipts, *known.Last)
		}
		return receipts, true, nil
	}
	if c.Verdict.State.Allows(known.Verdict.State) {
		return nil, false, nil
	}
	_, receipts, err = b.record(ctx, acquainted, []Change{c})
	return receipts, !c.Verdict.State.Allows(event.Partial), err
}

// Decide keeps what a visitor chose, known or not.
func (b *Book) Decide(ctx context.Context, c Change) ([]event.ConsentReceipt, error) {
	_, receipts, err := b.record(ctx, decided, []Change{c})
	return receipts, err
}

// Revoked is the verdict of a visitor who withdrew everything.
func Revoked() event.Verdict {
	return event.Verdict{State: event.None, Regime: regimeDefault, Rule: "claim", Reason: "The visitor withdrew consent."}
}

// record writes what changed. A visitor's events often share a batch: they make one
// write.
func (b *Book) record(ctx context.Context, m mode, changes []Change) (known []*Newest, receipts []event.ConsentReceipt, err error) {
	todo := make([]*entry, 0, len(changes))
	names := make([]string, 0, len(changes))
	at := make([]*entry, len(changes))
	of := make(map[Visitor]*entry, len(changes))
	for i := range changes {
		c := &changes[i]
		if c.Visitor.ID == "" {
			continue
		}
		e := of[c.Visitor]
		if e == nil {
			e = &entry{visitor: c.Visitor, key: key(c.Visitor), mode: m}
			of[c.Visitor], todo, names = e, append(todo, e), append(names, e.key)
		}
		for _, signal := range [...]*string{&c.Signals.TCF, &c.Signals.GPP, &c.Signals.USPrivacy, &c.Signals.AddtlConsent} {
			if !utf8.ValidString(*signal) {
				*signal = strings.ToValidUTF8(*signal, "\uFFFD") // as it will be read again
			}
		}
		e.changes = append(e.changes, c)
		at[i] = e
	}
	raw, err := get(ctx, b.keys, names)
	if err != nil {
		return nil, nil, err
	}
	for i, e := range todo {
		if err := e.stands(raw[i]); err != nil {
			return nil, nil, err
		}
	}
	known = make([]*Newest, len(changes))
	for i, e := range at {
		if e != nil {
			known[i] = e.known
		}
	}
	if err := b.claim(ctx, todo); err != nil {
		return nil, nil, err
	}
	if err := b.swapAll(ctx, todo); err != nil {
		return nil, nil, err
	}
	for _, e := range todo {
		receipts = append(receipts, e.receipts...)
	}
	return known, receipts, nil
}

// entry is one visitor's part of a write.
type entry struct {
	visitor  Visitor
	key      string
	mode     mode
	changes  []*Change
	old      []byte
	known    *Newest // what old says; nil: nothing is known
	done     bool
	receipts []event.ConsentReceipt
}

// stands takes what is in the state.
func (e *entry) stands(raw []byte) (err error) {
	e.old, e.known = raw, nil
	if raw != nil {
		e.known, err = decodeNewest(e.visitor, e.key, raw)
	}
	return err
}

// next is the visitor's record after the changes, or nil where nothing changes; and
// the receipts that have to be stored.
func (b *Book) next(e *entry) (*Newest, []event.ConsentReceipt) {
	n := e.known
	var receipts []event.ConsentReceipt
	if n != nil && n.Last != nil && e.mode == decided {
		receipts = append(receipts, *n.Last) // it may be this very request, sent again
	}
	changed := false
	for _, c := range e.changes {
		switch {
		case n == nil && e.mode == acquainted, n == nil && e.mode == seen && !c.Verdict.State.Allows(event.Partial):
			continue
		case n != nil && e.mode != decided && !Stated(c.Verdict, c.Signals):
			continue // what was said stands
		}
		next, what := merge(n, c)
		switch {
		case what != unchanged:
			changed = true
		case n.Last != nil && n.Last.SourceID == c.ID && c.ID != "" && len(receipts) == 0:
			receipts = append(receipts, *n.Last) // by a message that is delivered again
		}
		if what == differs {
			if n != nil && n.Last != nil && len(receipts) == 0 {
				receipts = append(receipts, *n.Last) // whose maker may have died since
			}
			next.Last = b.receipt(next.Last, c)
			receipts = append(receipts, *next.Last)
		}
		n = next
	}
	if !changed {
		return nil, receipts
	}
	return n, receipts
}

func (n *Newest) entry(key string) state.Entry {
	ttl := keepConsent
	if !n.Revoked.IsZero() {
		ttl = keepRevoked
	}
	return state.Entry{Key: key, Value: n.encode(), TTL: ttl}
}

// claim writes the new visitors of a batch at once; those whom another replica was
// first to write are left for swapAll.
func (b *Book) claim(ctx context.Context, todo []*entry) error {
	var fresh []*entry
	var entries []state.Entry
	for _, e := range todo {
		if e.old != nil {
			continue
		}
		n, receipts := b.next(e)
		if n == nil {
			e.done = true
			continue
		}
		e.receipts = receipts
		fresh, entries = append(fresh, e), append(entries, n.entry(e.key))
	}
	if len(entries) == 0 {
		return nil
	}
	standing, err := b.keys.Claim(ctx, entries...)
	if err != nil {
		return fmt.Errorf("write the newest consent: %w", err)
	}
	for i, e := range fresh {
		if e.done = string(standing[i]) == string(entries[i].Value); e.done {
			continue
		}
		e.receipts = nil
		if err := e.stands(standing[i]); err != nil {
			return err
		}
	}
	return nil
}

// swapAll writes what changed so that of two replicas neither undoes what the other
// learned.
func (b *Book) swapAll(ctx context.Context, todo []*entry) error {
	for range 8 {
		var changed []*entry
		var changes []state.Change
		for _, e := range todo {
			if e.done {
				continue
			}
			n, receipts := b.next(e)
			if e.receipts = receipts; n == nil {
				e.done = true
				continue
			}
			changed, changes = append(changed, e), append(changes, state.Change{Old: e.old, Entry: n.entry(e.key)})
		}
		if len(changes) == 0 {
			return nil
		}
		standing, err := b.keys.SwapAll(ctx, changes...)
		if err != nil {
			return fmt.Errorf("write the newest consent: %w", err)
		}
		lost := false
		for i, e := range changed {
			if e.done = string(standing[i]) == string(changes[i].Value); e.done {
				continue
			}
			if err := e.stands(standing[i]); err != nil {
				return err
			}
			lost = true
		}
		if !lost {
			return nil
		}
	}
	return ErrBusy
}

// changeKind is what merge found.
type changeKind int

const (
	unchanged changeKind = iota
	refreshed            // the same, seen again
	differs
)

// merge is what is known after a change. The later one by our clock stands, of two
// at the same time the stricter one; a withdrawal leaves its time for good. What is
// unchanged is before itself, and nothing else is.
func merge(before *Newest, c *Change) (*Newest, changeKind) {
	verdict, signals := c.Verdict, c.Signals
	var revoked time.Time
	if !verdict.State.Allows(event.Partial) {
		// What the tag said is of no use any more.
		verdict.State, signals, revoked = event.None, event.Consent{}, c.At
	}
	if before == nil {
		return &Newest{Verdict: verdict, Signals: signals, At: c.At, Revoked: revoked}, differs
	}
	kind := differs
	if before.Verdict.State == verdict.State && alike(&before.Signals, &signals) {
		limit := refreshLess
		if verdict.State == event.Full {
			limit = refreshFull
		}
		if verdict.State != event.None && c.At.Sub(before.At) < limit {
			return before, unchanged
		}
		kind = refreshed
	}
	if before.Revoked.After(revoked) {
		revoked = before.Revoked
	}
	older := c.At.Before(before.At) ||
		c.At.Equal(before.At) && !before.Verdict.State.Allows(verdict.State)
	if older && revoked.Equal(before.Revoked) {
		return before, unchanged
	}
	after := *before
	after.Revoked = revoked
	if !older {
		after.Verdict, after.Signals, after.At = verdict, signals, c.At
	}
	return &after, kind
}

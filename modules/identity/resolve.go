package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

// keep is how long an identifier leads to its visitor: as long as the id cookie
// may live.
const keep = 395 * 24 * time.Hour

// Claimer is what Resolve needs of the state.
type Claimer interface {
	Claim(ctx context.Context, entries ...state.Entry) ([][]byte, error)
}

// Resolve gives each event its VisitorID, the name that holds a visitor's events
// together, in one round trip for all of them.
//
// A browser's own id is its visitor. An event without one, such as a server's,
// belongs to the visitor who first used the same customer id, e-mail or
// telephone number, in this order; if nobody did, to one named for it. Only full
// consent links: with less, an event has its browser's id or no visitor. The
// answer never changes for an event that is resolved again.
func Resolve(ctx context.Context, keys Claimer, events ...*event.Event) error {
	var entries []state.Entry
	asks := make([][2]int, len(events)) // the entries of each event
	for i, e := range events {
		e.Subject.VisitorID = e.Subject.AnonymousID
		first := len(entries)
		if e.Verdict.State == event.Full {
			entries = appendClaims(entries, e)
		}
		asks[i] = [2]int{first, len(entries)}
	}
	if len(entries) == 0 {
		return nil
	}
	unique, at := distinct(entries)
	standing, err := keys.Claim(ctx, unique...)
	if err != nil {
		return fmt.Errorf("look up visitors: %w", err)
	}
	for i, e := range events {
		from, to := asks[i][0], asks[i][1]
		if e.Subject.VisitorID == "" && from < to {
			e.Subject.VisitorID = string(standing[at[from]])
		}
	}
	return nil
}

// appendClaims adds a claim for each identifier of an event, the strongest
// first: on the browser's visitor, or on the one named for the strongest.
func appendClaims(entries []state.Entry, e *event.Event) []state.Entry {
	visitor := e.Subject.AnonymousID
	for _, id := range [...]struct{ kind, value string }{
		{"user", e.Subject.UserID}, {"email", e.Subject.Email}, {"phone", e.Subject.PhoneE164},
	} {
		if id.value == "" {
			continue
		}
		// A digest bounds the key, and keeps whatever the advertiser calls its
		// customers out of the store's key space.
		sum := sha256.Sum256([]byte(e.PixelID + "\x00" + id.kind + "\x00" + id.value))
		name := hex.EncodeToString(sum[:16])
		if visitor == "" {
			visitor = "v_" + name[:24]
		}
		entries = append(entries, state.Entry{Key: "id:" + e.PixelID + ":" + id.kind + ":" + name, Value: []byte(visitor), TTL: keep})
	}
	return entries
}

// Forget removes what leads from other identifiers to a visitor, which subjects of
// the visitor's own events name. Where one leads to somebody else by now it stays.
func Forget(ctx context.Context, keys state.Keys, visitor string, events ...*event.Event) error {
	var entries []state.Entry
	for _, e := range events {
		entries = appendClaims(entries, e)
	}
	entries, _ = distinct(entries)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Key
	}
	if len(names) == 0 {
		return nil
	}
	standing, err := keys.Get(ctx, names...)
	if err != nil {
		return fmt.Errorf("look up a visitor's identifiers: %w", err)
	}
	var theirs []string
	for i, v := range standing {
		if string(v) == visitor {
			theirs = append(theirs, names[i])
		}
	}
	if err := keys.Delete(ctx, theirs...); err != nil {
		return fmt.Errorf("forget a visitor's identifiers: %w", err)
	}
	return nil
}

// distinct leaves the first entry of each key, and says for each entry which one
// that is: of two events in a batch the earlier is the first comer.
func distinct(entries []state.Entry) (unique []state.Entry, at []int) {
	seen := make(map[string]int, len(entries))
	at = make([]int, len(entries))
	for i, e := range entries {
		j, ok := seen[e.Key]
		if !ok {
			j = len(unique)
			seen[e.Key] = j
			unique = append(unique, e)
		}
		at[i] = j
	}
	return unique, at
}

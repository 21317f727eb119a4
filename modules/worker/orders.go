package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/state"
)

// orders drops a purchase whose order id came before under another event id, by
// whatever way: the tag and the shop's server often both tell of it. The first to be
// processed stands, and refunds and all other events of an order do.
//
// What the later copy knows of its customer is not lost: its identifiers were linked
// already, and here they are linked with the visitor of the copy that stands. It needs
// no more to be the same at a replay than that an event id stands for itself.
func (w *Worker) orders(ctx context.Context, b *batch) error {
	var entries []state.Entry
	at := make(map[*item]int)
	for _, it := range b.items {
		if !it.buys() {
			continue
		}
		e := &it.event
		value := mark(e.ID)
		if e.Verdict.State == event.Full && e.Subject.VisitorID != "" {
			id := identity.Visiting(e.Subject.VisitorID)
			value = append(value[:8:8], id[:]...)
		}
		at[it] = len(entries)
		entries = append(entries, state.Entry{Key: orderKey(e), Value: value, TTL: w.config.OrderTTL})
	}
	if len(entries) == 0 {
		return nil
	}
	standing, err := w.keys.Claim(ctx, entries...)
	if err != nil {
		return fmt.Errorf("claim order ids: %w", err)
	}
	var same []*identity.Seen
	b.sort(func(it *item) string {
		i, ok := at[it]
		if !ok || bytes.Equal(standing[i][:min(8, len(standing[i]))], entries[i].Value[:8]) {
			return ""
		}
		if it.event.Verdict.State == event.Full && len(standing[i]) > 8 {
			s := &identity.Seen{Event: &it.event}
			copy(s.Also[:], standing[i][8:])
			same = append(same, s)
		}
		return repeated
	})
	if len(same) == 0 {
		return nil
	}
	return w.people.Resolve(ctx, same...)
}

// buys reports whether an event is a purchase of an order that can be told apart.
func (it *item) buys() bool {
	x := &it.event.Enrichment
	return it.event.Name == "purchase" && it.event.Order.ID != "" && (x.Bot == "" || x.Automated)
}

// orderKey holds a digest: order ids may be long.
func orderKey(e *event.Event) string {
	sum := sha256.Sum256([]byte(e.Order.ID))
	return "order:" + e.PixelID + ":" + base64.RawURLEncoding.EncodeToString(sum[:12])
}

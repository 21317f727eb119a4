package worker

import (
	"bytes"
	"context"
	"fmt"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

// crossed says of each event who its browser was on the domain that it came from; "" where
// that is not known or does not count. A token is used by the first browser whose event
// brings it, as often as it likes, and by no other: an address that was passed on makes
// nobody somebody else. The visitor it names must allow links now, whatever he did when
// the token was made.
func (w *Worker) crossed(ctx context.Context, b *batch) ([]string, error) {
	from := make([]string, len(b.items))
	var at []int
	var claims []state.Entry
	var visitors []consent.Visitor
	for i, it := range b.items {
		e := &it.event
		c := e.Crossing
		e.Crossing = event.Crossing{} // nobody after us has any use for it
		me := e.Subject.AnonymousID
		if c.Visitor == "" || c.Use == "" || me == "" || c.Visitor == me || e.Verdict.State != event.Full {
			continue
		}
		from[i] = c.Visitor
		at = append(at, i)
		claims = append(claims, state.Entry{Key: "crossing:" + e.PixelID + ":" + c.Use, Value: mark(me), TTL: w.config.DedupeTTL})
		visitors = append(visitors, consent.Visitor{PixelID: e.PixelID, ID: c.Visitor})
	}
	if len(at) == 0 {
		return from, nil
	}
	newest, err := consent.Load(ctx, w.keys, visitors...)
	if err != nil {
		return nil, fmt.Errorf("read the consent of who crossed domains: %w", err)
	}
	// A batch may bring a token twice, and a claim stands for one key once.
	standing := map[string][]byte{}
	var entries []state.Entry
	for _, c := range claims {
		if _, ok := standing[c.Key]; !ok {
			standing[c.Key] = nil
			entries = append(entries, c)
		}
	}
	held, err := w.keys.Claim(ctx, entries...)
	if err != nil {
		return nil, fmt.Errorf("claim cross-domain tokens: %w", err)
	}
	for i, c := range entries {
		standing[c.Key] = held[i]
	}
	for n, i := range at {
		switch {
		case !bytes.Equal(standing[claims[n].Key], claims[n].Value):
			w.metrics.crossings.WithLabelValues("used").Inc()
		case newest[n] != nil && newest[n].Verdict.State != event.Full:
			w.metrics.crossings.WithLabelValues("consent").Inc()
		default:
			w.metrics.crossings.WithLabelValues("linked").Inc()
			continue
		}
		from[i] = ""
	}
	return from, nil
}

package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/enrich"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/state"
)

// step is one thing that is done to a batch. Doing it again to the same events
// changes nothing, so a batch may be stopped anywhere and begun anew.
type step struct {
	name string
	do   func(context.Context, *batch) error
	// beside is set where it is done at the same time as the step before: neither changes
	// the batch, and both wait for a disk or a server most of the time.
	beside bool
}

// list is what happens to an event between the collector and the partners, in
// this order. None knows its neighbours.
func (w *Worker) list() []step {
	return []step{
		{name: "decode", do: w.decode},
		{name: "dedupe", do: w.dedupe},
		{name: "consent", do: w.consent},
		{name: "enrich", do: w.enrich}, // before identity: what visits by itself links nobody
		{name: "identity", do: w.identity},
		{name: "orders", do: w.orders},
		{name: "session", do: w.session},
		{name: "attribution", do: w.attribution},
		{name: "routes", do: w.routes},
		{name: "archive", do: w.archive},
		{name: "analytics", do: w.analytics, beside: true},
		{name: "handover", do: w.handover}, // last: a partner's answer is about what is stored
	}
}

// decode reads the messages. One that cannot be read is buried alone.
func (w *Worker) decode(ctx context.Context, b *batch) error {
	kept := b.items[:0]
	unknown := false
	for _, it := range b.items {
		err := event.Decode(it.message.Body, &it.event)
		if err == nil && (it.event.ID == "" || it.event.PixelID == "" || it.event.Receipt == "") {
			err = fmt.Errorf("it has no id, pixel_id or receipt")
		}
		if err != nil {
			b.ended = append(b.ended, end{it, undecodable, cut("the message cannot be decoded: "+err.Error(), 300)})
			continue
		}
		it.pixel, it.known = w.settings.Pixel(it.event.PixelID)
		unknown = unknown || !it.known
		w.trace.begin(it)
		kept = append(kept, it)
	}
	b.items = kept
	if !unknown {
		return nil
	}
	// Most likely another replica made the pixel within the last second.
	if err := w.settings.Refresh(ctx); err != nil {
		return fmt.Errorf("refresh the settings: %w", err)
	}
	for _, it := range b.items {
		it.pixel, it.known = w.settings.Pixel(it.event.PixelID)
	}
	return nil
}

// dedupe drops an event whose id came before. The id of the message tells a second
// copy, even of the same receipt, from the same message delivered again, which
// goes on.
func (w *Worker) dedupe(ctx context.Context, b *batch) error {
	entry := make(map[string]int, len(b.items))
	var entries []state.Entry
	keys := make([]string, len(b.items))
	// Two queues may use one message id.
	place := strings.TrimPrefix(b.queue, "ingest:") + " "
	for i, it := range b.items {
		keys[i] = "seen:" + it.event.PixelID + ":" + it.event.ID
		if _, ok := entry[keys[i]]; ok {
			continue
		}
		entry[keys[i]] = len(entries)
		entries = append(entries, state.Entry{Key: keys[i], Value: mark(place + it.message.ID), TTL: w.config.DedupeTTL})
	}
	standing, err := w.keys.Claim(ctx, entries...)
	if err != nil {
		return fmt.Errorf("claim event ids: %w", err)
	}
	i := -1
	b.sort(func(it *item) string {
		i++
		if !bytes.Equal(standing[entry[keys[i]]], mark(place+it.message.ID)) {
			return duplicate
		}
		return ""
	})
	return nil
}

// mark is what is remembered of a message: eight bytes, since there is one for
// each event of a week.
func mark(message string) []byte {
	sum := sha256.Sum256([]byte(message))
	return sum[:8]
}

// consent drops what may not be kept any more, and takes from the rest what may
// not: by the visitor's newest consent, and by the signals read again under what
// is set now.
func (w *Worker) consent(ctx context.Context, b *batch) error {
	now := w.now()
	changes := make([]consent.Change, len(b.items))
	for i, it := range b.items {
		e := &it.event
		changes[i] = consent.Change{
			Visitor: consent.Visitor{PixelID: e.PixelID, ID: e.Subject.AnonymousID},
			Verdict: e.Verdict, Signals: e.Consent, At: e.ReceivedAt, Source: e.Source, ID: e.ID,
		}
	}
	// Before anything goes on, so that what this batch says holds for what already
	// waits at the partners.
	newest, receipts, err := w.book.Record(ctx, changes...)
	if err != nil {
		return err
	}
	for i, it := range b.items {
		it.newest = newest[i]
	}
	if b.writes.Receipts = receipts; len(b.items) == 1 {
		// What they are of is kept already, and an event that fails alone may be buried in
		// one of the next steps: its receipts are not to go with it.
		if err := w.receipts.WriteReceipts(ctx, receipts...); err != nil {
			return err
		}
		b.writes.Receipts = nil
	}
	erased, err := w.erased(ctx, b)
	if err != nil {
		return err
	}
	i := -1
	b.sort(func(it *item) string {
		i++
		if erased[i] || it.newest.Drops(&it.event) {
			return revoked
		}
		e := &it.event
		if it.known {
			e.Verdict = w.decider.Again(e.Verdict, e.Consent, it.pixel.Site(), now)
		}
		e.Verdict = it.newest.Cap(e)
		if !e.Verdict.State.Allows(event.Partial) {
			return suppressed
		}
		consent.Strip(e, e.Verdict.State, nil)
		return ""
	})
	return nil
}

// enrich adds what the event does not say itself.
func (w *Worker) enrich(_ context.Context, b *batch) error {
	for _, it := range b.items {
		w.enricher.Enrich(&it.event, enrich.Site{Domains: it.pixel.Domains, Off: it.pixel.Processing.Off})
	}
	return nil
}

// archive keeps the raw copy.
func (w *Worker) archive(ctx context.Context, b *batch) error {
	return w.shelf.Write(ctx, b.kept()...)
}

// analytics stores what is asked about, with all that the steps before found: one write
// is one wait for the disk.
func (w *Worker) analytics(ctx context.Context, b *batch) error {
	b.writes.Events = b.kept()
	if err := w.store.WriteBatch(ctx, b.writes); err != nil {
		return fmt.Errorf("store a batch: %w", err)
	}
	return nil
}

// handover puts what partners get into their queues.
func (w *Worker) handover(ctx context.Context, b *batch) error {
	if len(b.handed) == 0 {
		return nil
	}
	return w.queue.Push(ctx, b.handed...)
}

// routes decides what partners get of the events, how well each could match them, and
// why one is not sent where a route would have it sent.
func (w *Worker) routes(_ context.Context, b *batch) error {
	now := w.now().UTC()
	b.handed, b.writes.Syncs, b.writes.Matches = nil, nil, nil
	for _, it := range b.items {
		it.partners = nil
		for _, d := range routes.Decide(&it.event, &it.pixel, w.rules(it, now)) {
			if !d.Send {
				b.writes.Syncs = append(b.writes.Syncs, event.Sync{
					EventID: it.event.ID, PixelID: it.event.PixelID, Partner: d.Partner, At: now,
					Outcome: event.NotSent, Code: d.Code, Message: d.Message, OrderID: it.event.Order.ID,
				})
				continue
			}
			out := d.Delivery(&it.event, it.pixel.Country, now)
			body, err := json.Marshal(out)
			if err != nil {
				return fmt.Errorf("encode the delivery of event %s: %w", it.event.ID, err)
			}
			b.handed = append(b.handed, queue.Item{Queue: queue.Partner(d.Partner), Body: body, Account: it.message.Account})
			it.partners = append(it.partners, d.Partner)
			b.writes.Matches = append(b.writes.Matches, w.match(out))
		}
	}
	return nil
}

// match grades a delivery. An adapter's bug must not stop the events.
func (w *Worker) match(d event.Delivery) (m event.Match) {
	defer func() {
		if recover() != nil {
			w.log.Error("the adapter panicked over a match", "partner", d.Partner, "event_id", d.Event.ID)
			m = partner.Match(partner.Spec{Name: d.Partner}, nil, d)
		}
	}()
	return partner.Match(w.partners[d.Partner], w.settings.Partner(d.Partner).Settings, d)
}

func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return s[:max]
}

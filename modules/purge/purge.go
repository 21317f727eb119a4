// Package purge takes what still lies in queues out of them: when its visitor has
// withdrawn consent, and when a person is erased. Of the first nothing would be stored
// or sent any more: the worker and the dispatcher ask at each event. But a partner that
// is on hold, a retry that is hours away and the dead letters would keep it lying there.
//
// It promises to take nothing else, and to do no harm when it is run twice or at
// several places at once. What is stored already is not its matter.
package purge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/state"
)

// box is what is needed of the queues; queue.Inspector has it.
type box interface {
	Stats(ctx context.Context) ([]queue.Stats, error)
	Peek(ctx context.Context, name, cursor string, limit int) ([]queue.Waiting, string, error)
	Skip(ctx context.Context, name, reason string, ids ...string) (int, error)
	Dead(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error)
	Drop(ctx context.Context, name string, ids ...string) (int, error)
	Wipe(ctx context.Context) error
}

// log is where it is said what became of a delivery.
type log interface {
	WriteSyncs(ctx context.Context, syncs ...event.Sync) error
}

// Sweeper goes through the queues.
type Sweeper struct {
	Queues box
	Keys   state.Keys
	Syncs  log
	Now    func() time.Time
}

// page is how many messages are looked at at once.
const page = 500

const reason = "consent: the visitor withdrew consent after the event"

// judge says of each message whether it goes.
type judge func(ctx context.Context, found []message) ([]bool, error)

// Sweep takes out of the partners' queues and the dead letters what visitors withdrew,
// says so in the sync log, and returns how many messages that were.
func (s *Sweeper) Sweep(ctx context.Context) (int, error) {
	return s.sweep(ctx, deliveries, s.withdrawn)
}

// Take takes every message whose event match says true for out of all queues, those
// that events come in by too, and returns how many. What somebody holds at the moment
// is passed over: ask again once the holder is done, or its lease has ended.
func (s *Sweeper) Take(ctx context.Context, match func(*event.Event) bool) (int, error) {
	return s.sweep(ctx, events, func(_ context.Context, found []message) ([]bool, error) {
		goes := make([]bool, len(found))
		for i, m := range found {
			goes[i] = match(m.event)
		}
		return goes, nil
	})
}

// Scrub sees to it that the store keeps nothing of what was taken out.
func (s *Sweeper) Scrub(ctx context.Context) error { return s.Queues.Wipe(ctx) }

// Held counts the messages in all queues whose event match says true for, in whatever
// state they are.
func (s *Sweeper) Held(ctx context.Context, match func(*event.Event) bool) (int, error) {
	stats, err := s.Queues.Stats(ctx)
	if err != nil {
		return 0, fmt.Errorf("list the queues: %w", err)
	}
	n := 0
	for _, q := range stats {
		if !queue.IsDead(q.Queue) && !events(q.Queue) {
			continue
		}
		err := s.pages(ctx, q.Queue, func(found []message) error {
			for _, m := range found {
				if match(m.event) {
					n++
				}
			}
			return nil
		})
		if err != nil {
			return n, fmt.Errorf("look through %s: %w", q.Queue, err)
		}
	}
	return n, nil
}

// sweep goes through the queues that which says true for, and through all dead letters.
// Messages that wait are dead letters for a moment, as only those can be dropped.
func (s *Sweeper) sweep(ctx context.Context, which func(string) bool, judge judge) (int, error) {
	n := 0
	var failed []error
	// Waiting ones first, so that whatever they become is found among the dead: by its
	// visitor again, as a letter need not have its message's id.
	for _, dead := range []bool{false, true} {
		stats, err := s.Queues.Stats(ctx) // again, as the first letter makes its queue
		if err != nil {
			return n, errors.Join(append(failed, fmt.Errorf("list the queues: %w", err))...)
		}
		for _, q := range stats {
			if queue.IsDead(q.Queue) != dead || !dead && !which(q.Queue) {
				continue
			}
			err := s.pages(ctx, q.Queue, func(found []message) error {
				ids, err := chosen(ctx, found, judge)
				if err != nil || len(ids) == 0 {
					return err
				}
				if !dead {
					_, err = s.Queues.Skip(ctx, q.Queue, reason, ids...)
					return err
				}
				took, err := s.Queues.Drop(ctx, q.Queue, ids...)
				n += took
				return err
			})
			if err != nil {
				failed = append(failed, fmt.Errorf("sweep %s: %w", q.Queue, err))
			}
		}
	}
	return n, errors.Join(failed...)
}

// chosen are the ids of the messages that go. Whoever holds one asks by himself.
func chosen(ctx context.Context, found []message, judge judge) ([]string, error) {
	free := found[:0:0]
	for _, m := range found {
		if !m.inFlight {
			free = append(free, m)
		}
	}
	goes, err := judge(ctx, free)
	if err != nil {
		return nil, err
	}
	var ids []string
	for i, m := range free {
		if goes[i] {
			ids = append(ids, m.id)
		}
	}
	return ids, nil
}

// pages goes through a queue, waiting or dead, a page of events at a time.
func (s *Sweeper) pages(ctx context.Context, name string, do func([]message) error) error {
	for cursor := ""; ; {
		var found []message
		next := ""
		if queue.IsDead(name) {
			letters, more, err := s.Queues.Dead(ctx, name, cursor, page)
			if err != nil {
				return err
			}
			for _, l := range letters {
				found = appendMessage(found, message{id: l.ID, told: l.Reason == reason}, l.Body)
			}
			next = more
		} else {
			waiting, more, err := s.Queues.Peek(ctx, name, cursor, page)
			if err != nil {
				return err
			}
			for _, w := range waiting {
				found = appendMessage(found, message{id: w.ID, inFlight: w.State == queue.InFlight}, w.Body)
			}
			next = more
		}
		if err := do(found); err != nil {
			return err
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// deliveries reports whether a queue holds deliveries that may wait for long.
func deliveries(name string) bool {
	return strings.HasPrefix(name, queue.Partner("")) || strings.HasPrefix(name, queue.Held(""))
}

// events reports whether a queue holds events, be it as deliveries.
func events(name string) bool {
	return deliveries(name) || strings.HasPrefix(name, queue.Ingest(""))
}

// message is one that an event was read out of.
type message struct {
	id       string
	event    *event.Event
	partner  string // of a delivery
	inFlight bool
	told     bool // the sync log has its line: written before a sweep made a letter of it
}

// appendMessage adds a message that is a delivery, or an event itself. What cannot be
// read names nobody.
func appendMessage(list []message, m message, body []byte) []message {
	var in struct {
		event.Event `json:",embed"`

		Delivered *event.Event `json:"event"`
		Partner   string       `json:"partner"`
	}
	if json.Unmarshal(event.AsJSON(body), &in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return list
	}
	m.event, m.partner = &in.Event, in.Partner
	if in.Delivered != nil {
		m.event = in.Delivered
	}
	return append(list, m)
}

// withdrawn judges by the visitors' newest consent. The sync log is written before the
// messages are gone.
func (s *Sweeper) withdrawn(ctx context.Context, found []message) ([]bool, error) {
	visitors := make([]consent.Visitor, len(found))
	for i, m := range found {
		visitors[i] = consent.VisitorOf(m.event)
		if visitors[i].PixelID == "" {
			visitors[i].ID = ""
		}
	}
	newest, err := consent.Load(ctx, s.Keys, visitors...)
	if err != nil {
		return nil, err
	}
	goes := make([]bool, len(found))
	var syncs []event.Sync
	now := s.Now().UTC()
	for i, m := range found {
		e := m.event
		if goes[i] = newest[i].Drops(e); goes[i] && m.partner != "" && !m.told {
			syncs = append(syncs, event.Sync{
				EventID: e.ID, PixelID: e.PixelID, Partner: m.partner, At: now, OrderID: e.Order.ID,
				Outcome: event.NotSent, Code: "consent", Message: "not sent: " + reason, // as routes and the dispatcher say it
			})
		}
	}
	if len(syncs) == 0 {
		return goes, nil
	}
	return goes, s.Syncs.WriteSyncs(ctx, syncs...)
}

// Package purge takes what still lies in queues out of them when its visitor has
// withdrawn consent. Nothing of that would be stored or sent any more: the worker and
// the dispatcher ask at each event. But a partner that is on hold, a retry that is
// hours away and the dead letters would keep it lying there.
//
// It promises to take nothing else, to say in the sync log what became of a delivery,
// and to do no harm when it is run twice or at several places at once. What is stored
// already is not its matter.
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

// Sweep goes through all partners' queues and all dead letters, and returns how many
// messages it took out. Messages that wait are dead letters for a moment, as only those
// can be dropped.
func (s *Sweeper) Sweep(ctx context.Context) (int, error) {
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
			if queue.IsDead(q.Queue) != dead || !dead && !deliveries(q.Queue) {
				continue
			}
			sweep := s.waiting
			if dead {
				sweep = s.dead
			}
			took, err := sweep(ctx, q.Queue)
			n += took
			if err != nil {
				failed = append(failed, fmt.Errorf("sweep %s: %w", q.Queue, err))
			}
		}
	}
	return n, errors.Join(failed...)
}

// deliveries reports whether a queue holds deliveries that may wait for long.
func deliveries(name string) bool {
	return strings.HasPrefix(name, queue.Partner("")) || strings.HasPrefix(name, queue.Held(""))
}

// waiting makes dead letters of what waits. It returns 0: none of it is out yet.
func (s *Sweeper) waiting(ctx context.Context, name string) (int, error) {
	for cursor := ""; ; {
		messages, next, err := s.Queues.Peek(ctx, name, cursor, page)
		if err != nil {
			return 0, err
		}
		found := make(map[string]body, len(messages))
		for _, m := range messages {
			if m.State != queue.InFlight { // whose holder asks by itself
				found[m.ID] = body{bytes: m.Body}
			}
		}
		ids, err := s.withdrawn(ctx, found)
		if err != nil {
			return 0, err
		}
		if len(ids) > 0 {
			if _, err := s.Queues.Skip(ctx, name, reason, ids...); err != nil {
				return 0, err
			}
		}
		if cursor = next; cursor == "" {
			return 0, nil
		}
	}
}

func (s *Sweeper) dead(ctx context.Context, name string) (int, error) {
	n, cursor := 0, ""
	for {
		letters, next, err := s.Queues.Dead(ctx, name, cursor, page)
		if err != nil {
			return n, err
		}
		found := make(map[string]body, len(letters))
		for _, l := range letters {
			found[l.ID] = body{l.Body, l.Reason == reason}
		}
		ids, err := s.withdrawn(ctx, found)
		if err != nil {
			return n, err
		}
		if len(ids) > 0 {
			took, err := s.Queues.Drop(ctx, name, ids...)
			n += took
			if err != nil {
				return n, err
			}
		}
		if cursor = next; cursor == "" {
			return n, nil
		}
	}
}

// body is a message's.
type body struct {
	bytes []byte
	told  bool // the sync log has its line: written before a sweep made a letter of it
}

// message is a delivery, or an event itself.
type message struct {
	event.Event `json:",embed"`

	Delivered *event.Event `json:"event"`
	Partner   string       `json:"partner"`
}

// withdrawn are the messages whose visitor withdrew consent after the event. What
// cannot be read names nobody. The sync log is written before they are gone.
func (s *Sweeper) withdrawn(ctx context.Context, found map[string]body) ([]string, error) {
	var ids []string
	var events []*event.Event
	var partners []string
	var visitors []consent.Visitor
	for id, b := range found {
		var m message
		if json.Unmarshal(b.bytes, &m, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
			continue
		}
		e := &m.Event
		if m.Delivered != nil {
			e = m.Delivered
		}
		if v := consent.VisitorOf(e); v.ID != "" && v.PixelID != "" {
			ids, events, partners, visitors = append(ids, id), append(events, e), append(partners, m.Partner), append(visitors, v)
		}
	}
	newest, err := consent.Load(ctx, s.Keys, visitors...)
	if err != nil {
		return nil, err
	}
	var out []string
	var syncs []event.Sync
	now := s.Now().UTC()
	for i, e := range events {
		if !newest[i].Drops(e) {
			continue
		}
		out = append(out, ids[i])
		if partners[i] != "" && !found[ids[i]].told {
			syncs = append(syncs, event.Sync{
				EventID: e.ID, PixelID: e.PixelID, Partner: partners[i], At: now, OrderID: e.Order.ID,
				Outcome: event.NotSent, Code: "consent", Message: "not sent: " + reason, // as routes and the dispatcher say it
			})
		}
	}
	if len(syncs) == 0 {
		return out, nil
	}
	return out, s.Syncs.WriteSyncs(ctx, syncs...)
}

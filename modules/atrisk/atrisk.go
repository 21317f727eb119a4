// Package atrisk tells what money waits: the deliveries that are dead or wait at
// each partner, with the value of their orders and until when the partner still
// takes them. It looks at a bounded number of messages of each queue, so that asking
// is cheap however much waits; where it saw a part only, it says so.
package atrisk

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// MaxScan bounds how many messages of a queue are looked at.
const MaxScan = 5000

// perPage is how many are read at once.
const perPage = 500

// Item is a delivery that is not done, whose order has a value.
type Item struct {
	Partner  string       `json:"partner"`
	State    string       `json:"state"` // dead, waiting, held
	ID       string       `json:"id"`    // of the message, for a replay
	EventID  string       `json:"event_id"`
	PixelID  string       `json:"pixel_id"`
	OrderID  string       `json:"order_id,omitempty"`
	Value    event.Amount `json:"value"`
	Currency string       `json:"currency"`
	Reason   string       `json:"reason,omitempty"`
	// Deadline is when the partner takes it no more; Expired is set after it.
	Deadline time.Time `json:"deadline"`
	Expired  bool      `json:"expired"`
	amount   float64
}

// Sum is what comes to at one partner in one currency and state.
type Sum struct {
	Partner  string `json:"partner"`
	State    string `json:"state"`
	Currency string `json:"currency"`
	Count    int    `json:"count"`
	Value    string `json:"value"`
	// Expired is the part that the partner takes no more.
	Expired string `json:"expired"`
	// First is the first deadline that has not passed; zero: all have.
	First time.Time `json:"first_deadline,omitzero"`
	value *big.Rat
	gone  *big.Rat
}

// Report is what is at risk.
type Report struct {
	At   time.Time `json:"at"`
	Sums []Sum     `json:"sums"`
	// Items are the most urgent: by value and the time left, greatest first.
	Items []Item `json:"items"`
	// Partial names the queues of which only MaxScan messages were looked at.
	Partial []string `json:"partial,omitempty"`
}

// Inspector is what is needed of queue.Inspector.
type Inspector interface {
	Peek(ctx context.Context, name, cursor string, limit int) ([]queue.Waiting, string, error)
	Dead(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error)
}

// Partner is a partner and the age of the oldest event that it takes now.
type Partner struct {
	Name string
	Age  time.Duration
}

// Look makes the report, with at most so many items.
func Look(ctx context.Context, q Inspector, partners []Partner, now time.Time, limit int) (Report, error) {
	r := Report{At: now.UTC(), Sums: []Sum{}, Items: []Item{}}
	sums := map[[3]string]*Sum{}
	for _, p := range partners {
		take := func(state, id, reason string, body []byte) {
			item, ok := read(p, state, id, reason, body, now)
			if !ok {
				return
			}
			r.Items = append(r.Items, item)
			add(sums, item)
		}
		for _, box := range []struct{ name, state string }{{queue.Partner(p.Name), "waiting"}, {queue.Held(p.Name), "held"}} {
			err := scan(func(cursor string) (int, string, error) {
				page, next, err := q.Peek(ctx, box.name, cursor, perPage)
				for _, m := range page {
					take(box.state, m.ID, "", m.Body)
				}
				return len(page), next, err
			}, func() { r.Partial = append(r.Partial, box.name) })
			if err != nil {
				return r, fmt.Errorf("look at %s: %w", box.name, err)
			}
		}
		err := scan(func(cursor string) (int, string, error) {
			page, next, err := q.Dead(ctx, queue.PartnerDead(p.Name), cursor, perPage)
			for _, l := range page {
				take("dead", l.ID, l.Reason, l.Body)
			}
			return len(page), next, err
		}, func() { r.Partial = append(r.Partial, queue.PartnerDead(p.Name)) })
		if err != nil {
			return r, fmt.Errorf("look at the dead letters of %s: %w", p.Name, err)
		}
	}
	for _, s := range sums {
		s.Value, s.Expired = s.value.FloatString(2), s.gone.FloatString(2)
		r.Sums = append(r.Sums, *s)
	}
	slices.SortFunc(r.Sums, func(a, b Sum) int {
		if c := b.value.Cmp(a.value); c != 0 {
			return c
		}
		return strings.Compare(a.Partner+a.State+a.Currency, b.Partner+b.State+b.Currency)
	})
	slices.SortStableFunc(r.Items, func(a, b Item) int { return urgency(b, now) - urgency(a, now) })
	r.Items = r.Items[:min(len(r.Items), limit)]
	return r, nil
}

func scan(page func(cursor string) (int, string, error), partial func()) error {
	cursor := ""
	for seen := 0; ; {
		n, next, err := page(cursor)
		if err != nil || next == "" {
			return err
		}
		if seen += n; seen >= MaxScan {
			partial()
			return nil
		}
		cursor = next
	}
}

// urgency weighs value against the time left: what is worth twice as much, or has
// half the time, is as urgent. What is expired comes last.
func urgency(i Item, now time.Time) int {
	if i.Expired {
		return -1
	}
	left := max(i.Deadline.Sub(now).Hours(), 0.1)
	return int(min(i.amount*1000/left, 1e15))
}

func add(sums map[[3]string]*Sum, i Item) {
	k := [3]string{i.Partner, i.State, i.Currency}
	s := sums[k]
	if s == nil {
		s = &Sum{Partner: i.Partner, State: i.State, Currency: i.Currency, value: new(big.Rat), gone: new(big.Rat)}
		sums[k] = s
	}
	value, ok := new(big.Rat).SetString(string(i.Value))
	if !ok {
		return
	}
	s.Count++
	s.value.Add(s.value, value)
	switch {
	case i.Expired:
		s.gone.Add(s.gone, value)
	case s.First.IsZero() || i.Deadline.Before(s.First):
		s.First = i.Deadline
	}
}

// read takes of a message what is needed; false: it is about no money.
func read(p Partner, state, id, reason string, body []byte, now time.Time) (Item, bool) {
	var d struct {
		Event struct {
			ID         string    `json:"id"`
			PixelID    string    `json:"pixel_id"`
			Time       time.Time `json:"time"`
			ReceivedAt time.Time `json:"received_at"`
			Order      struct {
				ID       string       `json:"id"`
				Value    event.Amount `json:"value"`
				Currency string       `json:"currency"`
			} `json:"order"`
		} `json:"event"`
	}
	if json.Unmarshal(body, &d, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil || d.Event.Order.Value == "" {
		return Item{}, false
	}
	value, ok := new(big.Rat).SetString(string(d.Event.Order.Value))
	if !ok || value.Sign() <= 0 {
		return Item{}, false
	}
	at := d.Event.Time
	if at.IsZero() {
		at = d.Event.ReceivedAt
	}
	i := Item{
		Partner: p.Name, State: state, ID: id, EventID: d.Event.ID, PixelID: d.Event.PixelID, OrderID: d.Event.Order.ID,
		Value: d.Event.Order.Value, Currency: d.Event.Order.Currency, Reason: reason, Deadline: at.Add(p.Age).UTC(),
	}
	i.amount, _ = value.Float64()
	i.Expired = !now.Before(i.Deadline)
	return i, true
}

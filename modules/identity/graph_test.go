package identity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/event"
)

var tight = Limits{Customers: 2, Contacts: 2, Browsers: 3, Profile: 7}

// crowd draws events of a handful of people who share devices, so that everything
// that the limits are for happens.
func crowd(t *rapid.T) []*event.Event {
	pick := func(name string, values ...string) *rapid.Generator[string] {
		list := append([]string{"", ""}, values...)
		for i := range 7 {
			list = append(list, fmt.Sprint(name, i))
		}
		return rapid.SampledFrom(list)
	}
	browser, user, mail := pick("browser-"), pick("customer-", "null"), pick("mail-")
	device := rapid.SampledFrom([]string{"", "", "", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b811-9dad-11d1-80b4-00c04fd430c8", "00000000-0000-0000-0000-000000000000"})
	n := rapid.IntRange(1, 25).Draw(t, "events")
	events := make([]*event.Event, n)
	for i := range events {
		e := &event.Event{
			ID: fmt.Sprint("event-", i), PixelID: "px", Source: "web", ReceivedAt: time.Unix(1_800_000_000, 0), Verdict: event.Verdict{State: event.Full},
			Seq:     rapid.IntRange(0, 1).Draw(t, "lately"),
			Subject: event.Subject{AnonymousID: browser.Draw(t, "browser"), UserID: user.Draw(t, "user"), Email: mail.Draw(t, "mail")},
		}
		if d := device.Draw(t, "device"); d != "" {
			e.Subject.PartnerIDs = map[string]string{"maid": d}
		}
		if rapid.IntRange(0, 4).Draw(t, "crosses") == 0 {
			e.Crossing.Visitor = browser.Draw(t, "from")
		}
		if rapid.IntRange(0, 9).Draw(t, "consent") == 0 {
			e.Verdict.State = event.Partial
		}
		events[i] = e
	}
	return events
}

func see(events ...*event.Event) []*Seen {
	out := make([]*Seen, len(events))
	for i, e := range events {
		c := *e
		out[i] = &Seen{Event: &c, From: c.Crossing.Visitor, Lately: c.Seq > 0}
	}
	return out
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

// same checks the records and the map against the reference.
func same(t fataler, m *memory, r *reference, visitors map[string]bool) {
	t.Helper()
	labels := r.labels()
	for id, want := range labels {
		if got := m.label("px", id); got != want {
			t.Fatalf("%s %s belongs to %s, want %s", id.Kind(), id, got, want)
		}
	}
	// Events of two visitors count as one person's where they are of one profile.
	people := map[string]ID{}
	for v := range visitors {
		id, ok := ParseID("p_" + v[2:])
		if !ok || v != id.named() {
			id = Of(Visitor, v)
		}
		want, known := labels[id]
		if !known {
			want = id
		}
		who := m.person("px", v)
		if other, seen := people[who]; seen && other != want {
			t.Fatalf("events of two people count as those of %s: %s, of %s, and somebody of %s; %+v", who, v, want, other, m.rows)
		}
		people[who] = want
	}
	of := map[ID]string{}
	for who, id := range people {
		if other, twice := of[id]; twice {
			t.Fatalf("events of %s count as two people's, %s and %s", id, who, other)
		}
		of[id] = who
	}
}

func TestAnyOrderBatchingAndRepetitionGivesTheSameProfiles(t *testing.T) {
	for name, how := range map[string]struct{ trouble bool }{"": {}, "with a worker that is killed now and then": {true}} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				events := crowd(t)
				r := newReference(tight)
				r.see(events...)
				order := rapid.Permutation(append(events[:len(events):len(events)], events[:len(events)/2]...)).Draw(t, "order")
				m := newMemory()
				g := New(m, m, tight, clock())
				visitors := map[string]bool{}
				for len(order) > 0 {
					n := rapid.IntRange(1, min(8, len(order))).Draw(t, "batch")
					batch := order[:n]
					if how.trouble {
						m.trouble = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "trouble"), 1))
					}
					resolve(t, g, visitors, batch...)
					m.trouble = nil
					order = order[n:]
				}
				same(t, m, r, visitors)
				// And again changes nothing at all.
				before := m.written
				resolve(t, g, visitors, events...)
				if m.written != before {
					t.Fatalf("%d records were written for what was known", m.written-before)
				}
			})
		})
	}
}

func TestABrowserOfTheDayIsNotLookedUpUnlessAnEventBringsOrAsksMore(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Seen)
		asks   int
	}{
		"a page more":                {func(*Seen) {}, 0},
		"the first page of a day":    {func(s *Seen) { s.Lately = false }, 1},
		"a customer signs in":        {func(s *Seen) { s.Event.Subject.UserID = "customer-7" }, 2},
		"a customer, and no browser": {func(s *Seen) { s.Event.Subject.UserID, s.Event.Subject.AnonymousID = "customer-7", "null" }, 1},
		"from another domain":        {func(s *Seen) { s.From = "other" }, 2},
		"the other copy's customer":  {func(s *Seen) { s.Also = Of(User, "customer-7") }, 2},
		"a purchase":                 {func(s *Seen) { s.Keep = true }, 1},
		"who else is it?":            {func(s *Seen) { s.Whole = true }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			s := &Seen{Lately: true, Event: &event.Event{
				ID: "event", PixelID: "px", Source: "web", ReceivedAt: time.Unix(1_800_000_000, 0), Verdict: event.Verdict{State: event.Full},
				Subject: event.Subject{AnonymousID: "browser"},
			}}
			c.change(s)
			if err := New(m, m, Usual, clock()).Resolve(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if m.asked != c.asks {
				t.Errorf("%d keys were looked for, want %d", m.asked, c.asks)
			}
			if s.Event.Subject.AnonymousID == "browser" && s.Event.Subject.VisitorID != "browser" {
				t.Errorf("the visitor is %q", s.Event.Subject.VisitorID)
			}
		})
	}
}

// clock is a clock whose every look is later.
func clock() func() time.Time {
	var mu sync.Mutex
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		at = at.Add(time.Millisecond)
		return at
	}
}

// resolve resolves a batch, again and again where it is killed.
func resolve(t fataler, g *Graph, visitors map[string]bool, events ...*event.Event) {
	t.Helper()
	for range 500 {
		seen := see(events...)
		err := g.Resolve(context.Background(), seen...)
		if err == nil {
			for _, s := range seen {
				if v := s.Event.Subject.VisitorID; v != "" {
					visitors[v] = true
				}
				if e := s.Event; s.From != "" && e.Subject.AnonymousID != "" && e.Verdict.State == event.Full {
					visitors[s.From] = true
				}
			}
			return
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("resolve: %v", err)
		}
	}
	t.Fatalf("it was killed each time")
}

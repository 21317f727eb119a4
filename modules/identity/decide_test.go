package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/event"
)

// What people decide holds whenever they decide it, before or after the events that it
// is about come again; and taking it back gives what was there without.
func TestDecisionsHoldAndCanBeTakenBack(t *testing.T) {
	for name, trouble := range map[string]bool{"": false, "with a process that is killed now and then": true} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				events := crowd(t)
				m, r := newMemory(), newReference(tight)
				g := New(m, m, tight, clock())
				visitors := map[string]bool{}
				again := func(do func() error) error {
					for range 500 {
						if trouble {
							m.trouble = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "trouble"), 1))
						}
						err := do()
						if m.trouble = nil; !errors.Is(err, errKilled) {
							return err
						}
					}
					return errKilled
				}
				feed := func() {
					batch := rapid.SliceOfN(rapid.SampledFrom(events), 1, 6).Draw(t, "batch")
					r.see(batch...)
					resolve(t, g, visitors, batch...)
				}
				feed()
				for range rapid.IntRange(1, 12).Draw(t, "steps") {
					ids := slices.SortedFunc(maps.Keys(r.with), func(a, b ID) int { return slices.Compare(a[:], b[:]) })
					if len(ids) == 0 {
						feed()
						continue
					}
					a := rapid.SampledFrom(ids).Draw(t, "a")
					b := rapid.SampledFrom(ids).Draw(t, "b")
					pair := [2]ID{a, b}
					if b.less(a) {
						pair = [2]ID{b, a}
					}
					switch rapid.IntRange(0, 5).Draw(t, "what") {
					case 0, 1:
						feed()
					case 2:
						if err := again(func() error { return g.Unlink(context.Background(), "px", a, b) }); err == nil {
							r.unlinked[pair] = true
						} else if !errors.Is(err, ErrNotLinked) {
							t.Fatalf("unlink: %v", err)
						}
					case 3:
						if err := again(func() error { return g.Relink(context.Background(), "px", a, b) }); err == nil {
							delete(r.unlinked, pair)
						} else if !errors.Is(err, ErrNotLinked) {
							t.Fatalf("relink: %v", err)
						}
					case 4:
						if err := again(func() error { return g.Isolate(context.Background(), "px", a) }); err == nil {
							r.isolated[a], r.released[a] = true, false
						} else if !errors.Is(err, ErrUnknown) {
							t.Fatalf("isolate: %v", err)
						}
					case 5:
						if err := again(func() error { return g.Release(context.Background(), "px", a) }); err == nil {
							r.isolated[a], r.released[a] = false, true
						} else if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrTooMany) {
							t.Fatalf("release: %v", err)
						}
					}
					same(t, m, r, visitors)
				}
				for pair := range r.unlinked {
					if err := again(func() error { return g.Relink(context.Background(), "px", pair[0], pair[1]) }); err != nil {
						t.Fatalf("relink: %v", err)
					}
				}
				clear(r.unlinked)
				same(t, m, r, visitors)
			})
		})
	}
}

// A visitor who withdrew leaves what the events of all others make, and nothing else.
func TestForgettingLeavesWhatTheOthersMake(t *testing.T) {
	loose := Limits{Customers: 4, Contacts: 4, Browsers: 4, Profile: 12}
	for name, trouble := range map[string]bool{"": false, "with a process that is killed now and then": true} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				events := crowd(t)
				m := newMemory()
				g := New(m, m, loose, clock())
				visitors := map[string]bool{}
				resolve(t, g, visitors, events...)
				var gone []string
				for range rapid.IntRange(1, 3).Draw(t, "withdrawals") {
					v := fmt.Sprint("browser-", rapid.IntRange(0, 6).Draw(t, "who"))
					gone = append(gone, v)
					delete(visitors, v)
					err := errKilled
					for range 500 {
						if trouble {
							m.trouble = rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "trouble"), 1))
						}
						if _, err = g.Forget(context.Background(), "px", v); !errors.Is(err, errKilled) {
							break
						}
					}
					if m.trouble = nil; err != nil {
						t.Fatalf("forget: %v", err)
					}
				}
				left := slices.DeleteFunc(slices.Clone(events), func(e *event.Event) bool { return slices.Contains(gone, e.Subject.AnonymousID) })
				for i, e := range left { // who came from somebody who withdrew came from nobody
					if c := *e; slices.Contains(gone, c.Crossing.Visitor) {
						c.Crossing = event.Crossing{}
						left[i] = &c
					}
				}
				r := newReference(loose)
				r.see(left...)
				same(t, m, r, visitors)
				for _, v := range gone {
					if r.with[Of(Visitor, v)] == nil && m.keys[key("px", Of(Visitor, v))] != nil {
						t.Fatalf("%s is still there", v)
					}
				}
				// Everything that is kept is known by somebody else.
				for k := range m.keys {
					known := k[:4] == "quar"
					for id := range r.with {
						known = known || k == key("px", id)
					}
					if !known {
						t.Fatalf("%s is kept, and nobody who is left brought it", k)
					}
				}
			})
		})
	}
}

func TestManyWorkersAtOnceComeToTheSame(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 7))
		var events []*event.Event
		pick := func(name string, n int) string {
			if i := r.IntN(n + 2); i < n {
				return fmt.Sprint(name, i)
			}
			return ""
		}
		for i := range 150 {
			events = append(events, &event.Event{
				ID: fmt.Sprint("event-", i), PixelID: "px", Verdict: event.Verdict{State: event.Full},
				Subject: event.Subject{AnonymousID: pick("browser-", 40), UserID: pick("customer-", 20), Email: pick("mail-", 20)},
			})
		}
		ref := newReference(tight)
		ref.see(events...)
		m := newMemory()
		now := clock()
		visitors := map[string]bool{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for worker := range uint64(4) {
			g := New(m, m, tight, now) // each as a replica
			order := rand.New(rand.NewPCG(seed, worker)).Perm(len(events))
			wg.Go(func() {
				for batch := range slices.Chunk(order, 11) {
					var mine []*event.Event
					for _, i := range batch {
						mine = append(mine, events[i])
					}
					seen := see(mine...)
					if err := g.Resolve(context.Background(), seen...); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, s := range seen {
						if v := s.Event.Subject.VisitorID; v != "" {
							visitors[v] = true
						}
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		same(t, m, ref, visitors)
	}
}

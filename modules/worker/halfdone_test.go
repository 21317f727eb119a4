package worker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/purge"
	"github.com/miq/pixel/modules/session"
	"github.com/miq/pixel/modules/state"
)

// fragile is the state of a worker that dies over one of its writes, before or after it is
// made: nothing that it asks for from then on is done.
type fragile struct {
	state.Keys

	mu     sync.Mutex
	writes int
	fails  int // the number of the write, from 1; 0: none
	after  bool
	dead   bool
}

var errKilled = errors.New("killed")

func (f *fragile) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

func (f *fragile) revive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead, f.fails = false, 0
}

func (f *fragile) write(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errKilled
	}
	f.writes++
	f.dead = f.writes == f.fails
	if f.dead && !f.after {
		return errKilled
	}
	if err := do(); err != nil || !f.dead {
		return err
	}
	return errKilled
}

func (f *fragile) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	if f.isDead() {
		return nil, errKilled
	}
	return f.Keys.Get(ctx, keys...)
}

func (f *fragile) Set(ctx context.Context, entries ...state.Entry) error {
	return f.write(func() error { return f.Keys.Set(ctx, entries...) })
}

func (f *fragile) Claim(ctx context.Context, entries ...state.Entry) (out [][]byte, err error) {
	err = f.write(func() error { out, err = f.Keys.Claim(ctx, entries...); return err })
	return out, err
}

func (f *fragile) Swap(ctx context.Context, old []byte, entry state.Entry) (done bool, err error) {
	err = f.write(func() error { done, err = f.Keys.Swap(ctx, old, entry); return err })
	return done, err
}

func (f *fragile) SwapAll(ctx context.Context, changes ...state.Change) (out [][]byte, err error) {
	err = f.write(func() error { out, err = f.Keys.SwapAll(ctx, changes...); return err })
	return out, err
}

// kept is what is there in the end beside what outcome says: what the visitors' sales are
// owed to, as it is stored, their histories and their visits, and who they are.
type kept struct {
	Credits  []event.Credits
	States   map[string]string
	Profiles map[string]string
}

func (x *world) kept(visitors []string) kept {
	x.t.Helper()
	k := kept{States: map[string]string{}, Profiles: map[string]string{}}
	page, err := x.store.Credits(x.t.Context(), analytics.CreditFilter{PixelID: "px", Limit: 1000})
	if err != nil {
		x.t.Fatal(err)
	}
	for _, c := range page.Credits {
		c.Version = 0 // how often it was worked out
		k.Credits = append(k.Credits, c)
	}
	for _, v := range visitors {
		for _, key := range []string{attribution.HistoryKey("px", v), session.Key("px", v)} {
			values, err := x.keys.Get(x.t.Context(), key)
			if err != nil {
				x.t.Fatal(err)
			}
			k.States[key] = string(values[0])
		}
		h, err := attribution.Decode("px", []byte(k.States[attribution.HistoryKey("px", v)]))
		if err != nil {
			x.t.Fatal(err)
		}
		for i := range h.Conversions {
			h.Conversions[i].Version = 0
		}
		k.States[attribution.HistoryKey("px", v)] = string(h.Encode())
	}
	// As it is, without a mending look.
	people := identity.New(x.keys, x.store, identity.Usual, nil)
	for id, e := range x.stored() {
		others, rows, err := people.Known(x.t.Context(), &e)
		if err != nil {
			x.t.Fatal(err)
		}
		slices.Sort(others[0])
		for _, r := range rows {
			k.Profiles[id] += r.VisitorID + " is " + r.ProfileID + " "
		}
		k.Profiles[id] += fmt.Sprint(others[0])
	}
	return k
}

// A step makes several writes. Whichever of them is the last one that a worker lives to
// make: the next one leaves the same.
func TestKilledAtEachWriteOfTheState(t *testing.T) {
	var events []event.Event
	var visitors []string
	begin := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)
	for i := range 4 {
		v := fmt.Sprint("v", i)
		visitors = append(visitors, v)
		land := purchase("land-"+v, func(e *event.Event) {
			e.Name, e.Order, e.Time, e.ReceivedAt, e.Subject.AnonymousID = "page_view", event.Order{}, begin, begin, v
		})
		buy := purchase("buy-"+v, func(e *event.Event) {
			e.Time, e.ReceivedAt, e.Subject.AnonymousID = begin.Add(time.Minute), begin.Add(time.Minute), v
			e.Subject.UserID = fmt.Sprint("customer-", i/2) // two browsers each
			e.Context.Page.URL = "https://shop.example.com/thanks"
			e.Context.Page.Referrer = "https://shop.example.com/cart"
		})
		events = append(events, land, buy)
	}
	run := func(t *testing.T, f *fragile) (outcome, kept) {
		x := setup(t, func(d *Deps) {
			f.Keys = d.Keys
			d.Config.Concurrency = 1
			d.Keys, d.Book = f, consent.NewBook(f, consent.New(consent.Options{}), []byte("seal"))
			d.People = identity.New(f, d.Writer.(identity.Rows), identity.Usual, nil)
			d.Sweeper = &purge.Sweeper{Queues: d.Sweeper.(*purge.Sweeper).Queues, Keys: f, Syncs: d.Sweeper.(*purge.Sweeper).Syncs, Now: time.Now}
		})
		x.push(events...)
		x.start()
		if f.fails > 0 {
			x.until("the worker dies", f.isDead)
			if err := x.w.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.revive()
			x.w = nil
			x.start()
		}
		x.done()
		return x.outcome(), x.kept(visitors)
	}
	clean := &fragile{}
	want, wantKept := run(t, clean)
	if len(want.Stored) != 8 || len(want.Deliveries) != 4 || len(wantKept.Credits) == 0 {
		t.Fatalf("the clean run: %d stored, %d deliveries, %d credits", len(want.Stored), len(want.Deliveries), len(wantKept.Credits))
	}
	writes := clean.writes
	if writes < 5 {
		t.Fatalf("only %d writes", writes)
	}
	for i := range writes {
		for _, after := range []bool{false, true} {
			how := map[bool]string{false: "before", true: "after"}[after]
			t.Run(fmt.Sprintf("%s write %d of %d", how, i+1, writes), func(t *testing.T) {
				t.Parallel()
				got, gotKept := run(t, &fragile{fails: i + 1, after: after})
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%d stored, %d deliveries, %d dead, book %+v", len(got.Stored), len(got.Deliveries), got.Dead, got.Book)
				}
				if !reflect.DeepEqual(gotKept, wantKept) {
					t.Errorf("kept %+v\nwant %+v", gotKept, wantKept)
				}
			})
		}
	}
}

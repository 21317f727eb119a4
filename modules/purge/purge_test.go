package purge

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

// world is a sweeper on the embedded stores.
type world struct {
	*testing.T
	queue *sqlitequeue.Queue
	keys  *sqlitestate.Store
	store *sqliteanalytics.Store
	Sweeper
}

func setup(t *testing.T) *world {
	t.Helper()
	open := func(name string) *sqlitedb.DB {
		db, err := sqlitedb.Open(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	x := &world{T: t}
	var err error
	if x.queue, err = sqlitequeue.New(open("queue.db"), queue.Options{Lease: time.Minute, MaxDeliveries: 3, Wait: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.queue.Close() })
	if x.keys, err = sqlitestate.New(open("state.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.keys.Close() })
	if x.store, err = sqliteanalytics.New(open("analytics.db")); err != nil {
		t.Fatal(err)
	}
	x.Sweeper = Sweeper{Queues: x.queue, Keys: x.keys, Syncs: x.store, Now: time.Now}
	return x
}

// push leaves a delivery in a queue, and returns its message's id.
func (x *world) push(name, eventID, visitor string) string {
	x.Helper()
	body, err := json.Marshal(event.Delivery{Partner: "acme", Event: event.Event{
		ID: eventID, PixelID: "px", Name: "purchase", ReceivedAt: time.Now().Add(-time.Minute), Subject: event.Subject{AnonymousID: visitor},
	}})
	if err != nil {
		x.Fatal(err)
	}
	if err := x.queue.Push(x.Context(), queue.Item{Queue: name, Body: body}); err != nil {
		x.Fatal(err)
	}
	waiting, _, err := x.queue.Peek(x.Context(), name, "", 100)
	if err != nil {
		x.Fatal(err)
	}
	return waiting[len(waiting)-1].ID
}

func (x *world) withdraw(visitor string) {
	x.Helper()
	book := consent.NewBook(x.keys, consent.New(consent.Options{}), []byte("seal"))
	if _, err := book.Decide(x.Context(), consent.Change{Visitor: consent.Visitor{PixelID: "px", ID: visitor}, Verdict: consent.Revoked(), At: time.Now()}); err != nil {
		x.Fatal(err)
	}
}

// left are the events that still lie somewhere, by their queue.
func (x *world) left() map[string][]string {
	x.Helper()
	out := map[string][]string{}
	add := func(name string, body []byte) {
		var d event.Delivery
		if err := json.Unmarshal(body, &d); err != nil {
			x.Fatal(err)
		}
		out[name] = append(out[name], d.Event.ID)
		slices.Sort(out[name])
	}
	stats, err := x.queue.Stats(x.Context())
	if err != nil {
		x.Fatal(err)
	}
	for _, s := range stats {
		waiting, _, err := x.queue.Peek(x.Context(), s.Queue, "", 100)
		if err != nil {
			x.Fatal(err)
		}
		for _, m := range waiting {
			add(s.Queue, m.Body)
		}
		letters, _, err := x.queue.Dead(x.Context(), s.Queue, "", 100)
		if err != nil {
			x.Fatal(err)
		}
		for _, l := range letters {
			add(s.Queue, l.Body)
		}
	}
	return out
}

// told checks that the sync log has one line for each of these events.
func (x *world) told(ids ...string) {
	x.Helper()
	for _, id := range ids {
		page, err := x.store.Syncs(x.Context(), analytics.SyncFilter{EventID: id})
		if err != nil || len(page.Syncs) != 1 || page.Syncs[0].Code != "consent" {
			x.Errorf("the sync log says %+v of %s, %v", page.Syncs, id, err)
		}
	}
}

func (x *world) sweep(want int) {
	x.Helper()
	n, err := x.Sweep(x.Context())
	if err != nil || n != want {
		x.Errorf("%d were taken out, want %d; %v", n, want, err)
	}
}

// TestNobodyElsesDeadLetterIsDropped: in the embedded queue the letters' ids are not the
// messages', and here one visitor's letter has the id of another's message.
func TestNobodyElsesDeadLetterIsDropped(t *testing.T) {
	for _, name := range []string{queue.Partner("acme"), queue.Held("acme")} {
		t.Run(name, func(t *testing.T) {
			x := setup(t)
			hers := x.push(name, "of-ann", "ann")
			his := x.push(name, "of-bob", "bob")
			if n, err := x.queue.Skip(t.Context(), name, "skipped by hand", his); err != nil || n != 1 {
				t.Fatal(n, err)
			}
			letters, _, err := x.queue.Dead(t.Context(), queue.DeadLetters(name), "", 10)
			if err != nil || len(letters) != 1 || letters[0].ID != hers {
				t.Fatalf("this test needs the letter to have the message's id %s: %+v, %v", hers, letters, err)
			}
			x.withdraw("ann")
			x.sweep(1)
			if got, want := x.left(), map[string][]string{queue.DeadLetters(name): {"of-bob"}}; !maps.EqualFunc(got, want, slices.Equal) {
				t.Errorf("left are %v, want %v", got, want)
			}
			x.told("of-ann")
			x.sweep(0)
		})
	}
}

// TestWhatWaitsAndWhatIsDeadGoes, also where the sweep's own letters are the first.
func TestWhatWaitsAndWhatIsDeadGoes(t *testing.T) {
	x := setup(t)
	x.push(queue.Partner("acme"), "waits", "ann")
	x.push(queue.Held("acme"), "held", "ann")
	x.push(queue.Held("acme"), "of-bob", "bob")
	x.withdraw("ann")
	x.sweep(2)
	if got, want := x.left(), map[string][]string{queue.Held("acme"): {"of-bob"}}; !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("left are %v, want %v", got, want)
	}
	x.told("waits", "held")

	id := x.push(queue.Partner("acme"), "dead", "ann")
	if n, err := x.queue.Skip(t.Context(), queue.Partner("acme"), "skipped by hand", id); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	x.sweep(1)
	x.told("dead")
}

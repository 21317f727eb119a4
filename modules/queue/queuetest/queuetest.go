// Package queuetest checks that a backend keeps the promises of modules/queue.
// Every backend passes the same suite, in ten lines of its own.
package queuetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/queue"
)

// Backend is an opened backend.
type Backend struct {
	queue.Queue
	queue.Inspector
	queue.Books
	// Loose says that messages of different pushes may come out in another order.
	Loose bool
	// Reopen abandons this one, as a crash of its process would, and opens the
	// same store anew.
	Reopen func(t *testing.T) Backend
}

// Open opens a backend on an empty store; what it needs is cleaned up with t.
type Open func(t *testing.T, opts queue.Options) Backend

// name is the queue that most of the checks use.
const name = "s2s:acme"

// quick are options that let leases end within a test.
var quick = queue.Options{Lease: 300 * time.Millisecond, MaxDeliveries: 3, Wait: 50 * time.Millisecond}

// steady are quick with leases long enough that one ends well before another.
var steady = queue.Options{Lease: time.Second, MaxDeliveries: 3, Wait: 50 * time.Millisecond}

// patient are options under which nothing comes back by itself.
var patient = queue.Options{Lease: time.Hour, MaxDeliveries: 3, Wait: 50 * time.Millisecond}

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name  string
		opts  queue.Options
		check func(*testing.T, Backend)
	}{
		{"messages come out in the order they went in", patient, order},
		{"an empty queue gives nothing after a moment", patient, empty},
		{"a waiting puller gets a message as soon as it is pushed", queue.Options{Lease: time.Hour, MaxDeliveries: 3, Wait: 2 * time.Second}, wakes},
		{"a waiting puller notices that its context ended", queue.Options{Lease: time.Hour, MaxDeliveries: 3, Wait: 2 * time.Second}, cancelled},
		{"a pull takes no more than it was asked for", patient, max},
		{"ids and bodies are whatever they were, whatever they are", patient, bodies},
		{"one push spans several queues", patient, spans},
		{"a push of nothing is no error", patient, nothing},
		{"two pullers never hold the same message", patient, exclusive},
		{"an acked message never comes back", quick, acked},
		{"a message whose lease ended comes back, the same but for its deliveries", quick, leaseEnds},
		{"a late ack still forgets the message or it comes once more", quick, lateAck},
		{"a retried message comes back at its time and not before", patient, retried},
		{"a retry in the past comes back at once, before what came later", patient, retriedAtOnce},
		{"a released delivery does not count", patient, released},
		{"settling what is not held is no error and changes nothing", patient, unknown},
		{"a poison message is buried alone", steady, poison},
		{"what is always pulled with poison is delivered, whose leases end each time", quick, matesOverLeases},
		{"what is always pulled with poison is delivered, whose process dies each time", quick, matesOverReopens},
		{"a message that is retried for ever is buried too", patient, retriedTooOften},
		{"bury keeps reason, origin, deliveries and body", patient, bury},
		{"refused input goes straight to the dead letters, without an origin", patient, refused},
		{"dead letters are paged, newest first", patient, paging},
		{"revive brings letters back with their deliveries counted anew", patient, revive},
		{"revive leaves letters without an origin", patient, reviveRefused},
		{"drop deletes the letters named and no others", patient, drop},
		{"dead letters cannot be pulled", patient, pullDead},
		{"a revived message has its old id and account", patient, reviveSame},
		{"peek shows what waits, is delayed and is held, and claims nothing", patient, peek},
		{"what is wiped leaves the rest as it is", patient, wipe},
		{"peek pages through a long queue", patient, peekPages},
		{"skip moves waiting messages to the dead letters and leaves held ones", patient, skip},
		{"drain moves or drops all that waits, some at a time", patient, drainQueue},
		{"the books count what enters and leaves, each message once", patient, books},
		{"the books keep accounts and hours apart", patient, accounts},
		{"settling twice, or what is not there, counts once", patient, settleTwice},
		{"redelivery and retries count nothing, and a late settling counts once", quick, lateSettle},
		{"poison that the queue buries is counted", quick, poisonBooks},
		{"counts that belong to no message are kept, and are no messages", patient, mereCounts},
		{"the books survive a reopen and are exact after it", quick, booksOverReopen},
		{"stats count what is ready, in flight, delayed and dead", patient, stats},
		{"stats know the age of the oldest message that is not done", patient, oldest},
		{"nothing is lost or invented over a reopen", quick, reopen},
		{"deliveries are counted over reopens, so what kills its process is buried", quick, poisonOverReopen},
		{"concurrent pullers drain ten thousand messages, each exactly once", patient, drain},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, open(t, c.opts)) })
	}
}

// push pushes bodies to a queue.
func push(t *testing.T, q queue.Queue, to string, bodies ...string) {
	t.Helper()
	items := make([]queue.Item, len(bodies))
	for i, b := range bodies {
		items[i] = queue.Item{Queue: to, Body: []byte(b)}
	}
	if err := q.Push(t.Context(), items...); err != nil {
		t.Fatalf("push: %v", err)
	}
}

// pull pulls once.
func pull(t *testing.T, q queue.Queue, from string, max int) []queue.Message {
	t.Helper()
	msgs, err := q.Pull(t.Context(), from, max)
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	if len(msgs) > max {
		t.Fatalf("pull gave %d messages, asked for at most %d", len(msgs), max)
	}
	return msgs
}

// await pulls until n messages came, each pull for what is missing, and fails
// if they do not within a few seconds.
func await(t *testing.T, q queue.Queue, from string, n int) []queue.Message {
	t.Helper()
	var msgs []queue.Message
	for giveUp := time.Now().Add(10 * time.Second); len(msgs) < n; {
		msgs = append(msgs, pull(t, q, from, n-len(msgs))...)
		if time.Now().After(giveUp) {
			t.Fatalf("got %d messages, want %d", len(msgs), n)
		}
	}
	return msgs
}

// none checks that a pull finds nothing.
func none(t *testing.T, q queue.Queue, from string) {
	t.Helper()
	if msgs := pull(t, q, from, 100); len(msgs) > 0 {
		t.Fatalf("%s holds %q, want nothing", from, texts(msgs))
	}
}

func ids(msgs []queue.Message) []string {
	out := make([]string, len(msgs))
	for i, m := range msgs {
		out[i] = m.ID
	}
	return out
}

func texts(msgs []queue.Message) []string {
	out := make([]string, len(msgs))
	for i, m := range msgs {
		out[i] = string(m.Body)
	}
	return out
}

// want compares message bodies, in their order.
func want(t *testing.T, msgs []queue.Message, bodies ...string) {
	t.Helper()
	if got := texts(msgs); !slices.Equal(got, bodies) {
		t.Fatalf("got %q, want %q", got, bodies)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dead lists all dead letters, a page at a time.
func dead(t *testing.T, b Backend, from string) []queue.DeadLetter {
	t.Helper()
	var all []queue.DeadLetter
	for cursor := ""; ; {
		letters, next, err := b.Dead(t.Context(), from, cursor, 7)
		ok(t, err)
		if len(letters) > 7 {
			t.Fatalf("a page of %d letters, asked for at most 7", len(letters))
		}
		all = append(all, letters...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

// statsOf returns one queue's figures, zero if it does not exist.
func statsOf(t *testing.T, b Backend, of string) queue.Stats {
	t.Helper()
	all, err := b.Stats(t.Context())
	ok(t, err)
	if !slices.IsSortedFunc(all, func(a, b queue.Stats) int { return bytes.Compare([]byte(a.Queue), []byte(b.Queue)) }) {
		t.Fatalf("stats are not ordered by name: %+v", all)
	}
	for _, s := range all {
		if s.Queue == of {
			return s
		}
	}
	return queue.Stats{Queue: of}
}

// counts compares figures.
func counts(t *testing.T, b Backend, of string, ready, inFlight, delayed int) {
	t.Helper()
	s := statsOf(t, b, of)
	got, wanted := fmt.Sprint(s.Ready, s.InFlight, s.Delayed), fmt.Sprint(ready, inFlight, delayed)
	if got != wanted {
		t.Fatalf("%s has ready, in flight, delayed = %s, want %s", of, got, wanted)
	}
}

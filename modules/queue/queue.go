// Package queue is the port to the event bus: named queues of messages that are
// delivered at least once. Between the collector's 202 and the last partner's
// answer it is the only thing that remembers.
//
// What every backend promises, and queuetest checks:
//
//   - When Push returns nil, its items survive a crash of the process.
//   - A message is held by one puller at a time. It comes back when its holder
//     says Retry, or dies: its lease ends, or the process does.
//   - Messages come out about in the order they went in.
//   - A message that was delivered MaxDeliveries times without an end is buried
//     alone; those pulled with it go on.
//   - ID, Body and Account stay the same over all deliveries, also when a dead
//     letter is revived.
//   - The books (see Books) say exactly what entered and left each queue: a count
//     changes in the same step as what it counts.
//   - A store that cannot be reached, or takes no writes, is an ErrUnavailable
//     within seconds; nothing hangs.
package queue

import (
	"context"
	"errors"
	"time"
)

// ErrUnavailable says that the store cannot be reached, or takes no writes for
// now. After a Push nobody knows whether its items were stored.
var ErrUnavailable = errors.New("the queue's store is unavailable")

// ErrFull says that the store is unavailable since it has no room for more.
var ErrFull = errors.New("the queue's store is full")

// Item is something to push.
type Item struct {
	Queue string
	Body  []byte
	// Reason is why the item is dead; only for items that go to a dead-letter
	// queue at once, since nothing will ever process them.
	Reason string
	// Account is whom the message is counted under; zero: it is not counted.
	Account Account
	// Stage, where it is not empty, has N added to that stage of the account in the
	// queue's books, in the same step in which the message is stored. Without a body
	// (nil) it is no message but that count alone; what must be counted together
	// with a message is counted by it, since one push may become several.
	Stage string
	N     int64
}

// Counts reports whether the item is no message but a count.
func (i *Item) Counts() bool { return i.Stage != "" && i.Body == nil }

// Message is something pulled. Its holder must Ack, Retry or Bury it.
type Message struct {
	ID   string
	Body []byte
	// Deliveries counts how often it was handed out, this time included.
	Deliveries int
	PushedAt   time.Time
	Account    Account
}

// Queue moves messages.
type Queue interface {
	// Push stores all the items, durably, or returns an error; then some may
	// have been stored, which is harmless since whoever sent them sends them
	// again under the same event ids.
	Push(ctx context.Context, items ...Item) error
	// Pull takes up to max messages. It waits a moment for the first to come
	// and returns none if none came; it never waits to fill a batch.
	Pull(ctx context.Context, name string, max int) ([]Message, error)
	// Ack forgets messages: whatever they asked for is done. The books do not
	// learn as what; see Settle.
	Ack(ctx context.Context, name string, ids ...string) error
	// Settle is Ack that enters in the books what became of the messages: of each
	// end, those that were there still, so that settling twice counts once.
	Settle(ctx context.Context, name string, ends ...End) error
	// Retry hands messages back, to be delivered again at a time.
	Retry(ctx context.Context, name string, at time.Time, ids ...string) error
	// Release hands messages back untried, so that the delivery does not count.
	Release(ctx context.Context, name string, ids ...string) error
	// Bury moves messages to the queue's dead letters (see DeadLetters).
	Bury(ctx context.Context, name, reason string, ids ...string) error
}

// Inspector is what the console and the command line need beside Queue.
type Inspector interface {
	// Stats describes the queues that exist, dead-letter queues too, by name.
	Stats(ctx context.Context) ([]Stats, error)
	// Peek looks at messages that are not done without claiming them: those that
	// are ready in about the order in which they will come out, then those that
	// wait for their time, then those that somebody holds. It looks at a queue that
	// moves, so that a page may miss a message, or have one twice; next is empty at
	// the end.
	Peek(ctx context.Context, name, cursor string, limit int) (msgs []Waiting, next string, err error)
	// Skip moves waiting messages to the dead letters, and returns how many. One
	// that is held is left to its holder.
	Skip(ctx context.Context, name, reason string, ids ...string) (int, error)
	// Drain takes up to max waiting messages out of a queue: to the dead letters
	// for a reason, or for good where that is empty. Of dead letters it is the
	// oldest, for good, and a reason is an error. It returns how many there were; 0
	// says that none is left but those that are held.
	Drain(ctx context.Context, name, reason string, max int) (int, error)
	// Dead lists dead letters, newest first; next is empty at the end.
	Dead(ctx context.Context, name, cursor string, limit int) (letters []DeadLetter, next string, err error)
	// Revive moves dead letters back to the queues they came from, under their old
	// ids and with their deliveries counted anew. Letters without an origin stay;
	// it returns how many moved.
	Revive(ctx context.Context, name string, ids ...string) (int, error)
	// Drop deletes dead letters and returns how many there were.
	Drop(ctx context.Context, name string, ids ...string) (int, error)
	// Wipe sees to it that nothing is kept of messages that are done: where several
	// share a place in the store, that is usual until all of them are. It takes a
	// while, and is for when somebody has to be forgotten now.
	Wipe(ctx context.Context) error
}

// Waiting is a message that is not done.
type Waiting struct {
	Message
	State State
	// Until is when a held message's lease ends, or when a delayed one is due.
	Until time.Time
}

// State is where a message is.
type State string

// The states of a message that is not done.
const (
	Ready    State = "ready"
	InFlight State = "in_flight"
	Delayed  State = "delayed"
)

// Stats are a queue's figures.
type Stats struct {
	Queue    string        `json:"queue"`
	Ready    int           `json:"ready"`     // can be pulled now
	InFlight int           `json:"in_flight"` // held by a puller
	Delayed  int           `json:"delayed"`   // wait for their time
	Oldest   time.Duration `json:"-"`         // age of the oldest message that is not done
}

// DeadLetter is a message that nobody will process by itself again.
//
// Its ID is the letter's own, which need not be the id of the message that it was made
// of, and which may be that of another message: what was skipped or buried by an id must
// not be looked for, revived or dropped by it.
type DeadLetter struct {
	ID         string    `json:"id"`
	Body       []byte    `json:"-"`
	Reason     string    `json:"reason"`
	Origin     string    `json:"origin,omitempty"` // the queue it came from; empty for refused input
	Deliveries int       `json:"deliveries"`
	BuriedAt   time.Time `json:"buried_at"`
	Account    Account   `json:"-"`
}

// Options are what the backends have in common.
type Options struct {
	// Lease is how long a puller may hold a message.
	Lease time.Duration
	// MaxDeliveries is how often a message is handed out before it is buried.
	MaxDeliveries int
	// Wait is how long Pull waits for a first message.
	Wait time.Duration
	// KeepBooks is how long an hour's counts are kept; 0: for ever.
	KeepBooks time.Duration
	// MaxBytes is how much a store with a file of its own may keep; 0: as much as
	// its disk has room for.
	MaxBytes int64
}

// Defaults are the options unless told otherwise.
var Defaults = Options{Lease: time.Minute, MaxDeliveries: 8, Wait: 250 * time.Millisecond, KeepBooks: 40 * 24 * time.Hour}

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
//   - ID and Body stay the same over all deliveries.
package queue

import (
	"context"
	"time"
)

// Item is something to push.
type Item struct {
	Queue string
	Body  []byte
	// Reason is why the item is dead; only for items that go to a dead-letter
	// queue at once, since nothing will ever process them.
	Reason string
}

// Message is something pulled. Its holder must Ack, Retry or Bury it.
type Message struct {
	ID   string
	Body []byte
	// Deliveries counts how often it was handed out, this time included.
	Deliveries int
	PushedAt   time.Time
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
	// Ack forgets messages: whatever they asked for is done.
	Ack(ctx context.Context, name string, ids ...string) error
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
	// Dead lists dead letters, newest first; next is empty at the end.
	Dead(ctx context.Context, name, cursor string, limit int) (letters []DeadLetter, next string, err error)
	// Revive moves dead letters back to the queues they came from, with their
	// deliveries counted anew. Letters without an origin stay; it returns how
	// many moved.
	Revive(ctx context.Context, name string, ids ...string) (int, error)
	// Drop deletes dead letters and returns how many there were.
	Drop(ctx context.Context, name string, ids ...string) (int, error)
}

// Stats are a queue's figures.
type Stats struct {
	Queue    string        `json:"queue"`
	Ready    int           `json:"ready"`     // can be pulled now
	InFlight int           `json:"in_flight"` // held by a puller
	Delayed  int           `json:"delayed"`   // wait for their time
	Oldest   time.Duration `json:"-"`         // age of the oldest message that is not done
}

// DeadLetter is a message that nobody will process by itself again.
type DeadLetter struct {
	ID         string    `json:"id"`
	Body       []byte    `json:"-"`
	Reason     string    `json:"reason"`
	Origin     string    `json:"origin,omitempty"` // the queue it came from; empty for refused input
	Deliveries int       `json:"deliveries"`
	BuriedAt   time.Time `json:"buried_at"`
}

// Options are what the backends have in common.
type Options struct {
	// Lease is how long a puller may hold a message.
	Lease time.Duration
	// MaxDeliveries is how often a message is handed out before it is buried.
	MaxDeliveries int
	// Wait is how long Pull waits for a first message.
	Wait time.Duration
}

// Defaults are the options unless told otherwise.
var Defaults = Options{Lease: time.Minute, MaxDeliveries: 8, Wait: 250 * time.Millisecond}

package queue

import (
	"context"
	"time"
)

// Account is what messages are counted under.
type Account struct {
	Pixel string
	Hour  int32 // hours since 1970, when the event was received
}

// AccountOf is the account of an event of a pixel that came at a time.
func AccountOf(pixel string, received time.Time) Account {
	return Account{Pixel: pixel, Hour: Hour(received)}
}

// Hour is the hour of a time, as accounts have it.
func Hour(t time.Time) int32 { return int32(t.Unix() / 3600) }

// Time is when the account's hour began.
func (a Account) Time() time.Time { return time.Unix(int64(a.Hour)*3600, 0).UTC() }

// End says what became of messages of one account.
type End struct {
	Account Account
	Outcome string // a stage of the books: "stored", "delivered", …
	IDs     []string
}

// The stages that the queues enter by themselves. What else there is, is given
// by Settle, and by items that are counts.
const (
	// In counts what was pushed.
	In = "in"
	// Buried counts what went from a queue to its dead letters, for which it is In.
	Buried = "buried"
	// Revived counts what went back: out of the dead letters, and into a queue.
	Revived = "revived"
	// Dropped counts what was deleted undone, by an operator.
	Dropped = "dropped"
)

// Count is an account's figure in one queue's books.
type Count struct {
	Account Account
	Queue   string
	Stage   string
	N       int64
}

// Books are what entered and left the queues, counted by account. Messages of
// the zero account are not counted, and Ack is not either. So of a queue
//
//	in + revived − buried − dropped − what Settle called it
//
// is what waits, and of dead letters it is in − revived − dropped.
type Books interface {
	// Counts returns the counts of all queues for the hours since ≤ hour < until,
	// ordered by queue, hour, pixel and stage.
	Counts(ctx context.Context, since, until int32) ([]Count, error)
}

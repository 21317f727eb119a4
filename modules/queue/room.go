package queue

import "context"

// Room is what a store can tell of how full it is.
type Room interface {
	// Room returns the bytes that are used, and how many there may be; 0: there is
	// no bound.
	Room(ctx context.Context) (used, limit int64, err error)
}

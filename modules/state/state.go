// Package state is the port to what the roles remember together: short-lived
// keys with an expiry (dedupe, identity, the newest consent of a visitor, what
// was sent), and small documents that people edit (pixels, partners, users).
//
// What every backend promises, and statetest checks: a write that returned nil
// is seen by every later read on every replica; each write is atomic per key;
// batches cost one round trip; an expired key is as absent as one never set.
package state

import (
	"context"
	"errors"
	"time"
)

// Entry is a key to write.
type Entry struct {
	Key   string
	Value []byte
	TTL   time.Duration // 0: for ever
}

// Kept is the TTL of an entry that may only overwrite, for Set alone: a key that is there
// keeps the expiry that it has, which costs a backend less than to write it anew, and one
// that is absent stays so.
const Kept time.Duration = -1

// Change is an entry to write where its key holds Old; nil: where it is absent.
type Change struct {
	Old []byte
	Entry
}

// Keys are small values with an expiry. Keys are ours: "seen:px_demo:0193…".
type Keys interface {
	// Get returns a value for each key, nil where it is absent.
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	// Set writes all the entries, whatever was there; but see Kept.
	Set(ctx context.Context, entries ...Entry) error
	// Claim writes each entry whose key is absent, and returns the value that
	// stands for each afterwards: one's own, or that of whoever came first.
	Claim(ctx context.Context, entries ...Entry) ([][]byte, error)
	// Swap writes the entry if its key holds old (nil: is absent), and reports
	// whether it did.
	Swap(ctx context.Context, old []byte, entry Entry) (bool, error)
	// SwapAll is Swap for many keys, each for itself: of some that changed meanwhile
	// the others are written all the same. It returns what stands for each
	// afterwards, one's own value where it was written. The keys must differ.
	SwapAll(ctx context.Context, changes ...Change) ([][]byte, error)
	// Delete removes keys; absent ones are no error.
	Delete(ctx context.Context, keys ...string) error
}

// ErrUnavailable says that the store cannot be reached, refuses us, or has no room to write.
var ErrUnavailable = errors.New("the state's store is unavailable")

// ErrConflict says that a document changed since it was read.
var ErrConflict = errors.New("the document was changed by somebody else in the meantime")

// Document is a small body in a named collection.
type Document struct {
	ID       string
	Body     []byte
	Revision int64 // counts the document's changes, from 1
}

// Documents are collections small enough to be read whole: hundreds of pixels,
// a handful of partners, a team of users.
type Documents interface {
	// List returns a whole collection, ordered by id, with the collection's
	// version, which grows with each change to any of its documents.
	List(ctx context.Context, collection string) (docs []Document, version int64, err error)
	// Version returns only the version. It is cheap enough to ask every second.
	Version(ctx context.Context, collection string) (int64, error)
	// Put writes a document if its revision is still doc.Revision (0: it does
	// not exist yet), and returns the new revision; otherwise ErrConflict.
	Put(ctx context.Context, collection string, doc Document) (int64, error)
	// Remove deletes a document; an absent one is no error.
	Remove(ctx context.Context, collection, id string) error
}

// Store is both.
type Store interface {
	Keys
	Documents
}

// Package erasure removes a person from everything that we keep: the queues with what
// is delayed, held and dead, the shared state, the archive and the analytics store; and
// it proves that it did.
//
// A request names a person by any identifier. From then on tombstones keep late events
// out: what happened before the request is not stored nor sent any more, wherever it
// still is. A runner then goes through the stores, in one process at a time; whatever
// cuts it short, another goes on. What it deleted is counted in a certificate, which is
// signed and chained to the one before, and looked at again a day later.
//
// It promises to delete nobody else's events, to end only when nothing is left, and to
// forget the identifiers themselves once the last look was taken: a certificate holds
// digests of them, by which whoever knows an identifier can find its certificate.
package erasure

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/state"
)

// State is how far a request is.
type State string

// The states. A request that fails is tried again: it waits, with its Error.
const (
	Waiting State = "waiting"
	Running State = "running"
	Done    State = "done"    // nothing is left; a last look is taken after LookAgain
	Proven  State = "proven"  // and nothing came back
	Refused State = "refused" // nobody can be told by what was given
)

// LookAgain is how long after an erasure the stores are looked at once more.
const LookAgain = 24 * time.Hour

// collection is where requests are kept.
const collection = "erasures"

// Request is one person's erasure, as people see it.
type Request struct {
	ID string `json:"id"`
	// PixelID is the pixel that it is for; empty: all.
	PixelID string    `json:"pixel_id,omitempty"`
	By      string    `json:"by"` // who asked for it in the console, or by which token
	Note    string    `json:"note,omitempty"`
	At      time.Time `json:"at"`
	// Named is what the person was named by, as digests.
	Named []Named `json:"named"`

	State State `json:"state"`
	// Stage is what is being done, for people; Error why it has to be tried again.
	Stage string `json:"stage,omitempty"`
	Error string `json:"error,omitempty"`
	Tries int    `json:"tries,omitempty"`
	// Found is what the person was told by: how many visitors, and other identifiers.
	Found Found `json:"found,omitzero"`
	// Erased counts by store what was deleted.
	Erased map[string]map[string]int `json:"erased,omitempty"`
	// SentTo are the partners that accepted events of the person, and how many. None
	// of them has an interface to take them back.
	SentTo map[string]int `json:"sent_to,omitempty"`

	Certificate *Certificate `json:"certificate,omitempty"`
	// LookedAgain is the certificate of the look a day later.
	LookedAgain *Certificate `json:"looked_again,omitempty"`

	revision int64
	sealed   []byte
}

// Named is an identifier by its kind and a keyed digest.
type Named struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
}

// Found counts what a person was told by.
type Found struct {
	Visitors    int `json:"visitors"`
	Identifiers int `json:"identifiers"`
}

// stored is a request's document.
type stored struct {
	Request `json:",embed"`

	Sealed []byte `json:"sealed,omitempty"` // whom
}

// whom is what a request must know until it ends.
type whom struct {
	Identifiers []Identifier `json:"identifiers"`
	People      []*Person    `json:"people,omitempty"`
}

// ErrNotFound says that there is no such request.
var ErrNotFound = errors.New("no such erasure")

// Book keeps the requests.
type Book struct {
	docs state.Documents
	box  *secret.Box
	now  func() time.Time
}

// NewBook returns a book in documents. The box seals identifiers and signs.
func NewBook(docs state.Documents, box *secret.Box, now func() time.Time) *Book {
	return &Book{docs, box, now}
}

// Ask takes a request in.
func (b *Book) Ask(ctx context.Context, pixel, by, note string, identifiers ...Identifier) (Request, error) {
	if len(identifiers) == 0 {
		return Request{}, errors.New("identifiers: at least one is needed")
	}
	r := Request{
		ID: "er_" + strings.ReplaceAll(uuid.Must(uuid.NewV7()).String(), "-", ""), PixelID: pixel, By: by, Note: note,
		At: b.now().UTC().Truncate(time.Microsecond), State: Waiting,
	}
	for i, id := range identifiers {
		if err := id.Check(); err != nil {
			return r, fmt.Errorf("identifiers/%d: %w", i, err)
		}
		d, err := b.digest(id)
		if err != nil {
			return r, err
		}
		r.Named = append(r.Named, Named{id.Kind, d})
	}
	if err := b.seal(&r, whom{Identifiers: identifiers}); err != nil {
		return r, err
	}
	return r, b.save(ctx, &r)
}

// digest is what a certificate calls an identifier.
func (b *Book) digest(id Identifier) (string, error) {
	key, err := b.box.Derive("erasure identifiers")
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id.Kind + "\x00" + strings.TrimSpace(id.Value)))
	return hex.EncodeToString(mac.Sum(nil)[:16]), nil
}

// List returns all requests, the newest first.
func (b *Book) List(ctx context.Context) ([]Request, error) {
	docs, _, err := b.docs.List(ctx, collection)
	if err != nil {
		return nil, fmt.Errorf("list erasures: %w", err)
	}
	out := make([]Request, len(docs))
	for i, d := range docs {
		var s stored
		if err := json.Unmarshal(d.Body, &s); err != nil {
			return nil, fmt.Errorf("read erasure %s: %w", d.ID, err)
		}
		out[i] = s.Request
		out[i].revision, out[i].sealed = d.Revision, s.Sealed
	}
	slices.Reverse(out)
	return out, nil
}

// Get returns one request.
func (b *Book) Get(ctx context.Context, id string) (Request, error) {
	all, err := b.List(ctx)
	if err != nil {
		return Request{}, err
	}
	for _, r := range all {
		if r.ID == id {
			return r, nil
		}
	}
	return Request{}, ErrNotFound
}

// Find returns the requests that named a person by an identifier.
func (b *Book) Find(ctx context.Context, id Identifier) ([]Request, error) {
	d, err := b.digest(id)
	if err != nil {
		return nil, err
	}
	all, err := b.List(ctx)
	return slices.DeleteFunc(all, func(r Request) bool {
		return !slices.Contains(r.Named, Named{id.Kind, d})
	}), err
}

func (b *Book) save(ctx context.Context, r *Request) error {
	body, err := json.Marshal(stored{*r, r.sealed})
	if err != nil {
		return fmt.Errorf("encode erasure %s: %w", r.ID, err)
	}
	rev, err := b.docs.Put(ctx, collection, state.Document{ID: r.ID, Body: body, Revision: r.revision})
	if err != nil {
		return fmt.Errorf("save erasure %s: %w", r.ID, err)
	}
	r.revision = rev
	return nil
}

func (b *Book) seal(r *Request, w whom) error {
	body, err := json.Marshal(w)
	if err != nil {
		return err
	}
	r.sealed = b.box.Seal(collection+"/"+r.ID, body)
	return nil
}

func (b *Book) open(r *Request) (w whom, err error) {
	body, err := b.box.Open(collection+"/"+r.ID, r.sealed)
	if err != nil {
		return w, fmt.Errorf("read whom erasure %s is about: %w", r.ID, err)
	}
	return w, json.Unmarshal(body, &w)
}

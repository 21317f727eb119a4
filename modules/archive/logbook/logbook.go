// Package logbook keeps in the archive what is written beside events: the lines of the
// sync log, how well partners could match events, and consent receipts. No event tells
// them, so that a lost analytics store is made again whole only with these.
//
// A line is an event of a name of its own in an archive of its own, under log/ beside the
// events' (package lake says how it lies there): its id is a digest of all that it says,
// so that the same line written again is one; received_at is when it was; properties is
// the line as JSON. A line is in the archive before its write is answered.
//
// Lines say nothing of a visitor but the ids of events and orders, and receipts not even
// these: an erasure deletes the lines of the events that it deletes, and leaves receipts,
// as it does in the analytics store.
package logbook

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"iter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

// Folder is where lines lie in the archive.
const Folder = "log"

// What a line is, as its event's name.
const (
	nameSync    = "sync"
	nameMatch   = "match"
	nameReceipt = "consent_receipt"
)

// Store is an archive with its upkeep.
type Store interface {
	archive.Archive
	archive.Upkeep
}

// Book keeps lines in a store that holds nothing else.
type Book struct {
	store Store
}

// New returns the book in a store.
func New(s Store) *Book { return &Book{s} }

// Line is one of the three.
type Line struct {
	Sync    *event.Sync
	Match   *event.Match
	Receipt *event.ConsentReceipt
	// At is when it was, and Position where a reading can go on: see archive.Filter.
	At       time.Time
	PixelID  string
	Position string
}

var lenient = json.JoinOptions(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))

// lines are events that keep some of one kind.
func lines[T any](name string, list []T, of func(*T) (pixelID string, at time.Time)) ([]event.Event, error) {
	out := make([]event.Event, len(list))
	for i := range list {
		body, err := json.Marshal(&list[i], lenient)
		if err != nil {
			return nil, fmt.Errorf("encode a line %s: %w", name, err)
		}
		sum := sha256.Sum256(append([]byte(name), body...))
		pixelID, at := of(&list[i])
		out[i] = event.Event{
			ID: base64.RawURLEncoding.EncodeToString(sum[:16]), PixelID: pixelID, Name: name,
			ReceivedAt: at, Time: at, Source: Folder, Properties: body,
		}
	}
	return out, nil
}

// beside keeps lines while they are written elsewhere; both must be done.
func (b *Book) beside(ctx context.Context, list []event.Event, err error, write func() error) error {
	if err != nil || len(list) == 0 {
		return err
	}
	kept := make(chan error, 1)
	go func() { kept <- b.store.Write(ctx, list...) }()
	err = write()
	if lost := <-kept; err == nil && lost != nil {
		err = fmt.Errorf("keep the log: %w", lost)
	}
	return err
}

// Read goes through the lines that match, pixel by pixel and in the order of time.
func (b *Book) Read(ctx context.Context, f archive.Filter) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		for r, err := range b.store.Read(ctx, f) {
			var l Line
			if err == nil {
				l, err = lineOf(&r.Event)
				l.Position = r.Position
			}
			if !yield(l, err) || err != nil {
				return
			}
		}
	}
}

func lineOf(e *event.Event) (l Line, err error) {
	l.At, l.PixelID = e.ReceivedAt, e.PixelID
	var into any
	switch e.Name {
	case nameSync:
		l.Sync = &event.Sync{}
		into = l.Sync
	case nameMatch:
		l.Match = &event.Match{}
		into = l.Match
	case nameReceipt:
		l.Receipt = &event.ConsentReceipt{}
		into = l.Receipt
	default:
		return l, nil // of a newer version
	}
	if err := json.Unmarshal(e.Properties, into, lenient); err != nil {
		return l, fmt.Errorf("read the log: line %s of %s: %w", e.ID, e.PixelID, err)
	}
	return l, nil
}

// Erase deletes the lines that say something of events, by their ids, and returns how
// many. Only who holds the archive's lease may.
func (b *Book) Erase(ctx context.Context, pixelID string, of func(eventID string) bool) (int, error) {
	n, err := b.store.Rewrite(ctx, archive.Filter{PixelID: pixelID}, func(e *event.Event) bool {
		l, err := lineOf(e)
		switch {
		case err != nil: // nobody could say of whom it is
			return true
		case l.Sync != nil:
			return of(l.Sync.EventID)
		case l.Match != nil:
			return of(l.Match.EventID)
		}
		return false
	})
	if err != nil {
		return n, fmt.Errorf("rewrite the log: %w", err)
	}
	return n, nil
}

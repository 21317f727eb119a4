package logbook

import (
	"context"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
)

// Writer is an analytics.Writer whose lines are kept here too.
type Writer struct {
	analytics.Writer
	Book *Book
}

// WriteSyncs is the Writer's.
func (w Writer) WriteSyncs(ctx context.Context, syncs ...event.Sync) error {
	list, err := lines(nameSync, syncs, func(s *event.Sync) (string, time.Time) { return s.PixelID, s.At })
	return w.Book.beside(ctx, list, err, func() error { return w.Writer.WriteSyncs(ctx, syncs...) })
}

// WriteMatches is the Writer's.
func (w Writer) WriteMatches(ctx context.Context, matches ...event.Match) error {
	list, err := lines(nameMatch, matches, func(m *event.Match) (string, time.Time) { return m.PixelID, m.ReceivedAt })
	return w.Book.beside(ctx, list, err, func() error { return w.Writer.WriteMatches(ctx, matches...) })
}

// ReceiptWriter is an analytics.ReceiptWriter whose receipts are kept here too.
type ReceiptWriter struct {
	analytics.ReceiptWriter
	Book *Book
}

// WriteReceipts is the ReceiptWriter's.
func (w ReceiptWriter) WriteReceipts(ctx context.Context, receipts ...event.ConsentReceipt) error {
	list, err := lines(nameReceipt, receipts, func(r *event.ConsentReceipt) (string, time.Time) { return r.PixelID, r.At })
	return w.Book.beside(ctx, list, err, func() error { return w.ReceiptWriter.WriteReceipts(ctx, receipts...) })
}

// Upkeep is the archive's, and does for the book what it does for events. Rewrite is of
// events alone: see Book.Erase.
type Upkeep struct {
	archive.Upkeep
	Book *Book
}

// File is the Upkeep's; lines are not counted.
func (u Upkeep) File(ctx context.Context) (int, error) {
	n, err := u.Upkeep.File(ctx)
	if err == nil {
		_, err = u.Book.store.File(ctx)
	}
	return n, err
}

// Merge is the Upkeep's.
func (u Upkeep) Merge(ctx context.Context, since, before time.Time) error {
	if err := u.Upkeep.Merge(ctx, since, before); err != nil {
		return err
	}
	return u.Book.store.Merge(ctx, since, before)
}

// Expire is the Upkeep's; the days are those of events.
func (u Upkeep) Expire(ctx context.Context, pixelID string, before time.Time) (int, error) {
	n, err := u.Upkeep.Expire(ctx, pixelID, before)
	if err == nil {
		_, err = u.Book.store.Expire(ctx, pixelID, before)
	}
	return n, err
}

// Backlog is of both.
func (u Upkeep) Backlog(ctx context.Context) (archive.Backlog, error) {
	b, err := u.Upkeep.Backlog(ctx)
	if err != nil {
		return b, err
	}
	more, err := u.Book.store.Backlog(ctx)
	b.Objects, b.Bytes = b.Objects+more.Objects, b.Bytes+more.Bytes
	if b.Oldest.IsZero() || !more.Oldest.IsZero() && more.Oldest.Before(b.Oldest) {
		b.Oldest = more.Oldest
	}
	return b, err
}

package analytics

import (
	"context"
	"errors"
	"sync"

	"github.com/miq/pixel/modules/event"
)

// Batch is all that is stored of some events that were processed together.
type Batch struct {
	Events   []event.Event
	Receipts []event.ConsentReceipt
	Touches  []event.Touchpoint
	Credits  []event.Credits
	Syncs    []event.Sync
	Matches  []event.Match
}

// Len is how much there is to store.
func (b *Batch) Len() int {
	return len(b.Events) + len(b.Receipts) + len(b.Touches) + len(b.Credits) + len(b.Syncs) + len(b.Matches)
}

// BatchWriter is a store for which a batch is one write, where the parts each for
// themselves would be several.
type BatchWriter interface {
	// WriteBatch is all the Write… of Writer, ReceiptWriter and CreditWriter.
	WriteBatch(ctx context.Context, b Batch) error
}

// Apart writes a batch's parts to those who take them, all at the same time.
type Apart struct {
	Writer
	ReceiptWriter
	CreditWriter
}

// WriteBatch returns once all parts are stored, or have failed.
func (a Apart) WriteBatch(ctx context.Context, b Batch) error {
	writes := []func() error{
		func() error { return a.WriteEvents(ctx, b.Events...) },
		func() error { return a.WriteReceipts(ctx, b.Receipts...) },
		func() error { return a.WriteTouches(ctx, b.Touches...) },
		func() error { return a.WriteCredits(ctx, b.Credits...) },
		func() error { return a.WriteSyncs(ctx, b.Syncs...) },
		func() error { return a.WriteMatches(ctx, b.Matches...) },
	}
	there := []int{len(b.Events), len(b.Receipts), len(b.Touches), len(b.Credits), len(b.Syncs), len(b.Matches)}
	errs := make([]error, len(writes))
	var wait sync.WaitGroup
	for i, write := range writes {
		if there[i] > 0 {
			wait.Go(func() { errs[i] = write() })
		}
	}
	wait.Wait()
	return errors.Join(errs...)
}

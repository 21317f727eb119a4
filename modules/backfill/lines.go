package backfill

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/logbook"
	"github.com/miq/pixel/modules/event"
)

// Log is what the archive keeps beside events; logbook.Book is one.
type Log interface {
	Read(ctx context.Context, f archive.Filter) iter.Seq2[logbook.Line, error]
}

// inLog is what positions in it begin with.
const inLog = "log:"

// lines stores what was kept beside the events: the sync log, matches and receipts. A
// job that chooses among events leaves them out, since they cannot be asked for its
// condition.
func (r *Runner) lines(ctx context.Context, job *Job) error {
	if r.d.Lines == nil || !job.Spec.Storage || len(job.Spec.Events) > 0 || job.Spec.Where != "" {
		return nil
	}
	size := r.page
	if job.Spec.Rate > 0 {
		size = min(size, max(1, job.Spec.Rate/2))
	}
	var of written
	n, began, saved := 0, time.Now(), time.Now()
	p := &job.Progress
	flush := func(last bool) error {
		if err := r.insist(ctx, job.ID, func() error { return of.store(ctx, r.d) }); err != nil {
			return err
		}
		p.Lines += int64(of.size())
		of = written{}
		if last || time.Since(saved) >= r.noting {
			if err := r.save(ctx, job); err != nil {
				return err
			}
			saved = time.Now()
		}
		if job.Spec.Rate > 0 && !last {
			pause(ctx, time.Duration(n)*time.Second/time.Duration(job.Spec.Rate)-time.Since(began))
			began = time.Now()
		}
		n = 0
		return ctx.Err()
	}
	// A first reading has a position of events still.
	after, resumed := strings.CutPrefix(p.Position, inLog)
	if !resumed {
		after = ""
	}
	filter := archive.Filter{PixelID: job.Spec.PixelID, Since: job.Spec.Since, Until: job.Spec.Until, After: after, Filed: true}
	for l, err := range r.d.Lines.Read(ctx, filter) {
		if err != nil {
			return err
		}
		p.Position, p.At, p.Pixel = inLog+l.Position, l.At, l.PixelID
		if _, there := r.d.Settings.Pixel(l.PixelID); there {
			of.add(l)
		}
		if n++; n >= size {
			if err := flush(false); err != nil {
				return err
			}
		}
	}
	return flush(true)
}

// written are lines of one page.
type written struct {
	syncs    []event.Sync
	matches  []event.Match
	receipts []event.ConsentReceipt
}

func (w *written) add(l logbook.Line) {
	switch {
	case l.Sync != nil:
		w.syncs = append(w.syncs, *l.Sync)
	case l.Match != nil:
		w.matches = append(w.matches, *l.Match)
	case l.Receipt != nil:
		w.receipts = append(w.receipts, *l.Receipt)
	}
}

func (w *written) size() int { return len(w.syncs) + len(w.matches) + len(w.receipts) }

// store writes them to the store alone: the log has them.
func (w *written) store(ctx context.Context, d Deps) error {
	writer, receipts := d.Writer, d.Receipts
	if kept, ok := writer.(logbook.Writer); ok {
		writer = kept.Writer
	}
	if kept, ok := receipts.(logbook.ReceiptWriter); ok {
		receipts = kept.ReceiptWriter
	}
	if len(w.syncs) > 0 {
		if err := writer.WriteSyncs(ctx, w.syncs...); err != nil {
			return fmt.Errorf("write syncs: %w", err)
		}
	}
	if len(w.matches) > 0 {
		if err := writer.WriteMatches(ctx, w.matches...); err != nil {
			return fmt.Errorf("write matches: %w", err)
		}
	}
	if len(w.receipts) > 0 {
		if err := receipts.WriteReceipts(ctx, w.receipts...); err != nil {
			return fmt.Errorf("write consent receipts: %w", err)
		}
	}
	return nil
}

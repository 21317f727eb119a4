package sqlitequeue

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/miq/pixel/modules/queue"
)

const (
	tidyEvery = time.Second
	// What is done is still in the write-ahead log until that is written anew. It
	// is cut off once nothing happens, or it has stood for long.
	idle     = 2 * time.Second
	longest  = time.Minute
	pageSize = 4096
	// reserve is what is left to others of a disk, and to claims and acks, without
	// which a full queue could never be emptied.
	reserve = 64 << 20
)

// room refuses messages of so many bytes for which there is none.
func (q *Queue) room(size int64) error {
	used, spare, err := q.pages()
	if err != nil {
		return err
	}
	if limit := q.opts.MaxBytes; limit > 0 && used+size > limit {
		return fmt.Errorf("%w: %w: %d bytes of the %d that it may have are used", queue.ErrUnavailable, queue.ErrFull, used, limit)
	}
	free, total, err := q.disk()
	if err != nil {
		return fmt.Errorf("look at the disk: %w", err)
	}
	if left := min(reserve, total/16); free+spare < size+left {
		return fmt.Errorf("%w: %w: only %d bytes of the disk are free, and %d are kept free", queue.ErrUnavailable, queue.ErrFull, free, left)
	}
	return nil
}

// pages is how much of the file holds something, and how much of it is free.
func (q *Queue) pages() (used, spare int64, err error) {
	var free, all int64
	if err := q.stmts.freePages.QueryRow().Scan(&free); err != nil {
		return 0, 0, fmt.Errorf("count free pages: %w", err)
	}
	if err := q.stmts.pages.QueryRow().Scan(&all); err != nil {
		return 0, 0, fmt.Errorf("count pages: %w", err)
	}
	return (all - free) * pageSize, free * pageSize, nil
}

// Room returns how much of the file is used, and how much may be: what the
// options allow, or the disk.
func (q *Queue) Room(ctx context.Context) (used, limit int64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, 0, errClosed
	}
	used, spare, err := q.pages()
	if err != nil {
		return 0, 0, err
	}
	free, total, err := q.disk()
	if err != nil {
		return 0, 0, fmt.Errorf("look at the disk: %w", err)
	}
	limit = used + max(0, free+spare-min(reserve, total/16))
	if q.opts.MaxBytes > 0 {
		limit = min(limit, q.opts.MaxBytes)
	}
	return used, limit, ctx.Err()
}

// Start begins to tidy up in the background.
func (q *Queue) Start(log *slog.Logger) {
	ctx, stop := context.WithCancel(context.Background())
	q.stop = stop
	q.tidying.Go(func() {
		ticker := time.NewTicker(tidyEvery)
		defer ticker.Stop()
		cut := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-ticker.C:
				if err := q.shrink(ctx); err != nil {
					log.Error("the queue's file could not be made smaller", "error", err)
				}
				done, err := q.cut(now, cut)
				if err != nil {
					log.Error("the queue's log could not be cut off", "error", err)
				}
				if done {
					cut = now
				}
			}
		}
	})
}

// shrink gives pages back to the file system while more than half of the file is
// free; less than that is used again.
func (q *Queue) shrink(ctx context.Context) error {
	for ctx.Err() == nil {
		more, err := q.shrinkStep()
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (q *Queue) shrinkStep() (more bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, nil
	}
	if more, err = q.db.Shrink(); more {
		q.stirred = time.Now()
	}
	return more, err
}

// cut empties the write-ahead log, if there is reason to.
func (q *Queue) cut(now, last time.Time) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || !q.stirred.After(last) || now.Sub(q.stirred) < idle && now.Sub(last) < longest {
		return false, nil
	}
	return true, q.db.Cut()
}

package sqlitestate

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/miq/pixel/modules/sqlitedb"
)

const (
	syncEvery  = time.Second // what the power may take of the lazy writes
	sweepEvery = 10 * time.Second
	sweepBatch = 1000 // keys a transaction, so that nobody waits long
)

// Start begins to sync and sweep in the background.
func (s *Store) Start(log *slog.Logger) {
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	go s.keep(log)
}

// Stop ends the background work.
func (s *Store) Stop() {
	close(s.stop)
	<-s.done
}

// keep brings lazy writes to the disk and deletes expired keys until Stop.
func (s *Store) keep(log *slog.Logger) {
	defer close(s.done)
	ticker := time.NewTicker(syncEvery)
	defer ticker.Stop()
	swept := time.Now()
	for {
		select {
		case <-s.stop:
			return
		case now := <-ticker.C:
			if err := s.Sync(); err != nil {
				log.Error("state sync failed", "error", err)
			}
			if now.Sub(swept) < sweepEvery {
				continue
			}
			swept = now
			if _, err := s.Sweep(now); err != nil {
				log.Error("state sweep failed", "error", err)
			}
			if err := s.shrink(); err != nil {
				log.Error("the state's file could not be made smaller", "error", err)
			}
		}
	}
}

// Sync makes the lazy writes so far durable.
func (s *Store) Sync() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flush()
}

func (s *Store) flush() error {
	if !s.dirty || s.closed {
		return nil
	}
	// A durable commit takes along whatever was written before it.
	err := s.db.Run(sqlitedb.Durable, func() error {
		_, err := s.sync.Exec(time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("sync the state: %w", err)
	}
	s.dirty = false
	return nil
}

// Sweep deletes the keys that expired before now, a bounded batch at a time with
// room for others in between, and returns how many there were.
func (s *Store) Sweep(now time.Time) (int, error) {
	total := 0
	for {
		var n int64
		err := s.write(context.Background(), sqlitedb.Lazy, func() error {
			r, err := s.sweep.Exec(now.UnixMilli(), sweepBatch)
			if err == nil {
				n, err = r.RowsAffected()
			}
			return err
		})
		if err != nil {
			return total, fmt.Errorf("sweep expired keys: %w", err)
		}
		total += int(n)
		if n < sweepBatch {
			return total, nil
		}
		select {
		case <-s.stop:
			return total, nil
		default:
		}
	}
}

// shrink gives the space of expired keys back while much of the file is free, a
// few pages at a time with room for others in between.
func (s *Store) shrink() error {
	for {
		more, err := func() (bool, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.closed {
				return false, nil
			}
			return s.db.Shrink()
		}()
		if err != nil || !more {
			return err
		}
		select {
		case <-s.stop:
			return nil
		default:
		}
	}
}

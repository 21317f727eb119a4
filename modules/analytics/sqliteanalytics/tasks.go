package sqliteanalytics

import (
	"context"
	"sync"
)

// tasks are what is done behind whoever asked, until the store stops.
type tasks struct {
	mu      sync.Mutex
	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup
}

// meanwhile does f while nobody waits for it.
func (s *Store) meanwhile(f func(context.Context)) {
	t := &s.tasks
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() == nil {
		t.running.Go(func() { f(t.ctx) })
	}
}

// Stop ends what is done behind questions. The store answers as before.
func (s *Store) Stop() {
	s.tasks.mu.Lock()
	s.tasks.end()
	s.tasks.mu.Unlock()
	s.tasks.running.Wait()
}

package sqliteanalytics

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// noted is what writers tell of what they committed to something that is kept in memory.
// They only leave a note, since whoever reads may take seconds and a writer waits for
// nobody; the next reader takes the notes before it looks at the store, so that it has
// seen what it was not told.
type noted[K comparable] struct {
	mu   sync.Mutex
	keys map[K]struct{}
	most int  // how many notes are kept
	over bool // there were more
}

func (n *noted[K]) note(k K) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		return
	}
	if len(n.keys) >= n.most {
		n.keys, n.over = nil, true
		return
	}
	if n.keys == nil {
		n.keys = map[K]struct{}{}
	}
	n.keys[k] = struct{}{}
}

// take takes the notes; over says that there were too many.
func (n *noted[K]) take() (keys map[K]struct{}, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	keys, over = n.keys, n.over
	n.keys, n.over = nil, false
	return keys, over
}

// isOver reports whether more was written since somebody read than is worth to know.
func (n *noted[K]) isOver() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.over
}

// turns lets one reader in at a time; who waits may give up.
type turns struct {
	once sync.Once
	one  *semaphore.Weighted
}

func (t *turns) take(ctx context.Context) error {
	t.once.Do(func() { t.one = semaphore.NewWeighted(1) })
	return t.one.Acquire(ctx, 1)
}

func (t *turns) give() { t.one.Release(1) }

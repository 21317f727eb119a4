package admin

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/state"
)

// collection is a document collection with a copy in memory. The copy is
// checked against the collection's version each time it is read, so that a role
// or a token taken away on one replica is gone on all at once.
type collection[T any] struct {
	docs state.Documents
	name string

	mu      sync.Mutex
	version int64
	items   map[string]stored[T]
}

type stored[T any] struct {
	value    T
	revision int64
}

func newCollection[T any](docs state.Documents, name string) *collection[T] {
	return &collection[T]{docs: docs, name: name, version: -1}
}

// all returns the collection; callers must not change it.
func (c *collection[T]) all(ctx context.Context) (map[string]stored[T], error) {
	newest, err := c.docs.Version(ctx, c.name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items != nil && c.version == newest {
		return c.items, nil
	}
	docs, version, err := c.docs.List(ctx, c.name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.name, err)
	}
	items := make(map[string]stored[T], len(docs))
	for _, d := range docs {
		var v T
		if err := json.Unmarshal(d.Body, &v); err != nil {
			return nil, fmt.Errorf("read %s %s: %w", c.name, d.ID, err)
		}
		items[d.ID] = stored[T]{v, d.Revision}
	}
	c.items, c.version = items, version
	return items, nil
}

func (c *collection[T]) get(ctx context.Context, id string) (T, int64, bool, error) {
	all, err := c.all(ctx)
	s, ok := all[id]
	return s.value, s.revision, ok, err
}

// put writes a document whose revision is still the given one, 0 for a new one.
func (c *collection[T]) put(ctx context.Context, id string, revision int64, v T) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	_, err = c.docs.Put(ctx, c.name, state.Document{ID: id, Body: body, Revision: revision})
	return err
}

func (c *collection[T]) remove(ctx context.Context, id string) error {
	return c.docs.Remove(ctx, c.name, id)
}

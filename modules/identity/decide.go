package identity

import (
	"context"
	"errors"
)

// Errors of what people decide.
var (
	// ErrUnknown says that nothing is known of an identifier.
	ErrUnknown = errors.New("nothing is known of this identifier")
	// ErrNotLinked says that two identifiers never came in one event.
	ErrNotLinked = errors.New("these two identifiers were never seen together")
	// ErrTooMany says that an identifier cannot be let go from quarantine.
	ErrTooMany = errors.New("this identifier was seen with so many others that not all of them are remembered; it cannot be let go")
)

// Unlink undoes the link between two identifiers, for good: seeing them together again
// does not bring it back. Where nothing else holds them together their profile comes
// apart. Relink takes that back.
func (g *Graph) Unlink(ctx context.Context, pixel string, a, b ID) error {
	return g.relink(ctx, pixel, a, b, true)
}

// Relink takes an Unlink back.
func (g *Graph) Relink(ctx context.Context, pixel string, a, b ID) error {
	return g.relink(ctx, pixel, a, b, false)
}

func (g *Graph) relink(ctx context.Context, pixel string, a, b ID, undo bool) error {
	w := g.work(ctx)
	one, other := w.node(pixel, a), w.node(pixel, b)
	if err := w.load(w.list); err != nil {
		return err
	}
	if one.rec.edge(b) == nil && other.rec.edge(a) == nil {
		return ErrNotLinked
	}
	for _, n := range w.list {
		to := b
		if n.id == b {
			to = a
		}
		w.decideOn(n, func(r *record) {
			if e := r.edge(to); e != nil {
				e.flags &^= cut
				if undo {
					e.flags |= cut
				}
			}
		})
	}
	return w.settle()
}

func (w *work) decideOn(n *node, op func(*record)) {
	n.ops, n.decide = append(n.ops, op), true
	w.near(n)
}

// Isolate quarantines an identifier: it links nobody, whatever it is seen with, until
// Release.
func (g *Graph) Isolate(ctx context.Context, pixel string, id ID) error {
	return g.decide(ctx, pixel, id, func(r *record) error {
		r.put(blocked, true)
		r.put(released, false)
		return nil
	})
}

// Release lets an identifier go from quarantine: it links again what it was seen with.
func (g *Graph) Release(ctx context.Context, pixel string, id ID) error {
	return g.decide(ctx, pixel, id, func(r *record) error {
		if r.has(overflowed) {
			return ErrTooMany
		}
		r.put(blocked, false)
		r.put(released, true)
		return nil
	})
}

func (g *Graph) decide(ctx context.Context, pixel string, id ID, op func(*record) error) error {
	w := g.work(ctx)
	n := w.node(pixel, id)
	if err := w.load(w.list); err != nil {
		return err
	}
	if n.old == nil || n.rec.void() {
		return ErrUnknown
	}
	var refused error
	w.decideOn(n, func(r *record) { refused = op(r) })
	probe := n.rec
	if err := op(&probe); err != nil {
		return err
	}
	if err := w.settle(); err != nil {
		return err
	}
	return refused
}

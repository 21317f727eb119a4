package identity

import (
	"context"
	"slices"
)

// Forget takes back what a visitor's events linked, and what is kept of the visitor:
// the browser's id, and whatever is known by its events alone. What others brought
// stays, and so do the profiles that it makes. It returns how many records changed. The
// visitor may also be one that Resolve named for an identifier, which is forgotten then.
func (g *Graph) Forget(ctx context.Context, pixel, visitor string) (int, error) {
	return g.forget(ctx, spot{pixel, Visiting(visitor)})
}

func (g *Graph) forget(ctx context.Context, p spot) (int, error) {
	w := g.work(ctx)
	gone := w.node(p.pixel, p.id)
	if err := w.load(w.list); err != nil {
		return 0, err
	}
	if gone.old == nil || gone.rec.void() {
		return 0, nil
	}
	// While it is quarantined its links are gone, and all the same to be found again if
	// this is cut short.
	w.decideOn(gone, func(r *record) { r.put(blocked, true) })
	name := gone.rec.value
	if p.id.Kind() != Visitor {
		name = pack(p.id.named())
	}
	var around []*node
	for _, e := range gone.rec.edges {
		around = append(around, w.node(p.pixel, e.to))
	}
	if err := w.load(around); err != nil {
		return 0, err
	}
	for _, n := range around {
		if n.old == nil {
			continue
		}
		w.decideOn(n, func(r *record) { w.withoutVisitor(n, r, p.id, name) })
	}
	w.gone = gone
	if err := w.settle(); err != nil {
		return 0, err
	}
	g.count.forgotten.Add(1)
	return len(w.nears), nil
}

// withoutVisitor takes from another identifier's record what a visitor's events
// brought.
func (w *work) withoutVisitor(n *node, r *record, visitor ID, name text) {
	if string(r.home) == string(name) {
		r.home = nil
	}
	m := mark(visitor)
	r.edges = slices.DeleteFunc(r.edges, func(e edge) bool {
		if e.to == visitor {
			return true
		}
		if e.to.Kind() == Visitor || n.id.Kind() == Visitor || e.has(anonymous) || !e.brought(visitor) && !e.has(crowded) {
			return false
		}
		if e.has(crowded) {
			// Not all who brought it are remembered: any visitor whom both know may have.
			other := w.nodes[spot{n.pixel, e.to}]
			return other == nil || !other.loaded || !common(r, &other.rec, visitor)
		}
		return len(e.via) == 4 && string(e.via) == string(m)
	})
	for i := range r.edges {
		e := &r.edges[i]
		if !e.brought(visitor) {
			continue
		}
		var left []byte
		for v := e.via; len(v) >= 4; v = v[4:] {
			if string(v[:4]) != string(m) {
				left = append(left, v[:4]...)
			}
		}
		e.via = left
	}
	if !slices.ContainsFunc(r.edges, func(e edge) bool { return !e.has(cut) }) && !r.has(named|blocked|released|overflowed|kept) {
		// Nobody else ever brought it.
		r.edges = nil
		if n.id.Kind() != Visitor { // whose row has to say that he is himself again
			r.value = nil
		}
	}
}

// common reports whether two records name one visitor beside one.
func common(a, b *record, beside ID) bool {
	for i := range a.edges {
		if to := a.edges[i].to; to.Kind() == Visitor && to != beside && b.edge(to) != nil {
			return true
		}
	}
	return false
}

package identity

import (
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// group is a profile, as the search found it.
type group struct {
	pixel    string
	nodes    []*node
	name     ID
	large    bool
	visitors int
	follow   bool // something far or outside of the state has to follow
}

// search finds the profiles of all near identifiers, and where something may have come
// apart of what they were linked with: by hops, each of them one read.
func (w *work) search() ([]*group, error) {
	var frontier []*node
	visit := func(n *node) {
		if !n.found {
			n.found, n.root, n.size = true, n, 1
			frontier = append(frontier, n)
		}
	}
	for _, n := range w.nears {
		visit(n)
	}
	if w.doubt {
		var around []*node
		for _, n := range w.nears {
			for _, id := range n.before.ids {
				around = append(around, w.node(n.pixel, id))
			}
		}
		if err := w.load(around); err != nil {
			return nil, err
		}
		for _, n := range around {
			if n.old != nil {
				visit(n)
			}
		}
	}
	for len(frontier) > 0 {
		hop := frontier
		frontier = nil
		var need []*node
		for _, n := range hop {
			n.expand = !n.quiet && w.beyond(n)
			if !n.expand {
				continue
			}
			for i := range n.rec.edges {
				if e := &n.rec.edges[i]; !e.has(cut) && !w.expired(e) {
					need = append(need, w.node(n.pixel, e.to))
				}
			}
		}
		if err := w.load(need); err != nil {
			return nil, err
		}
		for _, n := range hop {
			if !n.expand {
				continue
			}
			for i := range n.rec.edges {
				e := &n.rec.edges[i]
				if e.has(cut) {
					continue
				}
				if m := w.node(n.pixel, e.to); m.loaded && w.live(n, e, m) {
					visit(m)
					join(n, m)
				}
			}
		}
	}
	return w.groups(), nil
}

// reach is how much further the search goes in what may have become too large just
// before whoever found that died.
const reach = 20

// beyond reports whether to look at what an identifier is linked with. That of a
// profile which is too large already is not looked at again, unless it may have come
// apart, and then no further than to know.
func (w *work) beyond(n *node) bool {
	most := w.g.limits.Profile
	switch {
	case !n.rec.has(large):
		return true
	case w.mend:
		return n.find().size <= reach*most
	}
	return w.doubt && n.find().size <= most
}

func (n *node) find() *node {
	for n.root != n.root.root {
		n.root = n.root.root
	}
	return n.root
}

func join(a, b *node) {
	a, b = a.find(), b.find()
	if a == b {
		return
	}
	if a.size < b.size {
		a, b = b, a
	}
	b.root, a.size = a, a.size+b.size
}

func (w *work) groups() []*group {
	var out []*group
	for _, n := range w.list {
		if !n.found {
			continue
		}
		root := n.find()
		g := root.group
		if g == nil {
			g = &group{pixel: n.pixel, name: n.id}
			root.group = g
			out = append(out, g)
		}
		n.group = g
		g.nodes = append(g.nodes, n)
		if n.id.less(g.name) {
			g.name = n.id
		}
		if n.rec.has(large) && !w.doubt {
			g.large = true
		}
		if n.visitor() != "" {
			g.visitors++
		}
	}
	for _, g := range out {
		if len(g.nodes) > w.g.limits.Profile {
			g.large = true
		}
		if g.nodes[0].quiet { // then it is alone
			g.large = false
		}
	}
	return out
}

// visitor is the name of the stored events that are this identifier's own, if there
// can be any.
func (n *node) visitor() string {
	switch {
	case n.id.Kind() == Visitor:
		return n.rec.value.String()
	case n.rec.has(named):
		return n.id.named()
	}
	return ""
}

// conclude names every profile, and returns the rows of the map that follow and what
// is to be listed as quarantined.
func (w *work) conclude(groups []*group) (rows []analytics.Identity, notes []note) {
	for _, g := range groups {
		row := len(rows)
		newly := false
		var merged ID
		for _, n := range g.nodes {
			label := g.name
			if g.large || n.quiet {
				label = n.id
			}
			changed := n.rec.label != label || n.rec.has(large) != g.large
			if changed && !n.near {
				g.follow = true
			}
			if g.large && !n.rec.has(large) {
				newly = true
			}
			if n.before.label != label && n.old != nil && !g.large && !n.quiet {
				merged = n.before.label
			}
			n.rec.label = label
			n.rec.put(large, g.large)
			rows = w.row(rows, g, n)
		}
		if half := w.g.limits.Profile / 2; len(g.nodes) > half && !g.large {
			for _, n := range g.nodes {
				w.touch(n)
			}
			g.follow = true
		}
		if len(rows) > row {
			g.follow = true
		}
		if newly {
			for _, n := range g.nodes {
				if n.id == g.name {
					notes = append(notes, note{n.spot, n.rec.value.String(), ProfileLarge})
				}
			}
			g.follow = true
		}
		if merged != (ID{}) {
			w.g.count.merges.Add(1)
		}
	}
	for _, n := range w.nears {
		turned := n.quiet != n.before.quiet
		if turned && n.quiet && !n.rec.has(blocked) {
			notes = append(notes, note{n.spot, n.rec.value.String(), w.g.limits.reason(&n.rec)})
			w.g.count.quarantined.Add(1)
		}
		apart := turned || n.stale || n.decide
		n.rec.put(dirty, w.mend || n.group.follow || apart)
	}
	return rows, notes
}

// row adds what the map has to be told of an identifier: the profile's name where it
// has several visitors.
func (w *work) row(rows []analytics.Identity, g *group, n *node) []analytics.Identity {
	visitor := n.visitor()
	if visitor == "" {
		return rows
	}
	profile := ""
	if g.visitors > 1 && !g.large && !n.quiet {
		profile = n.rec.label.String()
	}
	known := n.before.flags&mapped != 0
	switch {
	case w.mend:
	case profile == "" && !known:
		return rows
	case profile != "" && known && n.before.label == n.rec.label:
		return rows
	}
	n.rec.put(mapped, profile != "")
	w.touch(n)
	return append(rows, analytics.Identity{PixelID: n.pixel, VisitorID: visitor, ProfileID: profile, Version: n.rec.rev})
}

// touch makes a record differ from what it was.
func (w *work) touch(n *node) {
	if n.rec.rev == n.before.rev {
		// By the clock, so that it grows over the end of a record too.
		n.rec.rev = max(n.before.rev+1, int64(w.now.Sub(epoch)/time.Millisecond))
	}
}

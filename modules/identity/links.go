package identity

import (
	"slices"
	"time"
)

// see notes what an event brings that is not known yet.
func (w *work) see(r *resolving) {
	e := r.seen.Event
	visitor, browser := "", r.browser()
	if browser != nil {
		visitor = e.Subject.AnonymousID
	}
	if r.from != nil {
		w.cross(browser, r.from, r.seen)
	}
	for i := 0; visitor == "" && i < len(r.nodes); i++ {
		visitor = r.nodes[i].home()
	}
	if visitor == "" && e.Subject.AnonymousID == "" {
		visitor = r.nodes[0].id.named()
	}
	for i, n := range r.nodes {
		w.renew(n)
		if n == browser && r.seen.Keep && !n.rec.has(kept) {
			w.near(n)
			w.introduce(n, r.idents[i].value, visitor)
			w.do(n, func(r *record) { r.put(kept, true) })
		}
		// Of a browser that says nothing of its visitor nothing is kept.
		if n == browser && len(r.nodes) == 1 || visitor == "" && len(r.nodes) == 1 {
			continue
		}
		if n.rec.value == nil || n != browser && n.home() == "" && visitor != "" {
			w.near(n)
			w.introduce(n, r.idents[i].value, visitor)
		}
	}
	all := r.nodes
	if r.also != nil && !r.also.rec.void() && !slices.Contains(all, r.also) {
		if browser == nil && r.also.id.Kind() == Visitor {
			browser = r.also
		}
		w.renew(r.also)
		all = append(all[:len(all):len(all)], r.also)
		for i, n := range r.nodes {
			w.introduce(n, r.idents[i].value, visitor)
		}
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			l := link{at: e.ReceivedAt, source: e.Source, event: e.ID, browser: browser}
			if !w.knows(a, b, &l) || !w.knows(b, a, &l) {
				w.near(a)
				w.near(b)
				w.link(a, b, l)
				w.link(b, a, l)
			}
		}
	}
}

// renew looks again at one whose change was cut short, who has links that expired, or
// who was not written for long.
func (w *work) renew(n *node) {
	if n.rec.has(dirty) || n.stale || n.old != nil && n.rec.seen+renew < w.today {
		w.near(n)
	}
}

// cross links a browser's ids on two domains, and those alone: what else an event names
// belongs to the domain that it came from, and goes with that one's consent.
func (w *work) cross(to, from *node, s *Seen) {
	for _, end := range [...]struct {
		n     *node
		value string
	}{{to, s.Event.Subject.AnonymousID}, {from, s.From}} {
		w.renew(end.n)
		if end.n.rec.value == nil {
			w.near(end.n)
			w.introduce(end.n, end.value, end.value)
		}
	}
	l := link{at: s.Event.ReceivedAt, source: crossed, event: s.Event.ID, browser: to}
	if !w.knows(to, from, &l) || !w.knows(from, to, &l) {
		w.near(to)
		w.near(from)
		w.link(to, from, l)
		w.link(from, to, l)
	}
}

func (w *work) do(n *node, op func(*record)) {
	n.ops = append(n.ops, op)
	op(&n.rec)
}

// link is what an event says of two identifiers.
type link struct {
	to      ID
	at      time.Time
	source  string
	event   string
	browser *node // nil: none
}

// knows reports whether the end at a of a link has nothing to learn.
func (w *work) knows(a, b *node, l *link) bool {
	e := a.rec.edge(b.id)
	switch {
	case e == nil:
		return a.rec.has(overflowed)
	case e.last+renew < w.today:
		return false
	case a.id.Kind() == Visitor || b.id.Kind() == Visitor:
		return true
	case l.browser == nil:
		return e.has(anonymous)
	}
	return e.has(crowded) || e.brought(l.browser.id)
}

// link notes that a's end of a link has to be there.
func (w *work) link(a, b *node, l link) {
	l.to = b.id
	a.links = append(a.links, l)
	w.add(a, &l)
}

// add brings a link into a record.
func (w *work) add(n *node, l *link) {
	r := &n.rec
	e := r.edge(l.to)
	if e == nil {
		if r.has(overflowed) {
			return
		}
		k, same := l.to.Kind(), 0
		for i := range r.edges {
			if r.edges[i].to.Kind() == k {
				same++
			}
		}
		if same >= w.g.limits.room(k) {
			r.put(overflowed, true)
			return
		}
		r.edges = append(r.edges, edge{to: l.to, last: w.today})
		e = &r.edges[len(r.edges)-1]
		if n.id.less(l.to) {
			e.flags |= proven
			e.evidence = evidence{uint32(max(0, l.at.Unix())), sourceOf(l.source), pack(l.event)}
		}
	}
	e.last = w.today
	if n.id.Kind() == Visitor || l.to.Kind() == Visitor {
		return
	}
	switch {
	case l.browser == nil:
		e.flags |= anonymous
	case e.has(crowded) || e.brought(l.browser.id):
	case len(e.via) == 4*maxVia:
		e.flags |= crowded
	default:
		e.via = append(e.via, mark(l.browser.id)...)
	}
}

// introduce keeps what an identifier is and which visitor its events belong to where
// they name none.
func (w *work) introduce(n *node, value, visitor string) {
	w.do(n, func(r *record) {
		if r.value == nil {
			r.value = pack(value)
		}
		switch {
		case n.id.Kind() == Visitor || visitor == "" || r.home != nil || r.has(named):
		case visitor == n.id.named():
			r.put(named, true)
		default:
			r.home = pack(visitor)
		}
	})
}

// home is the visitor of events that have this identifier and no browser's.
func (n *node) home() string {
	switch {
	case n.rec.home != nil:
		return n.rec.home.String()
	case n.rec.has(named):
		return n.id.named()
	}
	return ""
}

// mark is what is remembered of a visitor who brought a link.
func mark(visitor ID) []byte { return visitor[1:5] }

func (e *edge) brought(visitor ID) bool {
	m := mark(visitor)
	for v := e.via; len(v) >= 4; v = v[4:] {
		if string(v[:4]) == string(m) {
			return true
		}
	}
	return false
}

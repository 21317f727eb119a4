package identity

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/state"
)

// Graph holds people together: identifiers that came in one event are linked, and all
// that are linked, over however many steps, are one profile.
//
// It promises that a profile follows from the set of what was seen and of what people
// decided, and from nothing else: not from the order of events, their batches or their
// repetition, nor from how many replicas there are. What an event brings is all known
// once Resolve returned; where it did not, doing it again mends whatever was left half
// done. Only events under full consent link, and Forget takes a visitor's links back.
//
// The links are what is kept; profiles are worked out from them around whatever
// changed. Most events change nothing, and cost their part of one read; most of those that
// name a browser alone not even that.
type Graph struct {
	keys   Keys
	rows   Rows
	limits Limits
	now    func() time.Time
	count  Counts
}

// Keys is what the graph needs of the state.
type Keys interface {
	Get(ctx context.Context, keys ...string) ([][]byte, error)
	SwapAll(ctx context.Context, changes ...state.Change) ([][]byte, error)
}

// Rows is where questions about stored events find whose a visitor is.
type Rows interface {
	WriteIdentities(ctx context.Context, identities ...analytics.Identity) error
}

// New returns a graph; a nil now is time.Now.
func New(keys Keys, rows Rows, limits Limits, now func() time.Time) *Graph {
	if now == nil {
		now = time.Now
	}
	return &Graph{keys: keys, rows: rows, limits: limits, now: now}
}

const (
	// keep is how long an identifier that nobody sees is remembered: as long as the id
	// cookie may live.
	keep = 395
	// renew is how stale the day may get on which something was last seen, in days,
	// which spares a write for most events.
	renew = 30
)

// Seen is an event to be resolved.
type Seen struct {
	Event *event.Event
	// Alone keeps it from linking: its client visits by itself and is nobody.
	Alone bool
	// Withdrawn says that its visitor, as far as is known by now, no longer allows
	// what links: what was linked under an earlier consent is taken back.
	Withdrawn bool
	// Also is what Visiting gave of somebody who is known to be the same person. It
	// links where that one, in turn, is known.
	Also ID
	// From is the id that the same browser has on another domain, which it just came
	// from. It links the two, whether or not more is known of either.
	From string
	// Keep makes the event's browser known, so that Also finds it.
	Keep bool
	// Whole asks who else its visitor is.
	Whole bool
	// Lately says that an event of the same browser was looked up within a day. One that
	// names nothing else and asks nothing has nothing to bring then, and is not looked up.
	Lately bool

	// What Resolve finds out: whether the event brought a link, the same each time that it
	// is resolved; and, for those and where it was asked, the other visitors of the profile.
	Merged bool
	Others []string
}

// passes reports whether an event with these identifiers brings nothing and asks nothing.
func (s *Seen) passes(idents []ident) bool {
	switch len(idents) {
	case 0:
		return true
	case 1:
		return s.Lately && idents[0].id.Kind() == Visitor && s.From == "" && s.Also == (ID{}) && !s.Keep && !s.Whole
	}
	return false
}

// Resolve gives each event its VisitorID, the name that holds a visitor's events
// together, links what came together, and tells who else its visitor is.
//
// A browser's own id is its visitor. An event without one, such as a server's, belongs
// to the visitor whose events first brought its strongest identifier; if there was
// none, to one named for it. With less than full consent an event has its browser's id
// or no visitor.
func (g *Graph) Resolve(ctx context.Context, seen ...*Seen) error {
	w := g.work(ctx)
	resolved := make([]resolving, 0, len(seen))
	list := make([]ident, 0, 4*len(seen))
	ns := make([]*node, 0, 4*len(seen))
	var forget []spot
	for _, s := range seen {
		e := s.Event
		e.Subject.VisitorID = e.Subject.AnonymousID
		switch {
		case s.Alone:
		case e.Verdict.State == event.Full:
			from := len(list)
			list = appendIdents(list, &e.Subject)
			mine := list[from:]
			if s.passes(mine) {
				continue
			}
			at := len(ns)
			for _, i := range mine {
				ns = append(ns, w.node(e.PixelID, i.id))
			}
			r := resolving{seen: s, idents: mine, nodes: ns[at:len(ns):len(ns)]}
			if s.Also != (ID{}) {
				r.also = w.node(e.PixelID, s.Also)
			}
			if last := mine[len(mine)-1].id; s.From != "" && s.From != e.Subject.AnonymousID && last.Kind() == Visitor && !junk(Visitor, s.From) && len(s.From) <= maxValue {
				r.from = w.node(e.PixelID, Of(Visitor, s.From))
			}
			resolved = append(resolved, r)
		case s.Withdrawn && e.Subject.AnonymousID != "":
			p := spot{e.PixelID, Of(Visitor, e.Subject.AnonymousID)}
			w.node(p.pixel, p.id)
			forget = append(forget, p)
		}
	}
	if len(w.list) == 0 {
		return ctx.Err()
	}
	if err := w.load(w.list); err != nil {
		return err
	}
	for i := range resolved {
		w.see(&resolved[i])
	}
	if err := w.settle(); err != nil {
		return err
	}
	for i := range resolved {
		resolved[i].finish()
	}
	if err := w.others(resolved); err != nil {
		return err
	}
	for _, p := range forget {
		if n := w.nodes[p]; n.loaded && n.old != nil && len(n.rec.edges) > 0 {
			if _, err := g.forget(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolving is an event that links.
type resolving struct {
	seen   *Seen
	idents []ident
	nodes  []*node // in the order of idents
	also   *node
	from   *node
}

// finish says who it was.
func (r *resolving) finish() {
	e := r.seen.Event
	if e.Subject.AnonymousID == "" {
		e.Subject.VisitorID = r.nodes[0].home()
	}
	for i, a := range r.nodes {
		for _, b := range r.nodes[i+1:] {
			r.seen.Merged = r.seen.Merged || a.broughtBy(b, e.ID) || b.broughtBy(a, e.ID)
		}
	}
	if b := r.browser(); r.from != nil {
		r.seen.Merged = r.seen.Merged || b.broughtBy(r.from, e.ID) || r.from.broughtBy(b, e.ID)
	}
}

// browser is the event's own, nil if it names none.
func (r *resolving) browser() *node {
	if last := r.nodes[len(r.nodes)-1]; last.id.Kind() == Visitor {
		return last
	}
	return nil
}

// first is the strongest of an event's identifiers that may link.
func (r *resolving) first() *node {
	for _, n := range r.nodes {
		if !n.quiet {
			return n
		}
	}
	return nil
}

// broughtBy reports whether an event was the first to bring a link.
func (n *node) broughtBy(m *node, event string) bool {
	if !n.id.less(m.id) {
		return false
	}
	e := n.rec.edge(m.id)
	return e != nil && e.has(proven) && e.evidence.event.String() == event
}

// others tells the events that want to know who else their visitor is.
func (w *work) others(resolved []resolving) error {
	var of []*resolving
	w.restart()
	for i := range resolved {
		r := &resolved[i]
		if n := r.first(); n != nil && n.old != nil && (r.seen.Whole || r.seen.Merged) {
			w.near(n)
			of = append(of, r)
		}
	}
	if len(of) == 0 {
		return nil
	}
	if _, err := w.search(); err != nil {
		return err
	}
	for _, r := range of {
		g := r.first().group
		if g.large || g.visitors < 2 {
			continue
		}
		for _, n := range g.nodes {
			if v := n.visitor(); v != "" && v != r.seen.Event.Subject.VisitorID {
				r.seen.Others = append(r.seen.Others, v)
			}
		}
	}
	return nil
}

// Visiting is the identifier that an event's VisitorID stands for.
func Visiting(visitor string) ID {
	if digits, ok := strings.CutPrefix(visitor, "v_"); ok {
		if id, ok := ParseID("p_" + digits); ok && id.Kind() != Visitor {
			return id
		}
	}
	return Of(Visitor, visitor)
}

func failed(what string, err error) error { return fmt.Errorf("identity: %s: %w", what, err) }

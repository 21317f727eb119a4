package identity

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/event"
)

// Profile is a person as far as anybody can tell, with what tells so.
type Profile struct {
	ID          string       `json:"id"`
	PixelID     string       `json:"pixel_id"`
	Identifiers []Identifier `json:"identifiers"`
	Links       []Link       `json:"links"`
	// Visitors are the names by which stored events belong to it.
	Visitors []string `json:"visitors"`
	// Unlinked are links that do not count, with why.
	Unlinked []Link `json:"unlinked"`
	// Large is set where so much is linked that it cannot be one person; then each
	// identifier stands for itself, and only the nearest are here.
	Large bool `json:"too_large,omitzero"`
}

// Identifier is one of a profile's.
type Identifier struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Value string `json:"value"` // digests of addresses and telephones
	// LastSeen is a day, and up to a month behind.
	LastSeen time.Time `json:"last_seen,omitzero"`
	// Quarantined is why it links nobody; empty where it may.
	Quarantined Reason `json:"quarantined,omitempty"`
}

// Link is that two identifiers came in one event.
type Link struct {
	A Identifier `json:"a"`
	B Identifier `json:"b"`
	// Event brought it first, at Since, through Source; "" where it is not known.
	Event  string    `json:"event_id,omitempty"`
	Source string    `json:"source,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	// LastSeen is a day, and up to a month behind.
	LastSeen time.Time `json:"last_seen"`
	// Why says why it does not count: undone, or the reason of one of its ends.
	Why string `json:"why,omitempty"`
}

// Undone is the Why of a link that somebody took away.
const Undone = "undone"

// Find returns the identifier that a name stands for at a pixel: a profile's id, a
// visitor's, a customer's, or a digest of an e-mail address or telephone.
func (g *Graph) Find(ctx context.Context, pixel, name string) (ID, error) {
	name = strings.TrimSpace(name)
	var list []ID
	if id, ok := ParseID(name); ok {
		list = append(list, id)
	}
	if name != "" && len(name) <= 255 {
		list = append(list, Visiting(name), Of(Visitor, name), Of(User, name))
		if lower := strings.ToLower(name); len(lower) == 64 {
			if _, err := hex.DecodeString(lower); err == nil {
				list = append(list, Of(Email, lower), Of(Phone, lower), Of(User, lower))
			}
		}
		s := event.Subject{PartnerIDs: map[string]string{"uid2": name, "maid": name, "tdid": name}}
		for _, i := range appendIdents(nil, &s) {
			list = append(list, i.id)
		}
	}
	w := g.work(ctx)
	var ns []*node
	for _, id := range list {
		ns = append(ns, w.node(pixel, id))
	}
	if err := w.load(ns); err != nil {
		return ID{}, err
	}
	for _, n := range ns {
		if n.old != nil && !n.rec.void() {
			return n.id, nil
		}
	}
	return ID{}, ErrUnknown
}

// Profile returns the profile that an identifier belongs to.
func (g *Graph) Profile(ctx context.Context, pixel string, id ID) (Profile, error) {
	w := g.work(ctx)
	start := w.node(pixel, id)
	if err := w.load(w.list); err != nil {
		return Profile{}, err
	}
	if start.old == nil || start.rec.void() {
		return Profile{}, ErrUnknown
	}
	group, err := w.around(start)
	if err != nil {
		return Profile{}, err
	}
	p := Profile{ID: start.rec.label.String(), PixelID: pixel, Links: []Link{}, Unlinked: []Link{}, Visitors: []string{}, Large: start.rec.has(large)}
	members := group.nodes
	slices.SortFunc(members, func(a, b *node) int { return strings.Compare(string(a.id[:]), string(b.id[:])) })
	// What the members name beside one another is read too, to say why it is not theirs.
	var beside []*node
	for _, n := range members {
		for _, e := range n.rec.edges {
			beside = append(beside, w.node(pixel, e.to))
		}
	}
	if err := w.load(beside); err != nil {
		return Profile{}, err
	}
	in := map[*node]bool{}
	for _, n := range members {
		in[n] = true
		p.Identifiers = append(p.Identifiers, g.identifier(n))
		if v := n.visitor(); v != "" {
			p.Visitors = append(p.Visitors, v)
		}
	}
	told := map[[2]ID]bool{}
	for _, n := range members {
		for i := range n.rec.edges {
			e := &n.rec.edges[i]
			m := w.node(pixel, e.to)
			a, b := n, m
			if b.id.less(a.id) {
				a, b = b, a
			}
			if told[[2]ID{a.id, b.id}] || m.old == nil || w.expired(e) {
				continue
			}
			told[[2]ID{a.id, b.id}] = true
			l := Link{A: g.identifier(a), B: g.identifier(b), LastSeen: date(e.last)}
			if at := a.rec.edge(b.id); at != nil && at.has(proven) {
				l.Event, l.Source, l.Since = at.evidence.event.String(), sources[min(int(at.evidence.source), len(sources)-1)], time.Unix(int64(at.evidence.at), 0).UTC()
			}
			back := m.rec.edge(n.id)
			switch {
			case e.has(cut) || back != nil && back.has(cut):
				l.Why = Undone
			case n.quiet || m.quiet:
				l.Why = string(cmp.Or(g.limits.reason(&n.rec), g.limits.reason(&m.rec)))
			case back == nil: // an end is missing: not to be seen
				continue
			}
			if l.Why == "" {
				p.Links = append(p.Links, l)
			} else {
				p.Unlinked = append(p.Unlinked, l)
			}
		}
	}
	for _, list := range [][]Link{p.Links, p.Unlinked} {
		slices.SortFunc(list, func(a, b Link) int {
			return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.A.ID, b.A.ID), cmp.Compare(a.B.ID, b.B.ID))
		})
	}
	return p, nil
}

// around is the profile of a node that is read.
func (w *work) around(start *node) (*group, error) {
	w.near(start)
	w.apply()
	if _, err := w.search(); err != nil {
		return nil, err
	}
	return start.group, nil
}

func (g *Graph) identifier(n *node) Identifier {
	i := Identifier{ID: n.id.String(), Kind: n.id.Kind().String(), Value: n.rec.value.String(), Quarantined: g.limits.reason(&n.rec)}
	if n.rec.seen > 0 {
		i.LastSeen = date(n.rec.seen)
	}
	if i.Quarantined == "" && n.rec.has(large) {
		i.Quarantined = ProfileLarge
	}
	return i
}

// Visitors are those of the profiles that a subject's identifiers belong to.
func (g *Graph) Visitors(ctx context.Context, pixel string, s event.Subject) ([]string, error) {
	w := g.work(ctx)
	var start []*node
	for _, i := range appendIdents(nil, &s) {
		start = append(start, w.node(pixel, i.id))
	}
	if err := w.load(start); err != nil {
		return nil, err
	}
	for _, n := range start {
		if n.old != nil {
			w.near(n)
		}
	}
	if len(w.nears) == 0 {
		return nil, ctx.Err()
	}
	groups, err := w.search()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, g := range groups {
		for _, n := range g.nodes {
			if v := n.visitor(); v != "" {
				out = append(out, v)
			}
			if v := n.home(); v != "" {
				out = append(out, v)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

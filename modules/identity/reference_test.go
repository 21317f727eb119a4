package identity

import (
	"github.com/miq/pixel/modules/event"
)

// reference works out whose everything is the plain way: from all events at once, by a
// union-find, for one pixel.
type reference struct {
	limits   Limits
	with     map[ID]map[ID]bool // what each was seen with
	unlinked map[[2]ID]bool
	isolated map[ID]bool
	released map[ID]bool
	parent   map[ID]ID
}

func newReference(l Limits) *reference {
	return &reference{limits: l, with: map[ID]map[ID]bool{}, unlinked: map[[2]ID]bool{}, isolated: map[ID]bool{}, released: map[ID]bool{}}
}

func (r *reference) see(events ...*event.Event) {
	for _, e := range events {
		if e.Verdict.State != event.Full {
			continue
		}
		ids := appendIdents(nil, &e.Subject)
		if from := e.Crossing.Visitor; from != "" && e.Subject.AnonymousID != "" && from != e.Subject.AnonymousID {
			a, b := Of(Visitor, e.Subject.AnonymousID), Of(Visitor, from)
			for _, id := range [...]ID{a, b} {
				if r.with[id] == nil {
					r.with[id] = map[ID]bool{}
				}
			}
			r.with[a][b], r.with[b][a] = true, true
		}
		for _, a := range ids {
			if r.with[a.id] == nil {
				r.with[a.id] = map[ID]bool{}
			}
			for _, b := range ids {
				if a != b {
					r.with[a.id][b.id] = true
				}
			}
		}
	}
}

func (r *reference) cut(a, b ID) bool { return r.unlinked[[2]ID{a, b}] || r.unlinked[[2]ID{b, a}] }

func (r *reference) quiet(a ID) bool {
	var n, all [kinds]int
	for b := range r.with[a] {
		all[b.Kind()]++
		if !r.cut(a, b) {
			n[b.Kind()]++
		}
	}
	tooMany := false
	for k := User; k < kinds; k++ {
		if all[k] > r.limits.room(k) {
			return true
		}
		tooMany = tooMany || n[k] > r.limits.of(k)
	}
	return r.isolated[a] || tooMany && !r.released[a]
}

func (r *reference) find(a ID) ID {
	for r.parent[a] != a {
		r.parent[a] = r.parent[r.parent[a]]
		a = r.parent[a]
	}
	return a
}

// labels are whose each is.
func (r *reference) labels() map[ID]ID {
	r.parent = make(map[ID]ID, len(r.with))
	quiet := make(map[ID]bool, len(r.with))
	for a := range r.with {
		r.parent[a], quiet[a] = a, r.quiet(a)
	}
	for a, with := range r.with {
		for b := range with {
			if quiet[a] || quiet[b] || r.cut(a, b) {
				continue
			}
			x, y := r.find(a), r.find(b)
			if y.less(x) {
				x, y = y, x
			}
			r.parent[y] = x // the smaller one names it
		}
	}
	size := map[ID]int{}
	for a := range r.with {
		size[r.find(a)]++
	}
	out := make(map[ID]ID, len(r.with))
	for a := range r.with {
		if root := r.find(a); size[root] <= r.limits.Profile {
			out[a] = root
		} else {
			out[a] = a
		}
	}
	return out
}

package identity

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/state"
)

// work is one change of the graph: what is read, what becomes of it, and what has to be
// written. It may be begun anew until nobody else changed any of it in between.
//
// Why this converges: whoever changes a link writes both of its ends, by
// compare-and-set. Of two who change one profile at the same time, either both write
// an identifier, and the second begins anew and sees what the first did; or neither
// changes what the other reads, since joining something on leaves the profile's name,
// and its members, as they are. (Only its size could then be misjudged: so whoever
// makes a profile more than half as large as may be writes all of it.) An end that is
// missing unlinks, so that a change which was cut short shows nothing too early, and
// what it left is marked dirty until all that follows is written.
type work struct {
	g     *Graph
	ctx   context.Context
	now   time.Time
	today uint16
	nodes map[spot]*node
	list  []*node // in the order of first mention
	nears []*node
	// doubt is set where something may have come apart: then nothing that was worked
	// out before is believed.
	doubt bool
	// mend is set where a change was cut short, and nobody knows what of it was written.
	mend bool
	// gone is whose record is emptied when all else is written.
	gone *node
}

type spot struct {
	pixel string
	id    ID
}

// node is an identifier in a work.
type node struct {
	spot
	key string
	old []byte // as it stands; nil: absent
	rec record

	loaded bool
	near   bool                // it changes, or has to be looked at
	links  []link              // to be there afterwards
	ops    []func(rec *record) // what else is to be changed
	decide bool                // ops may take links away

	stale  bool // some of its links have expired
	quiet  bool // it links nobody
	before struct {
		ids   []ID
		flags flags
		label ID
		quiet bool
		rev   int64
	}

	// Of the search around the near ones.
	found  bool
	expand bool
	root   *node
	size   int
	group  *group
}

func (g *Graph) work(ctx context.Context) *work {
	now := g.now()
	return &work{g: g, ctx: ctx, now: now, today: day(now), nodes: make(map[spot]*node, 512)}
}

// node is the one of an identifier, not read yet where it is new.
func (w *work) node(pixel string, id ID) *node {
	p := spot{pixel, id}
	n := w.nodes[p]
	if n == nil {
		n = &node{spot: p}
		w.nodes[p] = n
		w.list = append(w.list, n)
	}
	return n
}

func (w *work) near(n *node) {
	if !n.near {
		n.near = true
		w.nears = append(w.nears, n)
	}
}

// load reads what is not read yet, in one round trip.
func (w *work) load(list []*node) error {
	keys := make([]string, 0, len(list))
	ask := make([]*node, 0, len(list))
	for _, n := range list {
		if n.loaded {
			continue
		}
		n.loaded = true
		if n.key == "" {
			n.key = key(n.pixel, n.id)
		}
		keys, ask = append(keys, n.key), append(ask, n)
	}
	if len(keys) == 0 {
		return nil
	}
	values, err := w.g.keys.Get(w.ctx, keys...)
	if err != nil {
		return failed("read what is known of identifiers", err)
	}
	for i, n := range ask {
		n.old = values[i]
		if err := w.read(n); err != nil {
			return err
		}
	}
	return nil
}

// read takes a node's record apart.
func (w *work) read(n *node) error {
	if err := n.rec.decode(n.id, n.old); err != nil {
		return failed("read "+n.id.String(), err)
	}
	n.stale = false
	for i := range n.rec.edges {
		n.stale = n.stale || w.expired(&n.rec.edges[i])
	}
	n.quiet = w.g.limits.reason(&n.rec) != ""
	n.before.flags, n.before.label, n.before.quiet, n.before.rev = n.rec.flags, n.rec.label, n.quiet, n.rec.rev
	return nil
}

func (w *work) expired(e *edge) bool { return e.last+keep < w.today }

// tries bounds how often a work is begun anew.
const tries = 40

var errBusy = errors.New("what is known of an identifier keeps changing")

// settle makes what was noted true: links, what follows from them, and the map.
func (w *work) settle() error {
	for attempt := range tries {
		if len(w.nears) == 0 {
			return nil
		}
		if attempt > 0 {
			if err := w.again(attempt); err != nil {
				return err
			}
		}
		w.apply()
		groups, err := w.search()
		if err != nil {
			return err
		}
		rows, notes := w.conclude(groups)
		done, err := w.write()
		if err != nil {
			return err
		}
		if !done {
			w.g.count.conflicts.Add(1)
			continue
		}
		return w.followUp(rows, notes)
	}
	return failed("write", errBusy)
}

// again forgets what was read, but not what is to be done.
func (w *work) again(attempt int) error {
	if attempt > 2 {
		pause := time.NewTimer(time.Duration(rand.IntN(1<<min(attempt, 7))) * time.Millisecond)
		defer pause.Stop()
		select {
		case <-w.ctx.Done():
			return w.ctx.Err()
		case <-pause.C:
		}
	}
	w.doubt, w.mend = false, false
	for _, n := range w.list {
		*n = node{spot: n.spot, key: n.key, near: n.near, links: n.links, ops: n.ops, decide: n.decide}
	}
	return w.load(w.list)
}

// restart makes ready for another search, of what is known by now.
func (w *work) restart() {
	w.nears, w.doubt, w.mend = nil, false, false
	for _, n := range w.list {
		n.near, n.found, n.root, n.size, n.group = false, false, nil, 0, nil
	}
}

// apply brings what is to be done into the near records as they were read.
func (w *work) apply() {
	for _, n := range w.nears {
		n.before.ids = make([]ID, 0, len(n.rec.edges))
		if n.rec.has(dirty) {
			w.doubt, w.mend = true, true
		}
		if n.decide {
			w.doubt = true
		}
		if n.stale {
			w.doubt = true
			kept := n.rec.edges[:0]
			for _, e := range n.rec.edges {
				if w.expired(&e) {
					n.before.ids = append(n.before.ids, e.to)
				} else {
					kept = append(kept, e)
				}
			}
			n.rec.edges = kept
		}
		for i := range n.rec.edges {
			n.before.ids = append(n.before.ids, n.rec.edges[i].to)
		}
		for _, op := range n.ops {
			op(&n.rec)
		}
		for i := range n.links {
			w.add(n, &n.links[i])
		}
		n.quiet = w.g.limits.reason(&n.rec) != ""
		if n.quiet != n.before.quiet {
			w.doubt = true
		}
	}
}

// live reports whether two identifiers are linked: the link's ends are there at both.
func (w *work) live(a *node, e *edge, b *node) bool {
	if a.quiet || b.quiet || e.has(cut) || w.expired(e) {
		return false
	}
	back := b.rec.edge(a.id)
	return back != nil && !back.has(cut) && !w.expired(back)
}

// write swaps all that changed, and reports whether nobody else had changed any of it.
// The near ones come first, with the mark, so that whatever of the rest was written is
// known to be unfinished.
func (w *work) write() (bool, error) {
	for _, near := range []bool{true, false} {
		var changes []state.Change
		var who []*node
		for _, n := range w.list {
			if !n.found || n.near != near {
				continue
			}
			if !near && n.rec.flags == n.before.flags && n.rec.label == n.before.label && n.rec.rev == n.before.rev {
				continue
			}
			if body := w.encode(n); !bytes.Equal(body, n.old) {
				changes = append(changes, w.change(n, body))
				who = append(who, n)
			}
		}
		if done, err := w.swap(changes, who); err != nil || !done {
			return false, err
		}
	}
	return true, nil
}

func (w *work) encode(n *node) []byte {
	if n.old == nil && n.rec.void() {
		return nil
	}
	if n.near {
		n.rec.seen = w.today
	}
	return n.rec.encode(n.id)
}

// emptied is how long a record of nothing is kept: as good as a deletion, but by
// compare-and-set.
const emptied = time.Minute

func (w *work) change(n *node, body []byte) state.Change {
	ttl := time.Duration(keep+renew) * 24 * time.Hour
	if n.rec.void() && !n.rec.has(dirty) {
		ttl = emptied
	}
	return state.Change{Old: n.old, Entry: state.Entry{Key: n.key, Value: body, TTL: ttl}}
}

func (w *work) swap(changes []state.Change, who []*node) (bool, error) {
	if len(changes) == 0 {
		return true, w.ctx.Err()
	}
	standing, err := w.g.keys.SwapAll(w.ctx, changes...)
	if err != nil {
		return false, failed("write what is known of identifiers", err)
	}
	all := true
	for i, n := range who {
		if bytes.Equal(standing[i], changes[i].Value) && standing[i] != nil {
			n.old = changes[i].Value
		} else {
			all = false
		}
	}
	return all, nil
}

// followUp writes what others are told, and then that nothing is left to do. Whoever
// changed one of the records since saw the mark and does it too.
func (w *work) followUp(rows []analytics.Identity, notes []note) error {
	if len(rows) > 0 {
		if err := w.g.rows.WriteIdentities(w.ctx, rows...); err != nil {
			return failed("write whose visitors are", err)
		}
	}
	if err := w.g.list(w.ctx, w.now, notes); err != nil {
		return err
	}
	var changes []state.Change
	var who []*node
	for _, n := range w.nears {
		if n == w.gone || !n.rec.has(dirty) {
			continue
		}
		n.rec.put(dirty, false)
		if body := n.rec.encode(n.id); n.old != nil && !bytes.Equal(body, n.old) {
			changes, who = append(changes, w.change(n, body)), append(who, n)
		}
	}
	done, err := w.swap(changes, who)
	if n := w.gone; err == nil && n != nil {
		if done {
			n.rec = record{label: n.id, rev: n.rec.rev, seen: n.rec.seen}
			done, err = w.swap([]state.Change{w.change(n, n.rec.encode(n.id))}, []*node{n})
		}
		if err == nil && !done {
			err = failed("write", errBusy) // by it the rest is to be found again
		}
	}
	return err
}

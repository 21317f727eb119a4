package identity

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/state"
)

// The list of what is quarantined is for people to look at, and decides nothing: the
// records do. It is bounded, whatever is sent to us, by a number of shelves of so many
// places; where one is full the oldest goes.
const (
	shelves = 16
	places  = 64
)

// Quarantined is an identifier that links nobody.
type Quarantined struct {
	ID     ID        `json:"-"`
	Kind   string    `json:"kind"`
	Value  string    `json:"value"`
	Reason Reason    `json:"reason"`
	Since  time.Time `json:"since"`
	// With is how many identifiers of each kind it was seen with, as far as is known.
	With map[string]int `json:"with,omitempty"`
}

// note is something to be listed.
type note struct {
	spot
	value  string
	reason Reason
}

// shelved is the form in the state.
type shelved struct {
	ID    string    `json:"id"`
	Value string    `json:"value"`
	Since time.Time `json:"since"`
}

func shelf(pixel string, n int) string { return "quarantine:" + pixel + ":" + strconv.Itoa(n) }

// list writes notes down.
func (g *Graph) list(ctx context.Context, now time.Time, notes []note) error {
	for _, n := range notes {
		if err := g.listOne(ctx, now, n); err != nil {
			return failed("list what is quarantined", err)
		}
	}
	return nil
}

func (g *Graph) listOne(ctx context.Context, now time.Time, n note) error {
	k := shelf(n.pixel, int(n.id[len(n.id)-1])%shelves)
	for range tries {
		old, err := g.keys.Get(ctx, k)
		if err != nil {
			return err
		}
		var on []shelved
		if len(old[0]) > 0 {
			if err := json.Unmarshal(old[0], &on); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(on, func(s shelved) bool { return s.ID == n.id.String() }) {
			return nil
		}
		on = append(on, shelved{n.id.String(), n.value, now.UTC().Truncate(time.Second)})
		on = on[max(0, len(on)-places):]
		body, err := json.Marshal(on)
		if err != nil {
			return err
		}
		standing, err := g.keys.SwapAll(ctx, state.Change{Old: old[0], Entry: state.Entry{Key: k, Value: body, TTL: (keep + renew) * 24 * time.Hour}})
		if err != nil {
			return err
		}
		if string(standing[0]) == string(body) {
			return nil
		}
	}
	return errBusy
}

// Quarantine lists what links nobody, the newest first.
func (g *Graph) Quarantine(ctx context.Context, pixel string) ([]Quarantined, error) {
	keys := make([]string, shelves)
	for i := range keys {
		keys[i] = shelf(pixel, i)
	}
	values, err := g.keys.Get(ctx, keys...)
	if err != nil {
		return nil, failed("read what is quarantined", err)
	}
	w := g.work(ctx)
	var since []time.Time
	var ns []*node
	for _, v := range values {
		var on []shelved
		if len(v) == 0 {
			continue
		}
		if err := json.Unmarshal(v, &on); err != nil {
			return nil, failed("read what is quarantined", err)
		}
		for _, s := range on {
			if id, ok := ParseID(s.ID); ok {
				ns, since = append(ns, w.node(pixel, id)), append(since, s.Since)
			}
		}
	}
	if err := w.load(ns); err != nil {
		return nil, err
	}
	out := []Quarantined{}
	for i, n := range ns {
		reason := g.limits.reason(&n.rec)
		if reason == "" && n.rec.has(large) {
			reason = ProfileLarge
		}
		if reason == "" { // let go since, or forgotten
			continue
		}
		q := Quarantined{ID: n.id, Kind: n.id.Kind().String(), Value: n.rec.value.String(), Reason: reason, Since: since[i], With: map[string]int{}}
		for _, e := range n.rec.edges {
			q.With[e.to.Kind().String()]++
		}
		out = append(out, q)
	}
	slices.SortStableFunc(out, func(a, b Quarantined) int {
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	return out, nil
}

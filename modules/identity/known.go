package identity

import (
	"context"
	"slices"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// Known says of events that were resolved before who else their visitors are, as Resolve
// would, and returns the rows of the map from visitors to profiles that are about them.
// It takes note of nothing: an event that is replayed makes nobody be remembered longer.
func (g *Graph) Known(ctx context.Context, events ...*event.Event) (others [][]string, rows []analytics.Identity, err error) {
	w := g.work(ctx)
	others = make([][]string, len(events))
	var resolved []resolving
	var at []int // of resolved among events
	for i, e := range events {
		if e.Verdict.State != event.Full {
			continue
		}
		r := resolving{seen: &Seen{Event: e, Whole: true}}
		for _, id := range appendIdents(nil, &e.Subject) {
			r.nodes = append(r.nodes, w.node(e.PixelID, id.id))
		}
		if len(r.nodes) > 0 {
			resolved, at = append(resolved, r), append(at, i)
		}
	}
	if len(resolved) == 0 {
		return others, nil, ctx.Err()
	}
	asked := slices.Clone(w.list)
	if err := w.load(asked); err != nil {
		return nil, nil, err
	}
	for _, n := range asked {
		if v := n.visitor(); n.old != nil && v != "" && n.rec.has(mapped) {
			rows = append(rows, analytics.Identity{PixelID: n.pixel, VisitorID: v, ProfileID: n.rec.label.String(), Version: n.rec.rev})
		}
	}
	if err := w.others(resolved); err != nil {
		return nil, nil, err
	}
	for i := range resolved {
		others[at[i]] = resolved[i].seen.Others
	}
	return others, rows, nil
}

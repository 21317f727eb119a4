package sqliteanalytics

import (
	"context"
	"slices"
	"strings"
	"unique"

	"github.com/miq/pixel/modules/analytics"
)

// Attribution adds credits up.
func (s *Store) Attribution(ctx context.Context, q analytics.AttributionQuery) (out []analytics.AttributionRow, err error) {
	q, err = q.Check()
	if err != nil {
		return nil, err
	}
	wanted := make(map[unique.Handle[string]]bool, len(q.Models))
	for _, m := range q.Models {
		wanted[unique.Make(m)] = true
	}
	type place struct{ group, model, currency string }
	places := map[place]int{}
	type sum struct {
		place
		owedSum
	}
	var all []sum
	placeOf := func(to owedTo) int {
		of := to.of.Value()
		if !wanted[to.model] || q.Name != "" && of.name != q.Name || !selected(q.PixelID, q.Pixels, of.pixel) {
			return -1
		}
		p := place{groupOf(q.Dimension, of, to.touch), to.model.Value(), of.currency}
		at, known := places[p]
		if !known {
			at = len(all)
			places[p], all = at, append(all, sum{place: p})
		}
		return at
	}
	// Each hour owes to much the same, so that its place is looked for once.
	met := map[owedTo]int{}
	from, to := within(q.Since, q.Until)
	err = s.owed.with(ctx, s, from, to, func(_ int64, o *owed) {
		for i := range o.sums {
			v := &o.sums[i]
			at, known := met[v.to]
			if !known {
				at = placeOf(v.to)
				met[v.to] = at
			}
			if at >= 0 {
				all[at].add(v)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	sums := analytics.CreditSums{Models: q.Models}
	for i := range all {
		v := &all[i]
		sums.Add(v.group, v.model, v.currency, v.weight, v.value, v.refunded)
	}
	return sums.Rows(q.Limit), nil
}

// groupOf is what a share has in one of the CreditDimensions.
func groupOf(dimension string, of owedOf, touch unique.Handle[owedTouch]) string {
	switch dimension {
	case "name":
		return of.name
	case "pixel_id":
		return of.pixel
	}
	t := touch.Value()
	switch dimension {
	case "channel":
		return t.channel
	case "kind":
		return t.kind
	case "source":
		return t.source
	case "campaign":
		return t.campaign
	}
	return t.partner
}

// selected reports whether a pixel is the one, or one of some, if either is asked for.
func selected(one string, some []string, pixel string) bool {
	return (one == "" || one == pixel) && (some == nil || slices.Contains(some, pixel))
}

// lateness is how much earlier than the touchpoint that it is owed to a conversion may have
// been received, as clocks go.
const lateness = 24 * hour

// Paths counts paths.
func (s *Store) Paths(ctx context.Context, q analytics.PathQuery) (out []analytics.PathRow, err error) {
	q, err = q.Check()
	if err != nil {
		return nil, err
	}
	var count analytics.PathCount
	from, to := within(q.Since, q.Until)
	err = s.owed.with(ctx, s, from, to, func(_ int64, o *owed) {
		for i := range o.paths {
			p := &o.paths[i]
			of := p.of.Value()
			if (q.Name == "" || of.name == q.Name) && selected(q.PixelID, q.Pixels, of.pixel) {
				count.Converted(strings.Split(p.steps.Value(), pathBreak), of.currency, p.value)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	// What a visitor's touchpoints are that led to nothing until now.
	var ids [][]uint64
	n := 0
	err = s.owed.with(ctx, s, max(from-lateness, -far), far, func(_ int64, o *owed) { ids, n = append(ids, o.led), n+len(o.led) })
	if err != nil {
		return nil, err
	}
	led := make(map[uint64]struct{}, n)
	for _, list := range ids {
		for _, id := range list {
			led[id] = struct{}{}
		}
	}
	var lists [][]touched
	n = 0
	err = s.touched.with(ctx, s, from, to, func(_ int64, list *[]touched) { lists, n = append(lists, *list), n+len(*list) })
	if err != nil {
		return nil, err
	}
	tree := pathTree{next: map[pathStep]int{}, steps: []pathStep{{}}}
	visitors := make(map[uint64]int, n/2)
	all := q.PixelID == "" && q.Pixels == nil
	for _, list := range lists {
		for i := range list {
			t := &list[i]
			if _, led := led[t.id]; led || !all && !selected(q.PixelID, q.Pixels, t.pixel.Value()) {
				continue
			}
			visitors[t.visitor] = tree.step(visitors[t.visitor], t.channel)
		}
	}
	nulls := make([]int64, len(tree.steps))
	for _, at := range visitors {
		nulls[at]++
	}
	for at, n := range nulls {
		if n > 0 {
			count.Nulls(tree.path(at), n)
		}
	}
	return count.Rows(q.Limit), nil
}

// pathTree holds paths by their beginnings; the empty one is 0.
type pathTree struct {
	next  map[pathStep]int
	steps []pathStep // of each path its last step, and what it goes on from
}

type pathStep struct {
	from    int
	channel unique.Handle[string]
}

// step is where a path leads by a channel.
func (t *pathTree) step(from int, channel unique.Handle[string]) int {
	s := pathStep{from, channel}
	to, known := t.next[s]
	if !known {
		to = len(t.steps)
		t.next[s], t.steps = to, append(t.steps, s)
	}
	return to
}

// path are its channels.
func (t *pathTree) path(at int) (steps []string) {
	for ; at > 0; at = t.steps[at].from {
		steps = append(steps, t.steps[at].channel.Value())
	}
	slices.Reverse(steps)
	return steps
}

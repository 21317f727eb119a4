package sqliteanalytics

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"strings"
	"unique"

	"github.com/miq/pixel/modules/analytics"
)

// lateness is how much earlier than the touchpoint that it is owed to a conversion may have
// been received, as clocks go.
const lateness = 24 * hour

// Paths counts paths.
func (s *Store) Paths(ctx context.Context, q analytics.PathQuery) ([]analytics.PathRow, error) {
	q, err := q.Check()
	if err != nil {
		return nil, err
	}
	tree := newPathTree()
	from, to := within(q.Since, q.Until)
	if err := s.converted(ctx, q, from, to, tree); err != nil {
		return nil, err
	}
	led, err := s.ledSince(ctx, from)
	if err != nil {
		return nil, err
	}
	if err := s.unconverted(ctx, q, from, to, led, tree); err != nil {
		return nil, err
	}
	return tree.rows(q.Limit), nil
}

// converted counts the paths with a conversion at the end. Few are different, so that alike
// ones are added up before they are taken apart.
func (s *Store) converted(ctx context.Context, q analytics.PathQuery, from, to int64, tree *pathTree) error {
	type way struct {
		of    unique.Handle[owedOf]
		steps unique.Handle[string]
	}
	type sum struct {
		way
		n, value int64
	}
	places := map[way]int{}
	var sums []sum // in the order in which they are met
	err := s.owed.with(ctx, s, from, to, func(_ int64, o *owed) {
		for i := range o.paths {
			p := &o.paths[i]
			w := way{p.of, p.steps}
			at, known := places[w]
			if !known {
				at = len(sums)
				places[w], sums = at, append(sums, sum{way: w})
			}
			sums[at].n++
			sums[at].value += p.value
		}
	})
	if err != nil {
		return err
	}
	for i := range sums {
		v := &sums[i]
		of := v.of.Value()
		if (q.Name == "" || of.name == q.Name) && selected(q.PixelID, q.Pixels, of.pixel) {
			at := int32(0)
			for step := range strings.SplitSeq(v.steps.Value(), pathBreak) {
				at = tree.step(at, unique.Make(step))
			}
			tree.steps[at].conversions += v.n
			if of.currency != "" && v.value != 0 {
				tree.earn(at, of.currency, v.value)
			}
		}
	}
	return nil
}

// ledSince are the touchpoints since a time that led to a conversion.
func (s *Store) ledSince(ctx context.Context, from int64) (*crowd, error) {
	var lists [][]uint64
	n := 0
	err := s.owed.with(ctx, s, max(from-lateness, -far), far, func(_ int64, o *owed) { lists, n = append(lists, o.led), n+len(o.led) })
	if err != nil {
		return nil, err
	}
	led := &crowd{}
	if n > 0 {
		led.grow(2 * n)
	}
	for _, list := range lists {
		led.add(list...)
	}
	return led, nil
}

// unconverted counts what the visitors' touchpoints are that led to nothing until now.
func (s *Store) unconverted(ctx context.Context, q analytics.PathQuery, from, to int64, led *crowd, tree *pathTree) error {
	var lists [][]touched
	err := s.touched.with(ctx, s, from, to, func(_ int64, list *[]touched) { lists = append(lists, *list) })
	if err != nil {
		return err
	}
	all := q.PixelID == "" && q.Pixels == nil
	asked := map[unique.Handle[string]]bool{}
	var visitors walkers
	for _, list := range lists {
		for i := range list {
			t := &list[i]
			if led.has(t.id) {
				continue
			}
			if !all {
				yes, known := asked[t.pixel]
				if !known {
					yes = selected(q.PixelID, q.Pixels, t.pixel.Value())
					asked[t.pixel] = yes
				}
				if !yes {
					continue
				}
			}
			at := visitors.at(t.visitor)
			*at = tree.step(*at, t.channel)
		}
	}
	for i := range visitors.table {
		if at := visitors.table[i].at; at > 0 {
			tree.steps[at].nulls++
		}
	}
	return nil
}

// walkers are where many visitors stand in a tree of paths, by their digests, which are spread
// evenly: the first bits of one are its place, so that nothing has to be hashed again.
type walkers struct {
	table []walker // of a power of two; without a digest: free
	n     int
}

type walker struct {
	visitor uint64
	at      int32
}

// at is where one stands, which is at the tree's root where nobody has seen them. It is good
// until the next is asked for.
func (w *walkers) at(visitor uint64) *int32 {
	if visitor == 0 {
		visitor = 1
	}
	if 2*(w.n+1) > len(w.table) {
		was := w.table
		w.table, w.n = make([]walker, max(1<<10, 4*len(was))), 0
		for i := range was {
			if was[i].visitor != 0 {
				*w.at(was[i].visitor) = was[i].at
			}
		}
	}
	mask := uint64(len(w.table) - 1)
	for i := visitor >> (64 - bits.Len64(mask)); ; i = (i + 1) & mask {
		switch x := &w.table[i]; x.visitor {
		case 0:
			x.visitor = visitor
			w.n++
			return &x.at
		case visitor:
			return &x.at
		}
	}
}

// pathTree holds paths by their beginnings; the empty one is 0.
type pathTree struct {
	numbers map[unique.Handle[string]]uint64
	first   []unique.Handle[string] // the channels that were met first, which are nearly all
	next    walkers
	steps   []pathStep
	money   map[int32]map[string]int64
}

// pathStep is the last step of a path, what it goes on from, and how many came by it.
type pathStep struct {
	channel            unique.Handle[string]
	from               int32
	conversions, nulls int64
}

func newPathTree() *pathTree {
	return &pathTree{numbers: map[unique.Handle[string]]uint64{}, steps: []pathStep{{}}, money: map[int32]map[string]int64{}}
}

// number is a channel's.
func (t *pathTree) number(channel unique.Handle[string]) uint64 {
	if i := slices.Index(t.first, channel); i >= 0 {
		return uint64(i) //nolint:gosec // a place in a list
	}
	n, known := t.numbers[channel]
	if !known {
		n = uint64(len(t.numbers))
		if t.numbers[channel] = n; n < 16 {
			t.first = append(t.first, channel)
		}
	}
	return n
}

// step is where a path leads by a channel.
func (t *pathTree) step(from int32, channel unique.Handle[string]) int32 {
	// What is multiplied by an odd number stays apart, and is spread.
	key := (uint64(from)<<32 | t.number(channel) + 1) * 0x9E3779B97F4A7C15 //nolint:gosec // from is not negative
	to := t.next.at(key)
	if *to == 0 {
		*to = int32(len(t.steps)) //nolint:gosec // there are at most as many as touchpoints in memory
		t.steps = append(t.steps, pathStep{channel: channel, from: from})
	}
	return *to
}

// earn adds to what the conversions at the end of a path are worth.
func (t *pathTree) earn(at int32, currency string, value int64) {
	if t.money[at] == nil {
		t.money[at] = map[string]int64{}
	}
	t.money[at][currency] += value
}

// path are its channels.
func (t *pathTree) path(at int32) (steps []string) {
	for ; at > 0; at = t.steps[at].from {
		steps = append(steps, t.steps[at].channel.Value())
	}
	slices.Reverse(steps)
	return steps
}

// rows are the greatest paths. Only those that may be among them are written out.
func (t *pathTree) rows(limit int) []analytics.PathRow {
	var all []int32
	for at := range t.steps {
		if s := &t.steps[at]; s.conversions > 0 || s.nulls > 0 {
			all = append(all, int32(at)) //nolint:gosec // a place in the tree
		}
	}
	// Of very many PathCount puts some together.
	if len(all) > limit && len(all) < analytics.MaxPaths-1 {
		order := func(x, y int32) int {
			return cmp.Or(cmp.Compare(t.steps[y].conversions, t.steps[x].conversions), cmp.Compare(t.steps[y].nulls, t.steps[x].nulls))
		}
		slices.SortFunc(all, order)
		end := limit
		for end < len(all) && order(all[end], all[limit-1]) == 0 {
			end++
		}
		all = all[:end]
	}
	var count analytics.PathCount
	for _, at := range all {
		s, steps := &t.steps[at], t.path(at)
		if s.conversions > 0 {
			count.Converted(steps, "", s.conversions, 0)
			for currency, value := range t.money[at] {
				count.Converted(steps, currency, 0, value)
			}
		}
		count.Nulls(steps, s.nulls)
	}
	return count.Rows(limit)
}

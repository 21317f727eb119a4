package analytics

import (
	"cmp"
	"slices"
	"strings"

	"github.com/miq/pixel/modules/event"
)

// CreditSums puts models side by side, for backends and for whoever checks them.
type CreditSums struct {
	Models []string

	by map[string]*creditSum
}

type creditSum struct {
	row    AttributionRow
	weight int64
}

// Add adds millionths of one group, model and currency.
func (s *CreditSums) Add(group, model, currency string, weight int64, value, refunded float64) {
	if s.by == nil {
		s.by = map[string]*creditSum{}
	}
	g := s.by[group]
	if g == nil {
		g = &creditSum{row: AttributionRow{Group: group, Models: make(map[string]Credited, len(s.Models))}}
		for _, m := range s.Models {
			g.row.Models[m] = Credited{Revenue: map[string]float64{}, Refunded: map[string]float64{}}
		}
		s.by[group] = g
	}
	g.weight += weight
	c := g.row.Models[model]
	c.Conversions += float64(weight) / event.Whole
	if currency != "" && value != 0 {
		c.Revenue[currency] += value / event.Whole
	}
	if currency != "" && refunded != 0 {
		c.Refunded[currency] += refunded / event.Whole
	}
	g.row.Models[model] = c
}

// Rows are the greatest groups.
func (s *CreditSums) Rows(limit int) []AttributionRow {
	all := make([]*creditSum, 0, len(s.by))
	for _, g := range s.by {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *creditSum) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.row.Group, b.row.Group))
	})
	out := make([]AttributionRow, 0, min(limit, len(all)))
	for _, g := range all[:min(limit, len(all))] {
		out = append(out, g.row)
	}
	return out
}

// PathCount counts paths. The zero value has counted none.
type PathCount struct{ by map[string]*pathSum }

type pathSum struct {
	row   PathRow
	money map[string]int64
}

// pathBreak parts the steps of a path, in a key.
const pathBreak = "\x00"

// overflow is where a path goes that is one too many: bounded, and not lost.
const overflow = "(other paths)"

func (c *PathCount) path(steps []string) *pathSum {
	if c.by == nil {
		c.by = map[string]*pathSum{}
	}
	key := strings.Join(steps, pathBreak)
	p := c.by[key]
	if p == nil && len(c.by) >= MaxPaths-1 {
		key, steps = overflow, []string{overflow}
		p = c.by[key]
	}
	if p == nil {
		p = &pathSum{row: PathRow{Steps: slices.Clone(steps)}, money: map[string]int64{}}
		c.by[key] = p
	}
	return p
}

// Converted counts n paths that ended in a conversion, worth value millionths together.
func (c *PathCount) Converted(steps []string, currency string, n, value int64) {
	p := c.path(steps)
	p.row.Conversions += n
	if currency != "" && value != 0 {
		p.money[currency] += value
	}
}

// Nulls counts so many that did not.
func (c *PathCount) Nulls(steps []string, n int64) { c.path(steps).row.Nulls += n }

// Rows are the paths with most conversions, then those with most visitors, then by
// their steps.
func (c *PathCount) Rows(limit int) []PathRow {
	type kept struct {
		key string
		*pathSum
	}
	all := make([]kept, 0, len(c.by))
	for k, p := range c.by {
		all = append(all, kept{k, p})
	}
	slices.SortFunc(all, func(a, b kept) int {
		return cmp.Or(cmp.Compare(b.row.Conversions, a.row.Conversions), cmp.Compare(b.row.Nulls, a.row.Nulls), cmp.Compare(a.key, b.key))
	})
	out := make([]PathRow, 0, min(limit, len(all)))
	for _, p := range all[:min(limit, len(all))] {
		p.row.Revenue = make(map[string]float64, len(p.money))
		for currency, v := range p.money {
			p.row.Revenue[currency] = float64(v) / event.Whole
		}
		out = append(out, p.row)
	}
	return out
}

package admin

import (
	"cmp"
	"slices"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// whatIf is what a site would have gained if its events had carried a key that they lack.
type whatIf struct {
	Name, Title string
	Lacks       int
	// Gain is how many more events the partner could have matched: those that lack the
	// key and have no other sure one. Share is that of all.
	Gain  int
	Share float64
	// After is the share that could have been matched then.
	After float64
}

// whatIfs are those of a partner, the greatest gain first.
func whatIfs(r analytics.Readiness, keys []partner.Key) []whatIf {
	weak := r.Grades[event.NoMatch] + r.Grades[event.LowMatch]
	var out []whatIf
	for _, k := range keys {
		gain := r.Weak[k.Name]
		if k.Weight != partner.Sure || gain == 0 {
			continue
		}
		all := float64(max(r.Events, 1))
		out = append(out, whatIf{k.Name, cmp.Or(k.Title, k.Name), r.Missing[k.Name], gain, float64(gain) / all, float64(r.Events-weak+gain) / all})
	}
	slices.SortStableFunc(out, func(x, y whatIf) int { return y.Gain - x.Gain })
	return out
}

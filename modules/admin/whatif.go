package admin

import (
	"cmp"
	"slices"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// whatIf is what a site would gain if its events carried a key that they lack. Only sums
// are stored, not which keys lack together: so it is the most that it could be.
type whatIf struct {
	Title string
	Lacks int
	// Gain is how many more events the partner could match at most, and Share of all.
	Gain  int
	Share float64
	// After is the share that could be matched then.
	After float64
}

// whatIfs are those of a partner, the greatest gain first.
func whatIfs(r analytics.Readiness, keys []partner.Key) []whatIf {
	weak := r.Grades[event.NoMatch] + r.Grades[event.LowMatch]
	var out []whatIf
	for _, k := range keys {
		gain := min(r.Missing[k.Name], weak)
		if k.Weight != partner.Sure || gain == 0 {
			continue
		}
		all := float64(max(r.Events, 1))
		out = append(out, whatIf{cmp.Or(k.Title, k.Name), r.Missing[k.Name], gain, float64(gain) / all, float64(r.Events-weak+gain) / all})
	}
	slices.SortStableFunc(out, func(x, y whatIf) int { return y.Gain - x.Gain })
	return out
}

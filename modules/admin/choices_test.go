package admin

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// choices are the addresses of reports with all that a person can choose there: each metric
// by each dimension, with a condition and without, and the other reports of a pixel or a
// condition. They come from the lists that the pages offer, so that none is forgotten.
func (b *bench) choices(now time.Time) (paths []string) {
	common := map[string]string{}
	value := func(m analytics.Metric, dimension string) string {
		if v, known := common[dimension]; known {
			return v
		}
		top, err := b.o.Events.Top(b.t.Context(), analytics.TopQuery{Metric: m, Dimension: dimension, Since: now.Add(-30 * 24 * time.Hour), Until: now, Limit: 5})
		must(b.t, err)
		for _, r := range top {
			if common[dimension] = r.Group; r.Group != "" {
				break
			}
		}
		return common[dimension]
	}
	add := func(path string, pairs ...string) {
		for _, span := range []string{"7d", "30d"} {
			v := url.Values{"range": {span}}
			for i := 0; i < len(pairs); i += 2 {
				v.Add(pairs[i], pairs[i+1])
			}
			if path := path + "?" + v.Encode(); !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	for _, choice := range metricChoices {
		m := analytics.Metric(choice.Key)
		all := dimensions(m)
		// The dearest to group by is the one with the most values, and the dearest condition
		// the one that leaves about half.
		most, half := "page_path", "device"
		if m == analytics.MetricSyncs {
			most, half = "code", "partner"
		}
		for _, d := range all {
			add("/reports", "metric", choice.Key, "group_by", d, "dimension", d)
			other := half
			if d == half {
				other = all[(slices.Index(all, half)+1)%len(all)]
			}
			add("/reports", "metric", choice.Key, "group_by", d, "dimension", d, "where", other, "is", value(m, other))
			add("/reports", "metric", choice.Key, "group_by", d, "dimension", most, "where", other, "is", value(m, other))
			add("/reports", "metric", choice.Key, "group_by", most, "dimension", most, "where", d, "is", value(m, d))
		}
		for _, d := range []string{most, half} {
			add("/reports", "metric", choice.Key, "group_by", d, "dimension", most, "pixel_id", "px_shop")
			add("/reports", "metric", choice.Key, "group_by", d, "dimension", most, "name", "page_view")
			add("/reports", "metric", choice.Key, "group_by", d, "dimension", most, "pixel_id", "px_shop", "name", "page_view", "where", half, "is", value(m, half))
		}
	}
	for _, d := range analytics.EventDimensions {
		var steps []string
		for _, s := range usualFunnel {
			steps = append(steps, "step", fmt.Sprintf("%s(%s=%s)", s, d, value(analytics.MetricEvents, d)))
		}
		if d != "name" {
			add("/reports/funnel", steps...)
			add("/reports/funnel", append([]string{"pixel_id", "px_shop"}, steps[:4]...)...)
		}
	}
	for _, tab := range reportTabs[1:] {
		add(tab.Path)
		add(tab.Path, "pixel_id", "px_shop")
	}
	for _, d := range analytics.CreditDimensions[:5] {
		add("/attribution", "dimension", d)
		add("/attribution", "dimension", d, "pixel_id", "px_shop")
	}
	return paths
}

// TestTheChoicesHoldEachMetricAndDimension keeps what is measured from falling short of what
// the pages offer.
func TestTheChoicesHoldEachMetricAndDimension(t *testing.T) {
	b := open(t)
	asked := map[string]bool{}
	w := b.as(Administrator)
	for i, path := range b.choices(time.Now()) {
		u, err := url.Parse(path)
		must(t, err)
		v := u.Query()
		asked[v.Get("metric")+" by "+v.Get("group_by")] = true
		asked[v.Get("metric")+" where "+v.Get("where")] = true
		if i%41 == 0 { // some of them, since all take long
			if got := w.get(path); got.status != 200 {
				t.Errorf("%s: %d", path, got.status)
			}
		}
	}
	for _, m := range metrics {
		for _, d := range dimensions(analytics.Metric(m)) {
			for _, what := range []string{m + " by " + d, m + " where " + d} {
				if !asked[what] {
					t.Errorf("nothing measures %s", what)
				}
			}
		}
	}
}

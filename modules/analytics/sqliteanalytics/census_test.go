package sqliteanalytics

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
)

func TestACensusNumbersEachOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x, known := &census{}, map[uint64]uint32{}
	for range 5000 {
		// Many come again; and some differ only in their last bits, and want the last place.
		d := uint64(1+r.IntN(3000)) * 0x9E3779B97F4A7C15
		if r.IntN(5) == 0 {
			d |= 0xFFFFFFFFFFFFF000
		}
		n := x.one(d)
		if was, there := known[d]; there && was != n {
			t.Fatalf("%x is %d, and was %d", d, n, was)
		}
		known[d] = n
	}
	numbers := slices.Sorted(maps.Values(known))
	if first, last := numbers[0], numbers[len(numbers)-1]; first != 1 || int(last) != len(known) || len(slices.Compact(numbers)) != len(known) || x.size() != len(known) {
		t.Errorf("%d have numbers from %d to %d", len(known), first, last)
	}
	c := &column{digests: []uint64{0}}
	for d, n := range known {
		if x.digest(n) != d {
			t.Errorf("%d is of %x, not %x", n, x.digest(n), d)
		}
		c.digests = append(c.digests, d)
	}
	for range 2 {
		list := x.people(c, 1, nil)
		for i, d := range c.digests {
			if list[i] != known[d] {
				t.Errorf("%x is %d in a column, not %d", d, list[i], known[d])
			}
		}
	}
	if other := (&census{}).people(c, 1, nil); other[1] != 1 {
		t.Error("a column has the numbers of another census")
	}
}

// counted again, event by event: in groups of which a part's people are noted once, and in so
// many that all of its rows are.
func TestPeopleOfColumnsAreThoseOfTheEvents(t *testing.T) {
	const span = 40 * time.Hour
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	s.rollEvery = 3000
	r := rand.New(rand.NewPCG(3, 4))
	events := analyticstest.Events(3, 8000, span)
	profiles := map[[2]string]string{}
	var known []analytics.Identity
	for i := range events {
		e := &events[i]
		e.PixelID, e.Subject.VisitorID = fmt.Sprint("px_", r.IntN(3)), fmt.Sprint("visitor-", r.IntN(400))
		e.Context.Page.URL = fmt.Sprint("https://shop.example.com/p/", r.IntN(300))
		if r.IntN(20) == 0 {
			e.Subject.VisitorID = ""
		}
		k := [2]string{e.PixelID, e.Subject.VisitorID}
		if _, there := profiles[k]; !there && k[1] != "" && k[0] != "px_2" {
			profiles[k] = []string{"", "", fmt.Sprint("profile-", r.IntN(30))}[r.IntN(3)]
			known = append(known, analytics.Identity{PixelID: k[0], VisitorID: k[1], ProfileID: profiles[k], Version: 1})
		}
	}
	for some := range slices.Chunk(events, 500) {
		must(t, s.WriteEvents(t.Context(), some...))
	}
	must(t, s.WriteIdentities(t.Context(), known...))
	gone := map[string]bool{}
	check := func(what string) {
		t.Helper()
		for _, by := range []string{"page_path", "device", "name", "pixel_id"} {
			for _, where := range [][]analytics.Condition{nil, {analytics.Is("browser", "Safari", "Chrome")}, {{Dimension: "pixel_id", Values: []string{"px_1"}, Not: true}}} {
				since, until := analyticstest.Begin.Add(100*time.Minute), analyticstest.Begin.Add(span-70*time.Minute)
				want := map[string]map[string]bool{}
				steps := map[string]map[string]bool{}
				for i := range events {
					e := &events[i]
					if e.ReceivedAt.Before(since) || !e.ReceivedAt.Before(until) || e.Subject.VisitorID == "" || gone[e.ID] ||
						slices.ContainsFunc(where, func(c analytics.Condition) bool { return !c.Holds(e) }) {
						continue
					}
					who := cmp.Or(profiles[[2]string{e.PixelID, e.Subject.VisitorID}], e.Subject.VisitorID)
					for group, m := range map[string]map[string]map[string]bool{analytics.Value(e, by): want, analytics.Value(e, by) + e.ReceivedAt.UTC().Truncate(6*time.Hour).String(): steps} {
						if m[group] == nil {
							m[group] = map[string]bool{}
						}
						m[group][who] = true
					}
				}
				top, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricVisitors, Dimension: by, Where: where, Since: since, Until: until, Limit: 1000})
				must(t, err)
				if len(top) != len(want) {
					t.Errorf("%s: by %s %v: %d groups, not %d", what, by, where, len(top), len(want))
				}
				for _, row := range top {
					if int(row.Value) != len(want[row.Group]) {
						t.Errorf("%s: %s %s %v: %v people, not %d", what, by, row.Group, where, row.Value, len(want[row.Group]))
					}
				}
				series, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: analytics.MetricVisitors, GroupBy: by, Where: where, Since: since, Until: until, Step: "6h"})
				must(t, err)
				for i, one := range series {
					if one.Group != top[i].Group {
						t.Errorf("%s: series %d is of %s, not %s", what, i, one.Group, top[i].Group)
					}
					for _, p := range one.Points {
						if n := len(steps[one.Group+p.Time.String()]); int(p.Value) != n {
							t.Errorf("%s: %s %s at %s: %v people, not %d", what, by, one.Group, p.Time, p.Value, n)
						}
					}
				}
			}
		}
	}
	check("at first")
	check("with numbers of before")
	for i := range known {
		if k := &known[i]; i%3 == 0 {
			k.Version, k.ProfileID = 2, []string{"", fmt.Sprint("profile-", r.IntN(40))}[r.IntN(2)]
			profiles[[2]string{k.PixelID, k.VisitorID}] = k.ProfileID
		}
	}
	must(t, s.WriteIdentities(t.Context(), known...))
	check("with other profiles")
	s.mostNumbered = 1
	check("with a census for each question")
	s.mostNumbered = mostNumbered
	check("with them again")

	// Whoever is erased has no number any more.
	var ids []string
	for i := range events {
		if e := &events[i]; e.PixelID == "px_2" && e.Subject.VisitorID == "visitor-7" {
			gone[e.ID], ids = true, append(ids, e.ID)
		}
	}
	has := func(id string) bool {
		c := s.census.Load()
		return slices.Contains(c.digests, digest(id))
	}
	if len(ids) == 0 || !has("visitor-7") {
		t.Fatalf("%d events are to be erased, and whose they are has a number: %v", len(ids), has("visitor-7"))
	}
	for i := range events { // so that he is nowhere else
		if e := &events[i]; e.Subject.VisitorID == "visitor-7" {
			gone[e.ID] = true
		}
	}
	for _, pixel := range []string{"px_0", "px_1", "px_2"} {
		_, err := s.Erase(t.Context(), analytics.Erasure{PixelID: pixel, Visitors: []string{"visitor-7"}})
		must(t, err)
	}
	if has("visitor-7") {
		t.Error("whoever was erased has a number still")
	}
	check("after an erasure")
	if has("visitor-7") {
		t.Error("whoever was erased has a number again")
	}
}

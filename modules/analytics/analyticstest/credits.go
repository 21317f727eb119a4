package analyticstest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

var channels = []string{"paid_search", "display", "email", "organic_search", "direct"}

// Touches makes n touchpoints, about five of each visitor, one a minute.
func Touches(seed uint64, n int) []event.Touchpoint {
	r := rand.New(rand.NewPCG(seed, 3))
	out := make([]event.Touchpoint, n)
	for i := range out {
		out[i] = event.Touchpoint{
			ID: fmt.Sprintf("touch-%d", i), PixelID: [...]string{"px_demo", "px_other"}[i%2], VisitorID: fmt.Sprint("visitor-", r.IntN(n/5+1)),
			EventID: fmt.Sprintf("touched-%d", i), At: Begin.Add(time.Duration(i) * time.Minute), Kind: event.CampaignVisit,
			Channel: channels[r.IntN(len(channels))], Source: [...]string{"google", "newsletter", hostile[i%len(hostile)]}[r.IntN(3)],
			Campaign: [...]string{"", "spring"}[r.IntN(2)], Partner: [...]string{"", "ttd"}[r.IntN(2)],
		}
	}
	return out
}

// CreditSets makes sets of three models for n conversions over some of the touchpoints.
func CreditSets(seed uint64, n int, touches []event.Touchpoint) []event.Credits {
	r := rand.New(rand.NewPCG(seed, 4))
	var out []event.Credits
	for i := range n {
		c := event.Credits{
			PixelID: [...]string{"px_demo", "px_other"}[i%2], EventID: fmt.Sprint("conversion-", i), Version: 1,
			Name: [...]string{"purchase", "sign_up"}[r.IntN(2)], VisitorID: "visitor", At: Begin.Add(time.Duration(i) * time.Minute), ReceivedAt: Begin.Add(time.Duration(i) * time.Minute),
			Currency: [...]string{"EUR", "GBP", ""}[r.IntN(3)], Value: int64(r.IntN(1e9)), Refunded: int64(r.IntN(2)) * int64(r.IntN(1e6)),
		}
		if i%25 == 24 {
			c.EventID = hostile[i/25%len(hostile)]
		}
		var path []event.Touchpoint
		for range 1 + r.IntN(4) {
			path = append(path, touches[r.IntN(len(touches)/2)*2+i%2]) // of the same pixel, perhaps twice
		}
		for _, m := range []string{"first", "linear", "last"} {
			set := c
			set.Model = m
			switch m {
			case "first":
				set.Shares = []event.Share{{Touchpoint: path[0], Weight: event.Whole, Value: c.Value, Refunded: c.Refunded}}
			case "last":
				set.Shares = []event.Share{{Touchpoint: path[len(path)-1], Weight: event.Whole, Value: c.Value, Refunded: c.Refunded}}
			case "linear":
				k := int64(len(path))
				for j, p := range path {
					s := event.Share{Touchpoint: p, Weight: event.Whole / k, Value: c.Value / k, Refunded: c.Refunded / k}
					if j == 0 {
						s.Weight, s.Value, s.Refunded = s.Weight+event.Whole%k, s.Value+c.Value%k, s.Refunded+c.Refunded%k
					}
					set.Shares = append(set.Shares, s)
				}
			}
			out = append(out, set)
		}
	}
	return out
}

func writeCredits(t *testing.T, s analytics.Store, sets ...event.Credits) {
	t.Helper()
	if err := s.WriteCredits(t.Context(), sets...); err != nil {
		t.Fatalf("write %d sets of credits: %v", len(sets), err)
	}
}

func allCredits(t *testing.T, s analytics.Store, f analytics.CreditFilter) (out []event.Credits) {
	t.Helper()
	for {
		page, err := s.Credits(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, page.Credits...)
		if f.Cursor = page.Next; f.Cursor == "" {
			return out
		}
		if len(page.Credits) == 0 {
			t.Fatal("an empty page that is not the last")
		}
	}
}

func credits(t *testing.T, s analytics.Store) {
	sets := CreditSets(5, 150, Touches(5, 200))
	writeCredits(t, s)
	writeCredits(t, s, sets[:200]...)
	writeCredits(t, s, sets[100:]...) // some for the second time

	// A higher version replaces the whole set, a lower one nothing, in one call too.
	newer, older := sets[4], sets[4]
	newer.Version, newer.Shares, newer.Value = 3, newer.Shares[:1], 12_345
	newer.Shares = []event.Share{{Touchpoint: newer.Shares[0].Touchpoint, Weight: event.Whole, Value: 12_345}}
	older.Version, older.Value = 2, 1
	writeCredits(t, s, newer, older)
	writeCredits(t, s, sets[4])
	sets[4] = newer
	again := newer
	again.Name = "sign_up" // the same version: the later of them counts
	writeCredits(t, s, again)
	sets[4] = again

	for _, f := range []analytics.CreditFilter{
		{}, {Limit: 7}, {Model: "linear"}, {PixelID: "px_other", Model: "first", Limit: 11}, {EventID: sets[4].EventID},
		{EventID: hostile[0]}, {Since: Begin.Add(10 * time.Minute), Until: Begin.Add(20 * time.Minute)}, {Model: "' OR 1=1 --"},
	} {
		var want []string
		for i := range sets {
			c := &sets[i]
			if (f.PixelID == "" || c.PixelID == f.PixelID) && (f.EventID == "" || c.EventID == f.EventID) && (f.Model == "" || c.Model == f.Model) && within(f.Since, f.Until, c.ReceivedAt) {
				want = append(want, encode(t, c))
			}
		}
		list := allCredits(t, s, f)
		if !slices.IsSortedFunc(list, func(a, b event.Credits) int { return b.ReceivedAt.Compare(a.ReceivedAt) }) {
			t.Errorf("%+v: not newest first", f)
		}
		var got []string
		for i := range list {
			got = append(got, encode(t, &list[i]))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %d sets are not the %d of a recount", f, len(got), len(want))
		}
	}

	for _, dim := range analytics.CreditDimensions {
		for _, q := range []analytics.AttributionQuery{
			{Models: []string{"last", "first", "linear"}, Limit: 1000},
			{Models: []string{"linear"}, PixelID: "px_demo", Name: "purchase", Limit: 2},
			{Models: []string{"first", "no such model"}, Since: Begin.Add(10 * time.Minute), Until: Begin.Add(70 * time.Minute)},
		} {
			q.Dimension = dim
			got, err := s.Attribution(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			sums := analytics.CreditSums{Models: q.Models}
			for i := range sets {
				c := &sets[i]
				if !slices.Contains(q.Models, c.Model) || q.PixelID != "" && c.PixelID != q.PixelID || q.Name != "" && c.Name != q.Name || !within(q.Since, q.Until, c.ReceivedAt) {
					continue
				}
				for j := range c.Shares {
					h := &c.Shares[j]
					group := map[string]string{"channel": h.Channel, "kind": string(h.Kind), "source": h.Source, "campaign": h.Campaign, "partner": h.Partner, "name": c.Name, "pixel_id": c.PixelID}[dim]
					sums.Add(group, c.Model, c.Currency, h.Weight, float64(h.Value), float64(h.Refunded))
				}
			}
			sameAttribution(t, dim, got, sums.Rows(cmp.Or(q.Limit, 100)))
		}
	}

	for _, q := range []analytics.AttributionQuery{
		{}, {Models: []string{"first"}}, {Models: []string{"first"}, Dimension: "id; DROP TABLE credits"}, {Models: make([]string, 17), Dimension: "channel"},
		{Models: []string{"first"}, Dimension: "channel", Limit: -1}, {Models: []string{"first"}, Dimension: "channel", Since: Begin, Until: Begin.Add(-1)},
	} {
		if _, err := s.Attribution(t.Context(), q); !errors.Is(err, analytics.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for _, f := range []analytics.CreditFilter{{Limit: -1}, {Limit: 1001}, {Cursor: "x"}, {Since: Begin, Until: Begin.Add(-1)}} {
		if _, err := s.Credits(t.Context(), f); !errors.Is(err, analytics.ErrInvalid) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func sameAttribution(t *testing.T, dim string, got, want []analytics.AttributionRow) {
	t.Helper()
	same := func(a, b map[string]float64) bool { return maps.EqualFunc(a, b, near) }
	if len(got) != len(want) {
		t.Fatalf("by %s: %d rows, not %d", dim, len(got), len(want))
	}
	for i := range got {
		if got[i].Group != want[i].Group {
			t.Fatalf("by %s: row %d is %q, not %q", dim, i, short(got[i].Group), short(want[i].Group))
		}
		if !maps.EqualFunc(got[i].Models, want[i].Models, func(a, b analytics.Credited) bool {
			return near(a.Conversions, b.Conversions) && same(a.Revenue, b.Revenue) && same(a.Refunded, b.Refunded)
		}) {
			t.Errorf("by %s: %q has %+v, not %+v", dim, short(got[i].Group), got[i].Models, want[i].Models)
		}
	}
}

func paths(t *testing.T, s analytics.Store) {
	touches := Touches(6, 200)
	sets := CreditSets(6, 60, touches)
	write := func(l ...event.Touchpoint) {
		t.Helper()
		if err := s.WriteTouches(t.Context(), l...); err != nil {
			t.Fatal(err)
		}
	}
	write()
	later, moved := touches[0], touches[1]
	later.At, later.Channel = later.At.Add(time.Second), "a later one does not count"
	moved.At, moved.Channel = moved.At.Add(-30*time.Second), "video" // in the half hour that its id is of
	write(append([]event.Touchpoint{later}, touches[:150]...)...)
	write(append([]event.Touchpoint{later, moved}, touches[100:]...)...)
	touches[1] = moved
	writeCredits(t, s, sets...)

	for _, q := range []analytics.PathQuery{{Limit: analytics.MaxPaths}, {}, {PixelID: "px_other", Limit: 5}, {Name: "sign_up", Since: Begin.Add(10 * time.Minute), Until: Begin.Add(50 * time.Minute), Limit: 1000}} {
		type path struct {
			n, nulls int64
			money    map[string]float64
		}
		want := map[string]*path{}
		at := func(steps []string) *path {
			k := strings.Join(steps, " > ")
			if want[k] == nil {
				want[k] = &path{money: map[string]float64{}}
			}
			return want[k]
		}
		led := map[string]bool{}
		for _, c := range sets {
			if c.Model != analytics.PathModel {
				continue
			}
			var steps []string
			var sum int64
			for _, h := range c.Shares {
				led[h.PixelID+h.ID] = true
				steps, sum = append(steps, h.Channel), sum+h.Value
			}
			if (q.PixelID == "" || c.PixelID == q.PixelID) && (q.Name == "" || c.Name == q.Name) && within(q.Since, q.Until, c.ReceivedAt) {
				p := at(steps)
				p.n++
				if c.Currency != "" && sum != 0 {
					p.money[c.Currency] += float64(sum) / event.Whole
				}
			}
		}
		open := map[string][]event.Touchpoint{}
		for _, p := range touches {
			if !led[p.PixelID+p.ID] && (q.PixelID == "" || p.PixelID == q.PixelID) && within(q.Since, q.Until, p.At) {
				open[p.PixelID+" "+p.VisitorID] = append(open[p.PixelID+" "+p.VisitorID], p)
			}
		}
		for _, l := range open {
			slices.SortFunc(l, func(a, b event.Touchpoint) int {
				return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
			})
			var steps []string
			for _, p := range l {
				steps = append(steps, p.Channel)
			}
			at(steps).nulls++
		}
		got, err := s.Paths(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if n := min(cmp.Or(q.Limit, 20), len(want)); len(got) != n {
			t.Fatalf("%+v: %d paths, not %d", q, len(got), n)
		}
		for i, g := range got {
			w := want[strings.Join(g.Steps, " > ")]
			if w == nil || g.Conversions != w.n || g.Nulls != w.nulls || !maps.EqualFunc(g.Revenue, w.money, near) {
				t.Errorf("%+v: %+v, not %+v", q, g, w)
			}
			if i > 0 && (got[i-1].Conversions < g.Conversions || got[i-1].Conversions == g.Conversions && got[i-1].Nulls < g.Nulls) {
				t.Errorf("%+v: path %d is greater than the one before", q, i)
			}
		}
	}
	for _, q := range []analytics.PathQuery{{Limit: -1}, {Limit: analytics.MaxPaths + 1}, {Since: Begin, Until: Begin.Add(-1)}} {
		if _, err := s.Paths(t.Context(), q); !errors.Is(err, analytics.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	pixelsSelected(t, s, Begin, Begin.Add(24*time.Hour), "px_demo", "px_other")
}

package attribution

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

func row(conversions, nulls int64, steps ...string) analytics.PathRow {
	return analytics.PathRow{Steps: steps, Conversions: conversions, Nulls: nulls}
}

func near(t *testing.T, what string, got, want map[string]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
	for k, w := range want {
		if math.Abs(got[k]-w) > 1e-9 {
			t.Errorf("%s: %s has %v, want %v", what, k, got[k], w)
		}
	}
}

func TestRemovalEffectsOfPublishedExamples(t *testing.T) {
	for _, c := range []struct {
		source string
		paths  []analytics.PathRow
		want   map[string]float64
	}{
		{
			// The conversion rate is 1/3: without C1 half of it, without C2 or C3 none.
			"S. Bryl, Marketing Multi-Channel Attribution model with R (part 1: Markov chains concept), analyzecore.com, 3 August 2016",
			[]analytics.PathRow{row(1, 0, "C1", "C2", "C3"), row(0, 1, "C1"), row(0, 1, "C2", "C3")},
			map[string]float64{"C1": 0.5, "C2": 1, "C3": 1},
		},
		{
			// Transitions: start to ads 4/5, to mailing 1/5; ads to a conversion 2/4, to
			// mailing 1/4, to none 1/4; mailing to a conversion 2/2. With both 0.8, without ads
			// 0.2, without mailing 0.4.
			"S. Puzyrov, Markov Chain Attribution – Simple Explanation Of Removal Effect, serhiipuzyrov.com, July 2019",
			[]analytics.PathRow{row(2, 1, "google ads"), row(1, 0, "mailing"), row(1, 0, "google ads", "mailing")},
			map[string]float64{"google ads": 0.75, "mailing": 0.5},
		},
	} {
		near(t, c.source, RemovalEffects(c.paths), c.want)
		// Again and again the same channel is no way of its own (Bryl, in the same place).
		again := slices.Clone(c.paths)
		for i := range again {
			again[i].Steps = slices.Insert(slices.Clone(again[i].Steps), 1, again[i].Steps[0], again[i].Steps[0])
		}
		near(t, c.source+", with repetitions", RemovalEffects(again), c.want)
	}
}

func TestShapleyValuesOfPublishedExamples(t *testing.T) {
	for _, c := range []struct {
		source string
		sets   []coalition
		want   map[string]float64
	}{
		{
			// One left glove and two right ones; a pair is worth 1. As what sets bring: each
			// pair 1, all three 1 less than both pairs would.
			"the glove game (Shapley value, Wikipedia): 1/6, 1/6, 2/3",
			[]coalition{{[]string{"1", "3"}, 1}, {[]string{"2", "3"}, 1}, {[]string{"1", "2", "3"}, -1}},
			map[string]float64{"1": 1.0 / 6, "2": 1.0 / 6, "3": 2.0 / 3},
		},
		{
			// v(1) = 2, v(2) = v(3) = 0, v(12) = v(13) = 2, v(23) = 6, v(123) = 8.
			"Wiskunde op Tilburg University, Shapleywaarde: 2, 3, 3",
			[]coalition{{[]string{"1"}, 2}, {[]string{"2", "3"}, 6}},
			map[string]float64{"1": 2, "2": 3, "3": 3},
		},
	} {
		near(t, c.source, shapley(c.sets), c.want)
	}
}

var drawPaths = rapid.Custom(func(t *rapid.T) []analytics.PathRow {
	step := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) analytics.PathRow {
		return row(rapid.Int64Range(0, 9).Draw(t, "conversions"), rapid.Int64Range(0, 9).Draw(t, "nulls"), rapid.SliceOfN(step, 1, 6).Draw(t, "steps")...)
	}), 1, 8).Draw(t, "paths")
})

// walk follows the chain's crowd step by step until nobody is under way.
func walk(paths []analytics.PathRow, without string) float64 {
	type move struct{ from, to string }
	moves, from := map[move]float64{}, map[string]float64{}
	for _, p := range paths {
		n, at := float64(p.Conversions+p.Nulls), "(start)"
		for _, s := range p.Steps {
			moves[move{at, s}] += n
			from[at] += n
			at = s
		}
		moves[move{at, "(conversion)"}] += float64(p.Conversions)
		from[at] += n
	}
	crowd, converted := map[string]float64{"(start)": 1}, 0.0
	for range 20_000 {
		next, left := map[string]float64{}, 0.0
		for m, n := range moves {
			if crowd[m.from] == 0 || from[m.from] == 0 {
				continue
			}
			part := crowd[m.from] * n / from[m.from]
			switch m.to {
			case "(conversion)":
				converted += part
			case without:
			default:
				next[m.to] += part
				left += part
			}
		}
		if crowd = next; left < 1e-13 {
			break
		}
	}
	return converted
}

func TestRemovalEffectsAreThoseOfACrowdThatWalksTheChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		paths := drawPaths.Draw(t, "paths")
		whole := walk(paths, "")
		for channel, got := range RemovalEffects(paths) {
			want := 0.0
			if whole > 0 {
				want = 1 - walk(paths, channel)/whole
			}
			if math.Abs(got-want) > 1e-6 {
				t.Fatalf("%s: %v, want %v", channel, got, want)
			}
		}
	})
}

// orders is the Shapley value by its definition: over all orders in which the players may
// come, what each adds to those before.
func orders(players []string, worth func(map[string]bool) float64) map[string]float64 {
	out, n := map[string]float64{}, 0.0
	var each func(rest []string, before map[string]bool)
	each = func(rest []string, before map[string]bool) {
		if len(rest) == 0 {
			n++
			return
		}
		for i, p := range rest {
			with := maps.Clone(before)
			with[p] = true
			// As often as the rest can be ordered.
			times := 1.0
			for k := 2; k < len(rest); k++ {
				times *= float64(k)
			}
			out[p] += times * (worth(with) - worth(before))
			each(slices.Delete(slices.Clone(rest), i, i+1), with)
		}
	}
	each(players, map[string]bool{})
	for p := range out {
		out[p] /= n
	}
	return out
}

func TestShapleyValuesAreThoseOfAllOrders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		paths := drawPaths.Draw(t, "paths")
		worth := func(s map[string]bool) (sum float64) {
			for _, p := range paths {
				if !slices.ContainsFunc(p.Steps, func(c string) bool { return !s[c] }) {
					sum += float64(p.Conversions)
				}
			}
			return sum
		}
		got := ShapleyValues(paths)
		for p, want := range orders(slices.Sorted(maps.Keys(got)), worth) {
			if math.Abs(got[p]-want) > 1e-9 {
				t.Fatalf("%s: %v, want %v", p, got[p], want)
			}
		}
	})
}

func TestManyChannelsAreBounded(t *testing.T) {
	var paths []analytics.PathRow
	for i := range 500 {
		paths = append(paths, row(int64(500-i), 1, fmt.Sprint("channel-", i), fmt.Sprint("channel-", (i*7)%500)))
	}
	got := RemovalEffects(paths)
	if len(got) != maxChannels || got[otherChannels] <= 0 {
		t.Errorf("%d channels, the others with %v", len(got), got[otherChannels])
	}
}

// shelf is a store of credits.
type shelf struct {
	paths []analytics.PathRow
	sets  []event.Credits
	wrote []event.Credits
	away  error
}

func (s *shelf) Credits(_ context.Context, f analytics.CreditFilter) (analytics.CreditPage, error) {
	var n int
	fmt.Sscan(f.Cursor, &n)
	if n+1 < len(s.sets) {
		return analytics.CreditPage{Credits: s.sets[n : n+1], Next: fmt.Sprint(n + 1)}, nil
	}
	return analytics.CreditPage{Credits: s.sets[n:]}, nil
}

func (s *shelf) Attribution(context.Context, analytics.AttributionQuery) ([]analytics.AttributionRow, error) {
	return nil, nil
}

func (s *shelf) Paths(context.Context, analytics.PathQuery) ([]analytics.PathRow, error) {
	return s.paths, s.away
}
func (s *shelf) WriteTouches(context.Context, ...event.Touchpoint) error { return nil }
func (s *shelf) WriteCredits(_ context.Context, sets ...event.Credits) error {
	s.wrote = append(s.wrote, sets...)
	return nil
}

func TestAJobSharesEachConversionByWhatItsChannelsAreWorth(t *testing.T) {
	// Removal effects: ads 0.75, mailing 0.5.
	s := &shelf{paths: []analytics.PathRow{row(2, 1, "google ads"), row(1, 0, "mailing"), row(1, 0, "google ads", "mailing")}}
	for i, steps := range [][]string{{"google ads"}, {"google ads", "mailing", "google ads"}} {
		c := event.Credits{PixelID: "px", EventID: fmt.Sprint(i), Model: Linear, Currency: "EUR", Value: 100_000_001}
		for _, x := range steps {
			c.Shares = append(c.Shares, event.Share{Touchpoint: event.Touchpoint{Channel: x}, Weight: 1})
		}
		s.sets = append(s.sets, c)
	}
	r, err := (&Job{s, s}).Run(t.Context(), "px", noon)
	if err != nil || r.Conversions != 2 || len(r.Channels) != 2 || r.Channels[0] != (ChannelResult{"google ads", 0.75, 2.5}) {
		t.Fatalf("%+v, %v", r, err)
	}
	got := map[string][]int64{}
	for _, c := range s.wrote {
		var value int64
		for _, h := range c.Shares {
			got[c.EventID+" "+c.Model] = append(got[c.EventID+" "+c.Model], h.Weight)
			value += h.Value
		}
		if value != c.Value || c.Version != noon.UnixMicro() {
			t.Errorf("%s: values add up to %d of %d, version %d", c.Model, value, c.Value, c.Version)
		}
	}
	for k, want := range map[string][]int64{
		"0 markov": {1_000_000}, "0 shapley": {1_000_000},
		"1 markov": {300_000, 400_000, 300_000}, "1 shapley": {250_000, 500_000, 250_000},
	} {
		if !slices.Equal(got[k], want) {
			t.Errorf("%s: %v, want %v", k, got[k], want)
		}
	}
}

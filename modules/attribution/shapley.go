package attribution

import (
	"maps"
	"slices"
	"strings"

	"github.com/miq/pixel/modules/analytics"
)

// ShapleyValues shares the conversions of paths among channels by the Shapley value of
// the game whose players are channels and in which a coalition is worth the conversions
// of the paths that need none but its channels. For this game the value is what each
// set of channels brought, shared equally within the set (Zhao, Mahboobi, Bagheri:
// Shapley Value Methods for Attribution Modeling in Online Advertising, 2018), so it is
// exact for any number of channels. How often a channel occurs in a path, and in which
// order, does not matter.
func ShapleyValues(paths []analytics.PathRow) map[string]float64 {
	sets := make([]coalition, 0, len(paths))
	for i := range paths {
		sets = append(sets, coalition{paths[i].Steps, float64(paths[i].Conversions)})
	}
	return shapley(sets)
}

// coalition is what a set of players brings beyond what its parts bring.
type coalition struct {
	players []string
	brings  float64
}

func shapley(sets []coalition) map[string]float64 {
	out := map[string]float64{}
	for _, s := range sets {
		members := map[string]bool{}
		for _, p := range s.players {
			members[p] = true
		}
		for p := range members {
			out[p] += s.brings / float64(len(members))
		}
	}
	return out
}

// weighDriven shares one conversion among a path by what its channels are worth. Each
// channel's part is shared equally among its touchpoints.
func weighDriven(steps []string, worth map[string]float64) []float64 {
	times := map[string]float64{}
	for _, s := range steps {
		times[s]++
	}
	out := make([]float64, len(steps))
	for i, s := range steps {
		w, ok := worth[s]
		if !ok {
			w = worth[otherChannels]
		}
		out[i] = w / times[s]
	}
	return out
}

// equally is worth that is the same for each of some channels: Shapley's, within one
// path.
func equally(steps []string) map[string]float64 {
	out := map[string]float64{}
	for _, s := range steps {
		out[s] = 1
	}
	return out
}

// sortedChannels are a result's, the greatest first.
func sortedChannels(worth map[string]float64) []string {
	names := slices.Collect(maps.Keys(worth))
	slices.SortFunc(names, func(a, b string) int {
		switch {
		case worth[a] > worth[b]:
			return -1
		case worth[a] < worth[b]:
			return 1
		}
		return strings.Compare(a, b)
	})
	return names
}

package attribution

import (
	"maps"
	"math"
	"slices"

	"github.com/miq/pixel/modules/analytics"
)

// maxChannels bounds the states of the chain; a vocabulary of ours has about twenty.
// The rarest beyond it are one.
const maxChannels = 64

const otherChannels = "(other channels)"

// RemovalEffects takes paths for a Markov chain of first order, from a start over
// channels to a conversion or to none, and returns for each channel which part of the
// conversions would be lost if whoever comes to it went away: 1 − P(conversion without
// it) / P(conversion) (Anderl, Becker, von Wangenheim, Schumann: Mapping the customer
// journey, 2016). Without any conversion all are 0.
func RemovalEffects(paths []analytics.PathRow) map[string]float64 {
	c := newChain(paths)
	out := make(map[string]float64, len(c.channels))
	whole := c.converts(-1)
	for i, name := range c.channels {
		out[name] = 0
		if whole > 0 {
			out[name] = math.Max(0, 1-c.converts(i)/whole)
		}
	}
	return out
}

// chain is transitions between states: the channels, and the start as the last.
type chain struct {
	channels []string
	next     [][]float64 // probabilities from state to channel
	convert  []float64   // probability from state to conversion
}

func newChain(paths []analytics.PathRow) *chain {
	weight := map[string]float64{}
	for i := range paths {
		for _, s := range paths[i].Steps {
			weight[s] += float64(paths[i].Conversions + paths[i].Nulls)
		}
	}
	c := &chain{channels: slices.Sorted(maps.Keys(weight))}
	if len(c.channels) > maxChannels {
		slices.SortStableFunc(c.channels, func(a, b string) int {
			switch {
			case weight[a] > weight[b]:
				return -1
			case weight[a] < weight[b]:
				return 1
			}
			return 0
		})
		c.channels = append(c.channels[:maxChannels-1], otherChannels)
	}
	at := make(map[string]int, len(c.channels))
	for i, name := range c.channels {
		at[name] = i
	}
	state := func(name string) int {
		if i, ok := at[name]; ok {
			return i
		}
		return at[otherChannels]
	}
	n := len(c.channels) + 1
	total := make([]float64, n)
	c.next, c.convert = make([][]float64, n), make([]float64, n)
	for i := range c.next {
		c.next[i] = make([]float64, n-1)
	}
	for i := range paths {
		p := &paths[i]
		count, from := float64(p.Conversions+p.Nulls), n-1
		for _, s := range p.Steps {
			to := state(s)
			c.next[from][to] += count
			total[from] += count
			from = to
		}
		c.convert[from] += float64(p.Conversions)
		total[from] += count
	}
	for i := range c.next {
		if total[i] == 0 {
			continue
		}
		c.convert[i] /= total[i]
		for j := range c.next[i] {
			c.next[i][j] /= total[i]
		}
	}
	return c
}

// converts is the probability to get from the start to a conversion where the channel
// removed leads nowhere: the solution of x = Q x + r by elimination.
func (c *chain) converts(removed int) float64 {
	n := len(c.next)
	rows := make([][]float64, n)
	for i := range rows {
		row := make([]float64, n+1)
		row[i] = 1
		if i != removed {
			for j, p := range c.next[i] {
				if j != removed {
					row[j] -= p
				}
			}
			row[n] = c.convert[i]
		}
		rows[i] = row
	}
	for i := range n {
		best := i
		for k := i + 1; k < n; k++ {
			if math.Abs(rows[k][i]) > math.Abs(rows[best][i]) {
				best = k
			}
		}
		rows[i], rows[best] = rows[best], rows[i]
		if rows[i][i] == 0 {
			continue // nobody gets here
		}
		for k := range rows {
			if k == i || rows[k][i] == 0 {
				continue
			}
			f := rows[k][i] / rows[i][i]
			for j := i; j <= n; j++ {
				rows[k][j] -= f * rows[i][j]
			}
		}
	}
	if rows[n-1][n-1] == 0 {
		return 0
	}
	return math.Min(1, math.Max(0, rows[n-1][n]/rows[n-1][n-1]))
}

package sqliteanalytics

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestACrowdCountsEachOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 100, 5000, 40000} {
		var c crowd
		known := map[uint64]bool{}
		for range 6 {
			list := make([]uint64, n)
			for i := range list {
				// Few of them, so that many come again; and some whose place is the last.
				list[i] = uint64(r.IntN(2*n+1)) * 0x9E3779B97F4A7C15
				if i%5 == 0 {
					list[i] |= 0xFFFFFFFFFFFFF000
				}
				known[list[i]] = true
			}
			slices.Sort(list)
			c.add(list...)
		}
		if c.size() != len(known) {
			t.Errorf("of %d at a time: %d, not %d", n, c.size(), len(known))
		}
		for v := range known {
			if !c.has(v) || c.has(v+1) != known[v+1] {
				t.Errorf("of %d at a time: %x is there: %v, and the next: %v", n, v, c.has(v), c.has(v+1))
			}
		}
	}
}

package sqliteanalytics

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"testing"
)

func TestCellsAreThoseOfAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, steps := range []int{0, 1, fewSteps, fewSteps + 1, 30, 744} {
		c, want := newCells[int](steps), map[figure]int{}
		for range 20 {
			// A part's groups have codes of its own, and it may know none.
			part := &taken{}
			for range random.IntN(8) {
				part.texts = append(part.texts, fmt.Sprint("group ", random.IntN(40)))
			}
			c.begin(part)
			for range 200 {
				group, code, step := "", 0, int32(random.IntN(max(1, steps)))
				if len(part.texts) > 0 {
					code = random.IntN(len(part.texts))
					part.codes, group = []uint16{uint16(code)}, part.texts[code]
				}
				*c.of(part, 0, step)++
				*c.cell(part, code, step)++
				want[figure{int(step), group}] += 2
			}
		}
		got := map[figure]int{}
		c.each(func(f figure, n *int) {
			if *n > 0 {
				got[f] += *n
			}
		})
		if !maps.Equal(got, want) {
			t.Errorf("%d steps: %d cells, want %d", steps, len(got), len(want))
		}
	}
}

// Visitors name groups: whoever makes an address for each event must not make a report that
// takes all memory.
func TestAGroupForEachEventTakesLittleMemory(t *testing.T) {
	const groups, steps = 50_000, 744
	part := &taken{codes: []uint16{0}}
	for i := range groups {
		part.texts = append(part.texts, fmt.Sprint("/", i))
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := newCells[sum](steps)
	c.begin(part)
	for i := range groups {
		c.cell(part, i, int32(i%steps)).events++
	}
	runtime.ReadMemStats(&after)
	if each := float64(after.TotalAlloc-before.TotalAlloc) / groups; each > 400 {
		t.Errorf("%.0f bytes a group", each)
	} else {
		t.Logf("%.0f bytes a group", each)
	}
	runtime.KeepAlive(c)
}

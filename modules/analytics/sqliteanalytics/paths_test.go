package sqliteanalytics

import (
	"math/rand/v2"
	"testing"
)

func TestWalkersStandWhereTheyWereLeft(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var w walkers
	want := map[uint64]int32{}
	for i := range int32(40_000) {
		visitor := uint64(r.IntN(9000)+1) * 0x9E3779B97F4A7C15
		if i%7 == 0 {
			visitor |= 0xFFFFFFFFFFF00000 // one of many whose place is the last
		}
		at := w.at(visitor)
		if *at != want[visitor] {
			t.Fatalf("%x stands at %d, not %d", visitor, *at, want[visitor])
		}
		*at, want[visitor] = i+1, i+1
	}
	n := 0
	for _, x := range w.table {
		if x.visitor == 0 {
			continue
		}
		if n++; x.at != want[x.visitor] {
			t.Errorf("%x stands at %d, not %d", x.visitor, x.at, want[x.visitor])
		}
	}
	if n != len(want) || w.n != n {
		t.Errorf("%d stand there, and %d are counted, of %d", n, w.n, len(want))
	}
	*w.at(0) = 7
	if *w.at(0) != 7 {
		t.Error("nobody's digest is forgotten")
	}
}

package sqliteanalytics

import (
	"strconv"
	"time"
)

// piece is a part of a step that one level of the roll-ups covers, from one bucket
// to before another; at level 0 those are microseconds, and single events cover it.
type piece struct {
	step     int
	from, to int64
}

// far is beyond any time of receipt, in microseconds.
const far = int64(1) << 58

func within(since, until time.Time) (from, to int64) {
	from, to = -far, far
	if !since.IsZero() {
		from = max(from, since.UnixMicro())
	}
	if !until.IsZero() {
		to = min(to, until.UnixMicro())
	}
	return from, to
}

// pieces splits the time from one microsecond to before another, at every start of
// a step between, by the levels given, longest first.
func pieces(starts []time.Time, from, to int64, levels ...int64) map[int64][]piece {
	out := map[int64][]piece{}
	var split func(step int, from, to int64, levels []int64)
	split = func(step int, from, to int64, levels []int64) {
		switch {
		case from >= to:
			return
		case len(levels) == 0:
			out[0] = append(out[0], piece{step, from, to})
			return
		}
		size := levels[0] * micros
		first, end := -floor(-from, size), floor(to, size)
		if first >= end {
			split(step, from, to, levels[1:])
			return
		}
		split(step, from, first*size, levels[1:])
		out[levels[0]] = append(out[levels[0]], piece{step, first, end})
		split(step, end*size, to, levels[1:])
	}
	if len(starts) == 0 {
		split(0, from, to, levels)
	}
	for i := range starts {
		a, b := max(from, starts[i].UnixMicro()), to
		if i+1 < len(starts) {
			b = min(to, starts[i+1].UnixMicro())
		}
		split(i, a, b, levels)
	}
	return out
}

// table makes pieces a table called steps, of the step's number, a and b.
func table(list []piece) string {
	b := []byte("WITH steps (i, a, b) AS (VALUES ")
	for i, p := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		for j, n := range [...]int64{int64(p.step), p.from, p.to} {
			b = append(b, "(,,"[j])
			b = strconv.AppendInt(b, n, 10)
		}
		b = append(b, ')')
	}
	return string(append(b, ") "...))
}

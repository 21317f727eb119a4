package consent

import (
	"maps"
	"slices"
	"strings"
)

// choices are a US section to write: fields that are not named hold fine, which is 1
// for a notice and 2 for a choice, so that nothing is refused.
type choices map[Field][]uint8

// usSection writes a section of the newest version, as the table says.
func usSection(id int, c choices, gpc Tristate) string {
	l, version := &states[min(id, lastReadableUS)], int64(1)
	if id == 7 {
		l, version = &usnat[2], 2
	}
	var w writer
	w.put(6, version)
	for _, p := range l.parts {
		for i := range p.n {
			v := uint8(2)
			if strings.HasSuffix(string(p.field), "Notice") {
				v = 1
			}
			if p.field == MspaServiceProviderMode {
				v = 0
			}
			if given, ok := c[p.field]; ok && i < len(given) {
				v = given[i]
			}
			w.put(2, int64(v))
		}
	}
	s := w.segment()
	switch gpc {
	case On:
		s += ".YA"
	case Off:
		s += ".QA"
	}
	return s
}

func us1(id int, field Field, v ...uint8) string { return usSection(id, choices{field: v}, Unknown) }

// buildGPP writes a GPP string of sections by id.
func buildGPP(sections map[int]string) string {
	ids := slices.Sorted(maps.Keys(sections))
	var w writer
	w.put(6, 3)
	w.put(6, 1)
	w.put(12, int64(len(ids)))
	last := 0
	for _, id := range ids {
		w.put(1, 0)
		w.WriteString(fibonacci(id - last))
		last = id
	}
	out := w.segment()
	for _, id := range ids {
		out += "~" + sections[id]
	}
	return out
}

// fibonacci writes a number by the greatest weights that fit, and ends it with 11.
func fibonacci(n int) string {
	weights := []int{1, 2}
	for weights[len(weights)-1] <= n {
		weights = append(weights, weights[len(weights)-1]+weights[len(weights)-2])
	}
	var out string
	for i := len(weights) - 1; i >= 0; i-- {
		switch {
		case weights[i] <= n:
			n -= weights[i]
			out = "1" + out
		case out != "":
			out = "0" + out
		}
	}
	return out + "1"
}

package event

import (
	"strings"
	"testing"
)

func TestNestingIsFoundWhereverTheBytesAreCut(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, MaxDepth/2+1)
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"as deep as may be":             {strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), false},
		"one deeper":                    {strings.Repeat("[", MaxDepth+1), true},
		"objects and arrays":            {deep, true},
		"side by side":                  {"[" + strings.Repeat("[[]],", 10*MaxDepth) + "[]]", false},
		"in a string":                   {`{"a":"` + strings.Repeat("[", 2*MaxDepth) + `"}`, false},
		"in a string behind a quote":    {`{"a":"\"` + strings.Repeat("[", 2*MaxDepth) + `"}`, false},
		"behind a string that ends so":  {`{"a":"\\",` + strings.Repeat(`"b":[`, MaxDepth+1), true},
		"behind a long string":          {`{"a":"` + strings.Repeat("x", 1000) + `",` + deep, true},
		"nothing":                       {``, false},
		"what is no JSON, and no bomb":  {`}}}}]]]]` + strings.Repeat("[", MaxDepth), false},
		"a string that never ends at {": {`"` + strings.Repeat(`\"{`, 2*MaxDepth), false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 7, 64, 1 << 20} {
				var n Nesting
				got := false
				for rest := tt.text; rest != "" && !got; {
					piece := rest[:min(size, len(rest))]
					rest = rest[len(piece):]
					got = n.TooDeep([]byte(piece))
				}
				if got != tt.want {
					t.Errorf("in pieces of %d: %v", size, got)
				}
			}
		})
	}
}

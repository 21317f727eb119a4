package fields

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Paths are those of a request with one event, in the order of the alphabet.
func Paths(q Request) []string {
	q.Pixels = []string{""}
	var out []string
	read(q, func(_ string, note func(*tally)) {
		t := &tally{}
		note(t)
		for _, n := range t.paths {
			out = append(out, n.path)
		}
		if t.over.events > 0 {
			out = append(out, Beyond)
		}
	})
	slices.Sort(out)
	return out
}

// read hands over each pixel of a request with what notes its fields in a tally.
func read(q Request, each func(pixel string, note func(*tally))) {
	events := map[string]int{}
	var pixels []string
	for _, p := range q.Pixels {
		if events[p]++; events[p] == 1 {
			pixels = append(pixels, p)
		}
	}
	names, isForm := q.names()
	var own, shared []part
	opaque := false
	switch kind := jsontext.Value(q.Body).Kind(); {
	case isForm || len(q.Body) == 0:
	case kind == '{', kind == '[':
		own, shared = split(q.Body, len(q.Pixels))
	default:
		opaque = true
	}
	for _, pixel := range pixels {
		each(pixel, func(t *tally) {
			t.begin(q.At.UTC().Truncate(time.Millisecond))
			for _, n := range names {
				t.sent(t.below(&t.root, n, "."), events[pixel])
			}
			if opaque {
				t.sent(t.below(&t.root, "body", "."), events[pixel])
			}
			for _, p := range shared {
				t.part(p, events[pixel])
			}
			for i, p := range own {
				if q.Pixels[i] == pixel {
					t.begin(t.at)
					t.part(p, 1)
				}
			}
		})
	}
}

// CodeRefused is why a delivery with a field that was refused is not sent.
const CodeRefused = "field_refused"

// RefusedMessage says which those are.
func RefusedMessage(partner string, paths []string) string {
	more := ""
	if n := len(paths) - 3; n > 0 {
		paths, more = paths[:3], fmt.Sprintf(" and %d more", n)
	}
	return "not sent: it would tell " + partner + " what was refused: " + strings.Join(paths, ", ") + more
}

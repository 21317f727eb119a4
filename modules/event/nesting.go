package event

import "bytes"

// MaxDepth is how deep a whole body may nest. One that nests deeper is no mistake in one
// of its events, for which MaxEventDepth is, and nobody need read on.
const MaxDepth = 512

// Nesting follows how deep JSON nests while its bytes come in, in whatever pieces. It looks at
// brackets outside strings alone.
type Nesting struct {
	depth         int
	text, escaped bool
}

// TooDeep takes the next bytes, and reports whether it goes deeper than MaxDepth in them.
func (n *Nesting) TooDeep(b []byte) bool {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case n.escaped:
			n.escaped = false
		case n.text && c == '\\':
			n.escaped = true
		case n.text && c == '"':
			n.text = false
		case n.text:
			// What comes until one of those is text.
			next := bytes.IndexAny(b[i:], `"\`)
			if next < 0 {
				return false
			}
			i += next - 1
		case c == '"':
			n.text = true
		case c == '{', c == '[':
			if n.depth++; n.depth > MaxDepth {
				return true
			}
		case c == '}', c == ']':
			n.depth--
		}
	}
	return false
}

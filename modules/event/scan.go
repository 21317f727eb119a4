package event

import (
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner reads JSON as programs write it. Of whatever is unusual it says bad,
// and then what it read counts for nothing: the json package, which knows all of
// JSON and says what is wrong where, has to read it again. What is not bad is
// valid, and means what the json package would take it for. The text must be
// UTF-8, which has to be checked where bytes has one of tops.
type scanner struct {
	s   string
	i   int
	bad bool
	// plain becomes false where the text is not as short as can be: an escape or
	// white space was met.
	plain bool
	// escaped becomes true with an escape.
	escaped bool
	// bytes has a bit of each byte that a string had, and of some others.
	bytes uint64
	depth int
	// names are those of the objects that are open, to find one that is there
	// twice.
	names []string
	// personal becomes true with a name that says of a person.
	personal bool
}

const (
	// maxNames is how many members an object may have to be looked through, each
	// name being compared with each.
	maxNames = 40

	ones   = 0x0101010101010101
	tops   = 0x8080808080808080
	spaces = 0x20 * ones
	quotes = '"' * ones
	slants = '\\' * ones
)

// peek is the next byte that is not white space, and 0 at the end.
func (p *scanner) peek() byte {
	for ; p.i < len(p.s); p.i++ {
		if c := p.s[p.i]; c > ' ' || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
		p.plain = false
	}
	return 0
}

// take takes one byte, which has to be c.
func (p *scanner) take(c byte) {
	if p.peek() != c {
		p.fail()
		return
	}
	p.i++
}

// fail ends the reading: from here on there is nothing left.
func (p *scanner) fail() {
	p.bad = true
	p.i = len(p.s)
}

// open begins an object or an array, and reports whether anything is in it. Its
// maker calls next after each member, until there is none.
func (p *scanner) open(begin, end byte) bool {
	p.take(begin)
	if p.depth++; p.depth > MaxEventDepth {
		p.fail()
	}
	if p.peek() == end {
		p.i++
		p.depth--
		return false
	}
	return !p.bad
}

// next reports whether another member follows.
func (p *scanner) next(end byte) bool {
	switch p.peek() {
	case ',':
		p.i++
		return true
	case end:
		p.i++
		p.depth--
		return false
	}
	p.fail()
	return false
}

// name reads the name of a member. One with an escape is bad.
func (p *scanner) name() string {
	s, escaped := p.quoted()
	if escaped {
		p.fail()
		return ""
	}
	p.take(':')
	return s
}

// once is a set of the members of an object that were there.
type once uint32

// know reads the rest of a member that may be there once.
func (p *scanner) know(seen *once, bit int) {
	if *seen&(1<<bit) != 0 {
		p.fail()
	}
	*seen |= 1 << bit
}

// quoted reads a string and returns what stands between its quotation marks.
func (p *scanner) quoted() (s string, escaped bool) {
	p.take('"')
	text, i := p.s, p.i
	for i < len(text) {
		if i+8 <= len(text) {
			// Eight bytes at a time, as long as none of them means anything.
			x := word(text[i:])
			p.bytes |= x
			q, b := x^quotes, x^slants
			m := ((x - spaces) &^ x & tops) | ((q - ones) &^ q & tops) | ((b - ones) &^ b & tops)
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) / 8
		}
		c := text[i]
		p.bytes |= uint64(c)
		if c == '"' {
			s, p.i = text[p.i:i], i+1
			return s, escaped
		}
		if c < ' ' {
			break
		}
		if c == '\\' {
			escaped, p.escaped, p.plain = true, true, false
			i++
		}
		i++
	}
	p.fail()
	return "", false
}

func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// text reads a string.
func (p *scanner) text() string {
	from := p.i
	s, escaped := p.quoted()
	if !escaped || p.bad {
		return s
	}
	for p.s[from] != '"' { // white space
		from++
	}
	b, err := jsontext.AppendUnquote(nil, p.s[from:p.i])
	if err != nil {
		p.fail()
		return ""
	}
	return string(b)
}

// number reads a number and returns its digits.
func (p *scanner) number() string {
	p.peek()
	from := p.i
	p.sign("-")
	if p.i < len(p.s) && p.s[p.i] == '0' {
		p.i++
	} else {
		p.digits()
	}
	if p.i < len(p.s) && p.s[p.i] == '.' {
		p.i++
		p.digits()
	}
	if p.i < len(p.s) && p.s[p.i]|0x20 == 'e' {
		p.i++
		p.sign("+-")
		p.digits()
	}
	if p.bad {
		return ""
	}
	return p.s[from:p.i]
}

func (p *scanner) sign(any string) {
	for i := range len(any) {
		if p.i < len(p.s) && p.s[p.i] == any[i] {
			p.i++
			return
		}
	}
}

func (p *scanner) digits() {
	from := p.i
	for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		p.i++
	}
	if p.i == from {
		p.fail()
	}
}

// count reads a number that is neither negative nor a fraction nor large.
func (p *scanner) count() int {
	s := p.number()
	if len(s) == 0 || len(s) > 9 {
		p.fail()
		return 0
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			p.fail()
			return 0
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func (p *scanner) literal(s string) bool {
	if len(p.s)-p.i < len(s) || p.s[p.i:p.i+len(s)] != s {
		p.fail()
		return false
	}
	p.i += len(s)
	return true
}

func (p *scanner) boolean() bool {
	if p.peek() == 't' {
		return p.literal("true")
	}
	p.literal("false")
	return false
}

// skip reads any value and only says whether it is valid.
func (p *scanner) skip() {
	switch p.peek() {
	case '"':
		if from := p.i; true {
			if _, escaped := p.quoted(); escaped && !p.bad {
				if _, err := jsontext.AppendUnquote(nil, p.s[from:p.i]); err != nil {
					p.fail()
				}
			}
		}
	case '{':
		base := len(p.names)
		for more := p.open('{', '}'); more; more = p.next('}') {
			p.fresh(base, p.name())
			p.skip()
		}
		p.names = p.names[:base]
	case '[':
		for more := p.open('[', ']'); more; more = p.next(']') {
			p.skip()
		}
	case 't':
		p.literal("true")
	case 'f':
		p.literal("false")
	case 'n':
		p.literal("null")
	default:
		p.number()
	}
}

// fresh notes a name of the object whose names begin at base; one that is there
// already, or one too many, is bad.
func (p *scanner) fresh(base int, name string) {
	if len(p.names)-base == maxNames {
		p.fail()
		return
	}
	for _, s := range p.names[base:] {
		if s == name {
			p.fail()
			return
		}
	}
	p.names = append(p.names, name)
	p.personal = p.personal || PersonalName(name)
}

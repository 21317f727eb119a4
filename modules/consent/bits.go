package consent

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// sextets maps a base64url character to its six bits, and anything else to 0xFF.
var sextets = func() (t [256]byte) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range t {
		t[i] = 0xFF
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	return t
}()

var errShort = errors.New("it ends in the middle of a field")

// bits reads a segment from its most significant bit on. Reading past the end
// gives zeros and is remembered, so that one check after the last field is
// enough; whoever allocates by a count asks left first.
type bits struct {
	b     []byte // the segment's bits, and eight bytes more so that a load never runs over
	at    int
	end   int
	short bool
}

// decode reads a segment character by character: encoders pad to 24, 8 or only
// 6 bits, so that any length is legal, also those that base64 refuses.
func decode(segment string) (bits, error) {
	b := make([]byte, len(segment)*6/8+1+8+8)
	bad, out, i := byte(0), 0, 0
	for ; i+8 <= len(segment); i += 8 {
		c0, c1, c2, c3 := sextets[segment[i]], sextets[segment[i+1]], sextets[segment[i+2]], sextets[segment[i+3]]
		c4, c5, c6, c7 := sextets[segment[i+4]], sextets[segment[i+5]], sextets[segment[i+6]], sextets[segment[i+7]]
		bad |= c0 | c1 | c2 | c3 | c4 | c5 | c6 | c7
		binary.BigEndian.PutUint64(b[out:], uint64(c0)<<58|uint64(c1)<<52|uint64(c2)<<46|uint64(c3)<<40|
			uint64(c4)<<34|uint64(c5)<<28|uint64(c6)<<22|uint64(c7)<<16)
		out += 6
	}
	var rest uint64
	for shift := 58; i < len(segment); i, shift = i+1, shift-6 {
		c := sextets[segment[i]]
		bad |= c
		rest |= uint64(c) << shift
	}
	binary.BigEndian.PutUint64(b[out:], rest)
	if bad > 63 {
		return bits{}, alien(segment)
	}
	return bits{b: b, end: len(segment) * 6}, nil
}

// alien names the first character that is not base64url, by its place alone:
// what a page put there instead of a string is nobody's business in a log.
func alien(segment string) error {
	for i := range len(segment) {
		if sextets[segment[i]] > 63 {
			return fmt.Errorf("character %d of a segment is not of base64url", i+1)
		}
	}
	return nil
}

func (r *bits) left() int { return r.end - r.at }

// take reads n bits, at most 57.
func (r *bits) take(n int) uint64 {
	if n > r.end-r.at {
		r.at, r.short = r.end, true
		return 0
	}
	if n == 0 {
		return 0
	}
	w := binary.BigEndian.Uint64(r.b[r.at>>3:]) << (r.at & 7) >> (64 - n)
	r.at += n
	return w
}

func (r *bits) flag() bool { return r.take(1) == 1 }

// letters reads two letters of six bits each; "" where they are none.
func (r *bits) letters() string {
	a, b := r.take(6), r.take(6)
	if a > 25 || b > 25 {
		return ""
	}
	return string([]byte{'A' + byte(a), 'A' + byte(b)})
}

// flags reads n switches, at most 63.
func (r *bits) flags(n int) Flags {
	if n <= 32 {
		return Flags{bits: r.take(n), n: n}
	}
	high := r.take(32)
	return Flags{bits: high<<(n-32) | r.take(n-32), n: n}
}

// Flags are switches numbered from 1, as purposes and features are.
type Flags struct {
	bits uint64
	n    int
}

// Has reports whether switch i is on; one that is not there is off.
func (f Flags) Has(i int) bool {
	return i >= 1 && i <= f.n && f.bits>>(f.n-i)&1 == 1
}

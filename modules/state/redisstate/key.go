package redisstate

import (
	"encoding/hex"
	"strings"
)

// uuidSize is how long a UUID is as text.
const uuidSize = 36

// packKey is a key as Redis has it: each UUID in it, which most of our keys end
// in, as a byte that says so and its own 16 bytes. That is a third of a small
// key's memory. No two keys are packed to the same.
func packKey(key string) string {
	if strings.IndexByte(key, 1) >= 0 || strings.HasPrefix(key, "\x02") {
		return "\x02" + key
	}
	if strings.IndexByte(key, '-') < 0 {
		return key
	}
	var out []byte
	done := 0
	for i := 0; i+uuidSize <= len(key); {
		raw, is := uuid(key[i : i+uuidSize])
		if !is {
			i++
			continue
		}
		out = append(out, key[done:i]...)
		out = append(out, 1)
		out = append(out, raw[:]...)
		i += uuidSize
		done = i
	}
	if out == nil {
		return key
	}
	return string(append(out, key[done:]...))
}

// uuid reads a UUID in lower case.
func uuid(s string) (raw [16]byte, is bool) {
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return raw, false
	}
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'F' {
			return raw, false
		}
	}
	at := 0
	for _, part := range [...]string{s[:8], s[9:13], s[14:18], s[19:23], s[24:]} {
		n, err := hex.Decode(raw[at:], []byte(part))
		if err != nil {
			return raw, false
		}
		at += n
	}
	return raw, true
}

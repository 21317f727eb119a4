package redisqueue

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/s2"
)

// The codecs of a payload, its first byte. docs/decisions/0005 says why S2.
const (
	plain      = 0
	compressed = 1 // S2

	headSize = 3
	// small is what compressing gains nothing on.
	small = 128
	// maxContent bounds what a payload may unpack to.
	maxContent = 64 << 20
)

// scratch are buffers to pack in.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// pack makes a payload of n messages' content.
func pack(content []byte, n int) []byte {
	head := [headSize]byte{plain, byte(n >> 8), byte(n)}
	rest := content
	if len(content) >= small && len(content) <= maxContent {
		buffer := scratch.Get().(*[]byte)
		defer scratch.Put(buffer)
		if need := s2.MaxEncodedLen(len(content)); cap(*buffer) < need {
			*buffer = make([]byte, need)
		}
		if packed := s2.Encode((*buffer)[:cap(*buffer)], content); len(packed) < len(content) {
			head[0], rest = compressed, packed
		}
	}
	out := make([]byte, 0, headSize+len(rest))
	return append(append(out, head[:]...), rest...)
}

// unpack returns a payload's content.
func unpack(payload string) ([]byte, error) {
	if len(payload) < headSize {
		return nil, errForeign
	}
	// Nothing changes it: bodies of a plain payload are read from it as they are.
	rest := unsafe.Slice(unsafe.StringData(payload), len(payload))[headSize:len(payload):len(payload)]
	switch payload[0] {
	case plain:
		return rest, nil
	case compressed:
		if n, err := s2.DecodedLen(rest); err != nil || n > maxContent {
			return nil, fmt.Errorf("decompress %d bytes: %w", n, errForeign)
		}
		content, err := s2.Decode(nil, rest)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return content, nil
	}
	return nil, errForeign
}

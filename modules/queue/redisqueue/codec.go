package redisqueue

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// The codecs of a payload, its first byte.
const (
	plain      = 0
	compressed = 1 // zstd

	headSize = 3
	// small is what compressing gains nothing on.
	small = 192
	// maxContent bounds what a payload may unpack to.
	maxContent = 64 << 20
)

var encoder = sync.OnceValue(func() *zstd.Encoder {
	// It fails only for options that do not exist.
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10))
	return e
})

var decoder = sync.OnceValue(func() *zstd.Decoder {
	d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxContent))
	return d
})

// pack makes a payload of n messages' content.
func pack(content []byte, n int) []byte {
	out := make([]byte, headSize, headSize+len(content)/2)
	out[0], out[1], out[2] = compressed, byte(n>>8), byte(n)
	if len(content) >= small {
		if out = encoder().EncodeAll(content, out); len(out) < headSize+len(content) {
			return out
		}
		out = out[:headSize]
	}
	out[0] = plain
	return append(out, content...)
}

// unpack returns a payload's content.
func unpack(payload string) ([]byte, error) {
	if len(payload) < headSize {
		return nil, errForeign
	}
	rest := []byte(payload[headSize:])
	switch payload[0] {
	case plain:
		return rest, nil
	case compressed:
		content, err := decoder().DecodeAll(rest, nil)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return content, nil
	}
	return nil, errForeign
}

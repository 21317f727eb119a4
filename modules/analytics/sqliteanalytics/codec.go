package sqliteanalytics

import (
	_ "embed"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/zstd"

	"github.com/miq/pixel/modules/event"
)

// How a body is stored; the numbers are in the database.
const (
	codecPlain = 0
	codecZstd1 = 1
)

// dictionary1 is what most events have in common. Stored bodies need it, byte
// for byte, for ever: a better one takes another number and another file.
//
//go:embed dictionary1.json
var dictionary1 []byte

const dictionary1ID = 1

// maxBody bounds what a stored body may unpack to.
const maxBody = 64 << 20

type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderDictRaw(dictionary1ID, dictionary1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(dictionary1ID, dictionary1), zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return nil, err
	}
	return &codec{enc, dec}, nil
}

func (c *codec) pack(body []byte) []byte {
	return c.enc.EncodeAll(body, make([]byte, 0, len(body)/2))
}

func (c *codec) unpack(codec int, body []byte, e *event.Event) (err error) {
	switch codec {
	case codecPlain:
	case codecZstd1:
		if body, err = c.dec.DecodeAll(body, nil); err != nil {
			return err
		}
	default:
		return fmt.Errorf("codec %d is not known to this version", codec)
	}
	return json.Unmarshal(body, e, lenient)
}

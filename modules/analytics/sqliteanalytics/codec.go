package sqliteanalytics

import (
	_ "embed"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/miq/pixel/modules/event"
)

// How a body is stored; the numbers are in the database. Bodies are written by the
// last one only: it costs an eighth of the one before, and is smaller.
const (
	codecPlain = 0 // JSON
	codecZstd1 = 1 // JSON, by zstd with the first dictionary
	codecS2    = 2 // the events' own form (event.Encode), by S2 with the second
)

// Dictionaries are what most events have in common. Stored bodies need them, byte
// for byte, for ever: a better one takes another number and another file. The
// second is ten typical events in their own form.
var (
	//go:embed dictionary1.json
	dictionary1 []byte
	//go:embed dictionary2.bin
	dictionary2 []byte
)

const dictionary1ID = 1

// maxBody bounds what a stored body may unpack to.
const maxBody = 64 << 20

type codec struct {
	dec  *zstd.Decoder
	dict *s2.Dict
}

func newCodec() (*codec, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderDictRaw(dictionary1ID, dictionary1), zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return nil, err
	}
	dict := s2.MakeDict(dictionary2, nil)
	if dict == nil {
		return nil, fmt.Errorf("the dictionary for events is none")
	}
	return &codec{dec, dict}, nil
}

func (c *codec) pack(e *event.Event) []byte {
	return c.dict.Encode(nil, event.Encode(e))
}

func (c *codec) unpack(codec int, body []byte, e *event.Event) (err error) {
	switch codec {
	case codecPlain:
	case codecZstd1:
		if body, err = c.dec.DecodeAll(body, nil); err != nil {
			return err
		}
	case codecS2:
		if n, err := s2.DecodedLen(body); err != nil || n > maxBody {
			return fmt.Errorf("a body of %d bytes: %w", n, err)
		}
		if body, err = c.dict.Decode(nil, body); err != nil {
			return err
		}
		return event.Decode(body, e)
	default:
		return fmt.Errorf("codec %d is not known to this version", codec)
	}
	return json.Unmarshal(body, e, lenient)
}

package lake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

var (
	// errTorn says that a file's end is not a whole frame.
	errTorn = errors.New("the frame is cut short or damaged")
	magic   = []byte{0x28, 0xB5, 0x2F, 0xFD}
)

// frames reads a file frame by frame, so that the lines of a frame that is not
// whole are never seen.
type frames struct {
	src    io.ReaderAt
	size   int64 // what was there when the reading began
	offset int64 // of the frame that is next
	r      *bufio.Reader
	dec    *zstd.Decoder
	buf    []byte
}

func newFrames(src io.ReaderAt, size int64, dec *zstd.Decoder) *frames {
	return &frames{src: src, size: size, dec: dec, r: bufio.NewReaderSize(io.NewSectionReader(src, 0, size), 1<<16)}
}

// next returns the next frame's content; io.EOF at the end of the file or where
// the last write was cut short. The content is the caller's to keep.
func (f *frames) next() ([]byte, error) {
	content, err := f.read()
	if !errors.Is(err, errTorn) {
		return content, err
	}
	// The writer never goes on behind a torn frame. Where something whole follows,
	// this is damage, and silence would hide what was lost.
	follows, err := f.follows()
	if err != nil {
		return nil, err
	}
	if follows {
		return nil, fmt.Errorf("damaged at byte %d, with more behind", f.offset)
	}
	return nil, io.EOF
}

func (f *frames) read() ([]byte, error) {
	packed, err := f.whole()
	if err != nil {
		return nil, err
	}
	content, err := f.dec.DecodeAll(packed, nil)
	if err != nil {
		return nil, errTorn
	}
	f.offset += int64(len(packed))
	return content, nil
}

// whole reads the next frame as it is: its header, its blocks up to the one that
// says it is the last, its checksum (RFC 8878, 3.1.1).
func (f *frames) whole() ([]byte, error) {
	start, err := f.r.Peek(zstd.HeaderMaxSize)
	if len(start) == 0 {
		return nil, err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var h zstd.Header
	// Every frame of ours has a checksum; one without could not tell damage.
	if err := h.Decode(start); err != nil || h.Skippable || !h.HasCheckSum {
		return nil, errTorn
	}
	f.buf = f.buf[:0]
	if err := f.take(h.HeaderSize); err != nil {
		return nil, err
	}
	for {
		if err := f.take(3); err != nil {
			return nil, err
		}
		b := f.buf[len(f.buf)-3:]
		block := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		last, kind, size := block&1 == 1, block>>1&3, block>>3
		if kind == 1 { // one byte, repeated
			size = 1
		}
		if kind == 3 || len(f.buf)+size > maxFrame {
			return nil, errTorn
		}
		if err := f.take(size); err != nil {
			return nil, err
		}
		if last {
			break
		}
	}
	return f.buf, f.take(4)
}

func (f *frames) take(n int) error {
	at := len(f.buf)
	f.buf = append(f.buf, make([]byte, n)...)
	_, err := io.ReadFull(f.r, f.buf[at:])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// follows reports whether a whole frame begins anywhere behind the start of the
// one that is torn. The magic number is not UTF-8, so no record can imitate it.
func (f *frames) follows() (bool, error) {
	rest := make([]byte, f.size-f.offset)
	n, err := f.src.ReadAt(rest, f.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	rest = rest[:n]
	for at := 1; at < len(rest); at++ {
		i := bytes.Index(rest[at:], magic)
		if i < 0 {
			return false, nil
		}
		at += i
		later := newFrames(bytes.NewReader(rest[at:]), int64(len(rest)-at), f.dec)
		if _, err := later.read(); err == nil {
			return true, nil
		}
	}
	return false, nil
}

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
)

// The engine reads and writes Native at revision 0, and clients speak at one of their
// own. What differs is what stands around a column's bytes, never the bytes: so blocks
// are taken apart into columns and put together again, and the bytes that arrive are
// the engine's, or the client's, own. Where a column ends is found by decoding it with
// the Go driver's code; a type that the driver cannot read cannot pass here either.

// block is a Native block in pieces.
type block struct {
	columns []blockColumn
	rows    int
}

type blockColumn struct {
	name, kind string
	data       []byte
}

// empty is what ends a stream of blocks.
func (b block) empty() bool { return len(b.columns) == 0 && b.rows == 0 }

// header is the same without rows.
func (b block) header() block {
	h := block{columns: make([]blockColumn, len(b.columns))}
	for i, c := range b.columns {
		h.columns[i] = blockColumn{name: c.name, kind: c.kind}
	}
	return h
}

// encode writes a block as it is at a revision; 0 is the engine's.
func (b block) encode(out *proto.Buffer, revision int) {
	if revision > 0 {
		proto.BlockInfo{BucketNum: -1}.Encode(out)
	}
	out.PutInt(len(b.columns))
	out.PutInt(b.rows)
	for _, c := range b.columns {
		out.PutString(c.name)
		out.PutString(c.kind)
		if proto.FeatureCustomSerialization.In(revision) {
			out.PutBool(false)
		}
		out.PutRaw(c.data)
	}
}

// tape reads blocks off a reader, and keeps the bytes of what it reads.
type tape struct {
	src  io.Reader
	b    *bufio.Reader
	r    *proto.Reader
	kept []byte
	keep bool
}

// tapeBuffer is as large as the buffer of proto.Reader, which then takes ours.
const tapeBuffer = 128 << 10

func newTape(src io.Reader) *tape {
	t := &tape{src: src}
	t.b = bufio.NewReaderSize(t, tapeBuffer)
	t.r = proto.NewReader(t.b)
	return t
}

func (t *tape) Read(p []byte) (int, error) {
	n, err := t.src.Read(p)
	if t.keep {
		t.kept = append(t.kept, p[:n]...)
	}
	return n, err
}

// block reads the next one.
func (t *tape) block(revision int) (b block, err error) {
	if revision > 0 {
		var info proto.BlockInfo
		if err := info.Decode(t.r); err != nil {
			return b, err
		}
	}
	n, err := t.r.Int()
	if err != nil {
		return b, err
	}
	if b.rows, err = t.r.Int(); err != nil {
		return b, err
	}
	if n < 0 || n > 10_000 || b.rows < 0 || b.rows > 1<<30 {
		return b, fmt.Errorf("a block of %d columns and %d rows", n, b.rows)
	}
	b.columns = make([]blockColumn, n)
	for i := range b.columns {
		c := &b.columns[i]
		if c.name, err = t.r.Str(); err != nil {
			return b, err
		}
		if c.kind, err = t.r.Str(); err != nil {
			return b, err
		}
		if proto.FeatureCustomSerialization.In(revision) {
			switch custom, err := t.r.Bool(); {
			case err != nil:
				return b, err
			case custom:
				return b, fmt.Errorf("column %s has a serialization of its own", c.name)
			}
		}
		if c.data, err = t.column(c.kind, b.rows); err != nil {
			return b, fmt.Errorf("column %s %s: %w", c.name, c.kind, err)
		}
	}
	return b, nil
}

// column reads over one column, and returns the bytes that it was.
func (t *tape) column(kind string, rows int) ([]byte, error) {
	if rows == 0 {
		return nil, nil
	}
	c, err := column.Type(kind).Column("", &column.ServerContext{Timezone: time.UTC})
	if err != nil {
		return nil, err
	}
	held, _ := t.b.Peek(t.b.Buffered())
	t.kept, t.keep = append(t.kept[:0], held...), true
	defer func() { t.keep = false }()
	if s, ok := c.(column.CustomSerialization); ok {
		if err := s.ReadStatePrefix(t.r); err != nil {
			return nil, err
		}
	}
	if err := c.Decode(t.r, rows); err != nil {
		return nil, err
	}
	return bytes.Clone(t.kept[:len(t.kept)-t.b.Buffered()]), nil
}

package sqliteanalytics

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/klauspost/compress/s2"
)

// column is one property of some thousand events, in the order of their seq.
type column struct {
	codes   []uint16  // the place of each event's value among the different ones
	texts   []string  // the different values of a dimension
	digests []uint64  // or of an identifier; 0: there is none
	pixels  []uint16  // what pixel each digest is of, where that matters
	ints    []int64   // each event's number
	rows    []uint16  // the events that have an amount
	amounts []float64 // theirs, in millionths
	words   *words    // what is in their texts

	numbered atomic.Pointer[numbered] // of the digests
}

// The columns beside those of dimensions.
const (
	colSeq     = ":seq"
	colAt      = ":at"      // when it was received
	colTime    = ":time"    // when it happened
	colVisitor = ":visitor" // a digest
	colOrder   = ":order"   // a digest; of purchases
	colRevenue = ":revenue"
	colBase    = ":base"
	colValue   = ":value" // of whatever has one, as it stands there; chunks of before have none
	colWords   = ":words"
)

// chunkRows is how many events a chunk has at most; a row's place must fit into 16 bits.
const chunkRows = 8192

// interned counts the different values of a column as they come.
type interned[K comparable] struct {
	codes []uint16
	list  []K
	index map[K]uint16
}

func (d *interned[K]) add(v K) {
	if n := len(d.codes); n > 0 {
		if last := d.codes[n-1]; d.list[last] == v {
			d.codes = append(d.codes, last)
			return
		}
	}
	c, known := d.index[v]
	if !known {
		if d.index == nil {
			d.index = map[K]uint16{}
		}
		c = uint16(len(d.list)) //nolint:gosec // chunkRows bounds it
		d.index[v], d.list = c, append(d.list, v)
	}
	d.codes = append(d.codes, c)
}

// amounts are those of the events that have one.
type amounts struct {
	rows []uint16
	list []float64
}

func (a *amounts) add(row uint16, v float64) { a.rows, a.list = append(a.rows, row), append(a.list, v) }

// of are those of the first events.
func (a *amounts) of(n int) *column {
	n, _ = slices.BinarySearchFunc(a.rows, n, func(row uint16, n int) int { return int(row) - n })
	return &column{rows: a.rows[:n], amounts: a.list[:n]}
}

// batch gathers the columns of events that follow one another.
type batch struct {
	n             int
	since, until  int64 // of receipt; both are of an event
	last          int64 // seq
	names         []string
	texts         []interned[string]
	seq, at, time []int64
	visitor       interned[uint64]
	order         interned[uint64]
	revenue, base amounts
	value         amounts
	words         *words
}

// newBatch is for the pixel, the name and the dimensions.
func newBatch(dimensions []string) *batch {
	b := &batch{names: append([]string{"pixel_id", "name"}, dimensions...), words: newWords()}
	b.texts = make([]interned[string], len(b.names))
	return b
}

func (b *batch) full() bool { return b.n >= chunkRows }

// add takes an event; visitor is the digest of its visitor, or 0.
func (b *batch) add(c *counted, visitor uint64) {
	row := uint16(b.n) //nolint:gosec // chunkRows bounds it
	if b.n == 0 {
		b.since, b.until = c.at, c.at
	}
	b.since, b.until, b.last = min(b.since, c.at), max(b.until, c.at), c.seq
	b.seq, b.at, b.time = append(b.seq, c.seq), append(b.at, c.at), append(b.time, c.time)
	b.texts[0].add(c.pixel)
	b.texts[1].add(c.name)
	for i, v := range c.values {
		b.texts[i+2].add(v)
	}
	b.visitor.add(visitor)
	order := uint64(0)
	if c.name == "purchase" && c.order != "" {
		order = digest(c.order)
	}
	b.order.add(order)
	money := one(c.name, c.revenue, c.base)
	if money.revenue != 0 {
		b.revenue.add(row, money.revenue)
	}
	if money.base != 0 {
		b.base.add(row, money.base)
	}
	if c.revenue.Valid {
		b.value.add(row, c.revenue.Float64)
	}
	b.words.add(c.search)
	b.n++
}

// columns are all of them by name, of the first n events: what is added later does not
// change what was handed out.
func (b *batch) columns(n int) map[string]*column {
	words := *b.words
	out := map[string]*column{
		colSeq: {ints: b.seq[:n]}, colAt: {ints: b.at[:n]}, colTime: {ints: b.time[:n]},
		colVisitor: {codes: b.visitor.codes[:n], digests: b.visitor.list}, colOrder: {codes: b.order.codes[:n], digests: b.order.list},
		colRevenue: b.revenue.of(n), colBase: b.base.of(n), colValue: b.value.of(n),
		colWords: {words: &words},
	}
	for i, name := range b.names {
		out[name] = &column{codes: b.texts[i].codes[:n], texts: b.texts[i].list}
	}
	return out
}

// encode is a column's form in the store, by S2. Lists have their length before them;
// numbers follow as differences from the one before.
func (c *column) encode() []byte {
	var b []byte
	count := func(n int) { b = binary.AppendUvarint(b, uint64(n)) } //nolint:gosec // a length
	switch {
	case c.words != nil:
		b = append(append(b, c.words.text[:]...), c.words.ids[:]...)
	case c.ints != nil:
		count(len(c.ints))
		was := int64(0)
		for _, v := range c.ints {
			b, was = binary.AppendVarint(b, v-was), v
		}
	case c.codes == nil:
		count(len(c.rows))
		for i, r := range c.rows {
			b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint16(b, r), math.Float64bits(c.amounts[i]))
		}
	default:
		count(len(c.texts))
		for _, v := range c.texts {
			count(len(v))
			b = append(b, v...)
		}
		count(len(c.digests))
		for _, v := range c.digests {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
		count(len(c.codes))
		wide := max(len(c.texts), len(c.digests)) > 256
		for _, v := range c.codes {
			if b = append(b, byte(v)); wide {
				b = append(b, byte(v>>8))
			}
		}
	}
	return s2.Encode(nil, b)
}

// reader takes what encode wrote apart, and remembers that it was not whole.
type reader struct {
	b      []byte
	broken bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.broken = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count is a length that so many bytes each must follow.
func (r *reader) count(width int) int {
	v := r.uvarint()
	if v > uint64(len(r.b)/width) { //nolint:gosec // a length
		r.broken = true
		return 0
	}
	return int(v) //nolint:gosec // it is no more than a length
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.broken = true
		return make([]byte, n)
	}
	var out []byte
	out, r.b = r.b[:n], r.b[n:]
	return out
}

// decodeColumn reads the column of a name.
func decodeColumn(name string, body []byte) (*column, error) {
	b, err := s2.Decode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("the column %s: %w", name, err)
	}
	c, r := &column{}, reader{b: b}
	switch name {
	case colWords:
		c.words = newWords()
		copy(c.words.text[:], r.take(len(c.words.text)))
		copy(c.words.ids[:], r.take(len(c.words.ids)))
	case colSeq, colAt, colTime:
		c.ints = make([]int64, r.count(1))
		was := int64(0)
		for i := range c.ints {
			d, n := binary.Varint(r.b)
			if n <= 0 {
				r.broken = true
				break
			}
			r.b, was = r.b[n:], was+d
			c.ints[i] = was
		}
	case colRevenue, colBase, colValue:
		n := r.count(10)
		c.rows, c.amounts = make([]uint16, n), make([]float64, n)
		for i := range n {
			one := r.take(10)
			c.rows[i], c.amounts[i] = binary.LittleEndian.Uint16(one), math.Float64frombits(binary.LittleEndian.Uint64(one[2:]))
		}
	default:
		c.texts = make([]string, r.count(1))
		for i := range c.texts {
			c.texts[i] = string(r.take(r.count(1)))
		}
		c.digests = make([]uint64, r.count(8))
		for i := range c.digests {
			c.digests[i] = binary.LittleEndian.Uint64(r.take(8))
		}
		different, width := max(len(c.texts), len(c.digests)), 1
		if different > 256 {
			width = 2
		}
		c.codes = make([]uint16, r.count(width))
		for i := range c.codes {
			one := r.take(width)
			c.codes[i] = uint16(one[0])
			if width == 2 {
				c.codes[i] |= uint16(one[1]) << 8
			}
			r.broken = r.broken || int(c.codes[i]) >= different
		}
	}
	if r.broken {
		return nil, fmt.Errorf("the column %s: %w", name, errBroken)
	}
	return c, nil
}

// weight is about how many bytes of memory it takes.
func (c *column) weight() int {
	n := 2*len(c.codes) + 16*len(c.digests) + 2*len(c.pixels) + 8*len(c.ints) + 10*len(c.rows)
	for _, t := range c.texts {
		n += 16 + len(t)
	}
	if c.words != nil {
		n += len(c.words.text) + len(c.words.ids)
	}
	return n + 64
}

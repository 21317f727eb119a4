package sqlitequeue

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/miq/pixel/modules/queue"
)

// A segment is what one push brought to a queue, in one row: messages with
// consecutive ids. It lives until each of them was acked, buried or handed back,
// which is no longer than a lease after the last was handed out.
type segment struct {
	first int64
	n     int
	left  int    // messages that are not done
	done  bitset // nil: none is
}

func (s *segment) last() int64 { return s.first + int64(s.n) - 1 }

// bitset has a bit for each message of a segment.
type bitset []byte

func (b bitset) has(i int) bool { return i/8 < len(b) && b[i/8]&(1<<(i%8)) != 0 }

func (b bitset) set(i int) { b[i/8] |= 1 << (i % 8) }

func (b bitset) count() int {
	n := 0
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// contents are a segment's messages.
type contents struct {
	*segment
	pushedAt int64 // Unix nanoseconds
	entries  []entry
}

type entry struct {
	account queue.Account
	body    []byte
}

func (c *contents) at(id int64) entry { return c.entries[id-c.first] }

const (
	segmentItems = 512
	segmentBytes = 256 << 10
)

// cut returns how many of the items make the next segment.
func cut(items []queue.Item) int {
	n, size := 1, len(items[0].Body)
	for n < len(items) && n < segmentItems && size+len(items[n].Body) <= segmentBytes {
		size += len(items[n].Body)
		n++
	}
	return n
}

// The first byte of a segment says how the rest is stored.
const (
	plain      = 1
	compressed = 2
)

// encode makes a segment's blob: the accounts, then for each message which of
// them it has (0: none) and how long it is, then the bodies. Events of a site
// resemble one another, so that together they compress well.
// It returns the blob to store, for which it may use scratch, and the same before
// compression.
func encode(items []queue.Item, scratch []byte) (blob, raw []byte) {
	size := 16
	accounts := map[queue.Account]uint64{}
	var order []queue.Account
	for _, it := range items {
		size += len(it.Body) + 2*binary.MaxVarintLen32
		if _, ok := accounts[it.Account]; !ok && it.Account != (queue.Account{}) {
			order = append(order, it.Account)
			accounts[it.Account] = uint64(len(order))
			size += len(it.Account.Pixel) + 2*binary.MaxVarintLen32
		}
	}
	b := make([]byte, 1, size)
	b[0] = plain
	b = binary.AppendUvarint(b, uint64(len(order)))
	for _, a := range order {
		b = binary.AppendUvarint(b, uint64(len(a.Pixel)))
		b = append(b, a.Pixel...)
		b = binary.AppendVarint(b, int64(a.Hour))
	}
	for _, it := range items {
		b = binary.AppendUvarint(b, accounts[it.Account])
		b = binary.AppendUvarint(b, uint64(len(it.Body)))
	}
	for _, it := range items {
		b = append(b, it.Body...)
	}
	if len(b) < compressFrom || len(b) > compressTo {
		return b, b
	}
	small := slices.Grow(scratch[:0], 1+s2.MaxEncodedLen(len(b)-1))
	small = small[:cap(small)]
	small[0] = compressed
	if n := len(s2.Encode(small[1:], b[1:])); n < len(b)*7/8 {
		return small[:1+n], b
	}
	return b, b
}

// compressFrom and compressTo are the sizes between which a segment is compressed. One that
// claims to unpack to twice the latter is damaged, and must not get the memory: those of an
// earlier version may be a little larger.
const compressFrom, compressTo = 256, 64 << 20

var errDamaged = errors.New("a segment of messages is damaged")

// decode reads a segment of n messages; the bodies lie in b, or in a copy.
func decode(b []byte, n int) ([]entry, error) {
	if len(b) == 0 {
		return nil, errDamaged
	}
	switch b[0] {
	case plain:
		b = b[1:]
	case compressed:
		size, err := s2.DecodedLen(b[1:])
		if err != nil || size > 2*compressTo {
			return nil, errDamaged
		}
		if b, err = s2.Decode(nil, b[1:]); err != nil {
			return nil, errDamaged
		}
	default:
		return nil, errDamaged
	}
	ok := true
	number := func() uint64 {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			ok = false
			return 0
		}
		b = b[k:]
		return v
	}
	count := number()
	if !ok || count > uint64(n) {
		return nil, errDamaged
	}
	accounts := make([]queue.Account, 1, count+1)
	for range count {
		size := number()
		if !ok || size > uint64(len(b)) {
			return nil, errDamaged
		}
		pixel := string(b[:size])
		b = b[size:]
		hour, k := binary.Varint(b)
		if k <= 0 {
			return nil, errDamaged
		}
		b = b[k:]
		accounts = append(accounts, queue.Account{Pixel: pixel, Hour: int32(hour)})
	}
	entries, sizes := make([]entry, n), make([]int, n)
	total := 0
	for i := range entries {
		account, size := number(), number()
		if !ok || account > count || size > uint64(len(b)) {
			return nil, errDamaged
		}
		entries[i].account, sizes[i] = accounts[account], int(size)
		total += int(size)
	}
	if total != len(b) {
		return nil, errDamaged
	}
	for i, size := range sizes {
		entries[i].body = b[:size:size]
		b = b[size:]
	}
	return entries, nil
}

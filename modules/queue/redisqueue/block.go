package redisqueue

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/miq/pixel/modules/queue"
)

const (
	// blockMessages and blockBytes bound a block, since who claims one message of
	// it reads it whole. A larger body has a block of its own.
	blockMessages = 64
	blockBytes    = 64 << 10

	baseSize = len(uuid.UUID{})
	idSize   = baseSize + 2
)

// base makes a block's key: a UUIDv7 that ends in the partition's slot, so that
// an id says where its message lies and when it was pushed.
func base(slot uint16) ([]byte, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(id[baseSize-2:], slot)
	return id[:], nil
}

// pushedAt is the time in a base, or in an id.
func pushedAt(base string) time.Time {
	var ms int64
	for i := range 6 {
		ms = ms<<8 | int64(base[i])
	}
	return time.UnixMilli(ms)
}

// encodeBlock packs messages: a head that is never compressed (the codec, and
// how many messages there are, 2 bytes) and then, compressed together, the
// accounts, each message's account and length, and the bodies.
func encodeBlock(items []queue.Item) []byte {
	accounts := make([]queue.Account, 0, 4)
	find := func(a queue.Account) int {
		if a == (queue.Account{}) {
			return 0
		}
		for i := range accounts {
			if accounts[i] == a {
				return i + 1
			}
		}
		accounts = append(accounts, a)
		return len(accounts)
	}
	size := 0
	heads := make([]byte, 0, 4*len(items))
	for i := range items {
		size += len(items[i].Body)
		heads = binary.AppendUvarint(heads, uint64(find(items[i].Account)))
		heads = binary.AppendUvarint(heads, uint64(len(items[i].Body)))
	}
	buffer := scratch.Get().(*[]byte)
	defer scratch.Put(buffer)
	content := slices.Grow((*buffer)[:0], size+len(heads)+32*len(accounts)+8)
	content = binary.AppendUvarint(content, uint64(len(accounts)))
	for _, a := range accounts {
		content = binary.AppendVarint(content, int64(a.Hour))
		content = binary.AppendUvarint(content, uint64(len(a.Pixel)))
		content = append(content, a.Pixel...)
	}
	content = append(content, heads...)
	for i := range items {
		content = append(content, items[i].Body...)
	}
	*buffer = content
	return pack(content, len(items))
}

var errForeign = errors.New("a block is not ours")

// block is a decoded one.
type block struct {
	key    string // base, or for a message with a payload of its own its id
	bodies [][]byte
	of     []queue.Account
}

// count is how many messages a payload has.
func count(payload string) int {
	if len(payload) < headSize {
		return 0
	}
	return int(payload[1])<<8 | int(payload[2])
}

func decodeBlock(key, payload string) (block, error) {
	b := block{key: key}
	content, err := unpack(payload)
	if err != nil {
		return b, err
	}
	bad := false
	uvarint := func() uint64 {
		n, size := binary.Uvarint(content)
		if size <= 0 {
			bad, content = true, nil
			return 0
		}
		content = content[size:]
		return n
	}
	take := func(n uint64) []byte {
		if n > uint64(len(content)) {
			bad, content = true, nil
			return nil
		}
		out := content[:n:n]
		content = content[n:]
		return out
	}
	accounts := make([]queue.Account, 1, 4)
	for n := uvarint(); n > 0 && !bad; n-- {
		hour, size := binary.Varint(content)
		if size <= 0 {
			return b, errForeign
		}
		content = content[size:]
		accounts = append(accounts, queue.Account{Hour: int32(hour), Pixel: string(take(uvarint()))})
	}
	n := count(payload)
	b.bodies, b.of = make([][]byte, n), make([]queue.Account, n)
	lengths := make([]uint64, n)
	for i := range n {
		a := uvarint()
		if a >= uint64(len(accounts)) {
			return b, errForeign
		}
		b.of[i] = accounts[a]
		lengths[i] = uvarint()
	}
	for i := range n {
		b.bodies[i] = take(lengths[i])
	}
	if bad {
		return b, errForeign
	}
	return b, nil
}

// part is a block and those of its messages that are meant.
type part struct {
	block
	ranges string // of each range: first index and count (2 bytes each), and deliveries
}

// each calls fn with each message that is meant.
func (p part) each(fn func(id string, m queue.Message) error) error {
	pushed := pushedAt(p.key)
	total := 0
	for r := p.ranges; len(r) >= 5; r = r[5:] {
		total += int(r[2])<<8 | int(r[3])
	}
	// All ids in one piece of memory.
	ids := make([]byte, 0, total*2*idSize)
	raw := make([]byte, idSize)
	copy(raw, p.key[:baseSize])
	for r := p.ranges; len(r) >= 5; r = r[5:] {
		first, n := int(r[0])<<8|int(r[1]), int(r[2])<<8|int(r[3])
		for i := first; i < first+n; i++ {
			binary.BigEndian.PutUint16(raw[baseSize:], uint16(i))
			ids = hex.AppendEncode(ids, raw)
		}
	}
	names := string(ids)
	for r := p.ranges; len(r) >= 5; r = r[5:] {
		first, n := int(r[0])<<8|int(r[1]), int(r[2])<<8|int(r[3])
		for i := first; i < first+n; i++ {
			at := i
			if len(p.key) == idSize {
				at = 0 // alone in its payload
			}
			if at >= len(p.bodies) {
				return errForeign
			}
			m := queue.Message{ID: names[:2*idSize], Body: p.bodies[at], Deliveries: int(r[4]), PushedAt: pushed, Account: p.of[at]}
			names = names[2*idSize:]
			if err := fn(m.ID, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// decodeParts reads what a claim answers.
func decodeParts(answer any) ([]part, error) {
	list, _ := answer.([]any)
	parts := make([]part, 0, len(list))
	for _, v := range list {
		fields, _ := v.([]any)
		if len(fields) != 3 {
			return nil, errForeign
		}
		key, _ := fields[0].(string)
		payload, _ := fields[1].(string)
		ranges, _ := fields[2].(string)
		if len(key) != baseSize && len(key) != idSize {
			return nil, errForeign
		}
		b, err := decodeBlock(key, payload)
		if err != nil {
			return nil, fmt.Errorf("block %x: %w", key, err)
		}
		parts = append(parts, part{b, ranges})
	}
	return parts, nil
}

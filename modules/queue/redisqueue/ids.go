package redisqueue

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/miq/pixel/modules/queue"
)

// id is a message's: its block's base, and its index.
type id [idSize]byte

func (i id) base() string { return string(i[:baseSize]) }
func (i id) slot() uint16 { return binary.BigEndian.Uint16(i[baseSize-2:]) }
func (i id) index() int   { return int(binary.BigEndian.Uint16(i[baseSize:])) }

// parse reads ids, ordered and each once.
func parse(ids []string) ([]id, error) {
	out := make([]id, len(ids))
	for i, s := range ids {
		if len(s) != 2*idSize {
			return nil, fmt.Errorf("%q is not a message id", s)
		}
		if _, err := hex.Decode(out[i][:], []byte(s)); err != nil {
			return nil, fmt.Errorf("%q is not a message id", s)
		}
	}
	slices.SortFunc(out, func(a, b id) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(out), nil
}

// group is messages of one block.
type group struct {
	base   string
	ranges string // first index and count (2 bytes each)
}

// groups gathers ids, which are ordered, by block.
func groups(ids []id) []group {
	var out []group
	var ranges []byte
	for i := 0; i < len(ids); {
		g := group{base: ids[i].base()}
		ranges = ranges[:0]
		for i < len(ids) && string(ids[i][:baseSize]) == g.base {
			first, n := ids[i].index(), 1
			for i++; i < len(ids) && string(ids[i][:baseSize]) == g.base && ids[i].index() == first+n; i++ {
				n++
			}
			ranges = binary.BigEndian.AppendUint16(ranges, uint16(first))
			ranges = binary.BigEndian.AppendUint16(ranges, uint16(n))
		}
		g.ranges = string(ranges)
		out = append(out, g)
	}
	return out
}

// placed is ids of one partition.
type placed struct {
	at  *partition
	ids []id
}

// place finds the partitions of ids, which it parses. One that is in none is of a
// queue that does not exist, or never was ours: there is nothing to do for it.
func (q *Queue) place(ctx context.Context, name string, ids []string) ([]placed, error) {
	all, err := parse(ids)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return place(q.every(ctx, name), all), nil
}

func place(ps []*partition, all []id) []placed {
	var out []placed
	for _, p := range ps {
		if len(ps) == 1 && !slices.ContainsFunc(all, func(i id) bool { return i.slot() != p.slot }) {
			return []placed{{p, all}}
		}
		var here []id
		for _, i := range all {
			if i.slot() == p.slot {
				here = append(here, i)
			}
		}
		if len(here) > 0 {
			out = append(out, placed{p, here})
		}
	}
	return out
}

// hours are the hours whose books a script may write, in the order of their keys.
type hours []int32

// key returns which of a script's keys an account's hour is; 0: not counted.
func (h *hours) key(a queue.Account) int {
	if a == (queue.Account{}) {
		return 0
	}
	i := slices.Index(*h, a.Hour)
	if i < 0 {
		i = len(*h)
		*h = append(*h, a.Hour)
	}
	return len(partition{}.fixed) + i + 1
}

// keys are all of a script's.
func (h hours) keys(p *partition) []string {
	if len(h) == 0 {
		return p.fixed[:]
	}
	keys := make([]string, 0, len(p.fixed)+len(h))
	keys = append(keys, p.fixed[:]...)
	for _, hour := range h {
		keys = append(keys, p.books(hour))
	}
	return keys
}

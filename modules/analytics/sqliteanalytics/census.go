package sqliteanalytics

import (
	"math/bits"
	"slices"
	"sync"
)

// census gives each digest of a visitor or a profile a small number, from 1 on, in the order in
// which they come: who is counted by one takes four bytes, and a place in a list. Whose
// numbers the visitors of a column are is kept with it, so that questions need not look up
// again what the one before did.
type census struct {
	mu      sync.RWMutex
	table   []uint32 // by the first bits of a digest, of a power of two; 0: free
	digests []uint64 // by number, less one
}

// mostNumbered is with how many a census is not gone on with: they take 16 to 26 bytes each,
// and four in what a question remembers of them.
const mostNumbered = 3 << 20

// numbered are the numbers of a column's digests; 0: that is none.
type numbered struct {
	by    *census
	list  []uint32
	state int      // of people
	who   []uint32 // the numbers of profiles in place of those of visitors
}

// counting is the census for a question: it knows those of the questions before.
func (s *Store) counting() *census {
	c := s.census.Load()
	c.mu.RLock()
	full := len(c.digests) >= s.mostNumbered
	c.mu.RUnlock()
	if full {
		s.census.CompareAndSwap(c, &census{})
		c = s.census.Load()
	}
	return c
}

// visitors numbers the digests of a column.
func (x *census) visitors(c *column) []uint32 {
	if known := c.numbered.Load(); known != nil && known.by == x {
		return known.list
	}
	list := make([]uint32, len(c.digests))
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, d := range c.digests {
		if d != 0 {
			list[i] = x.add(d)
		}
	}
	return list
}

// people numbers whoever the digests of a column stand for; of are the profiles of the visitors
// of its pixels, in a state.
func (x *census) people(c *column, state int, of []map[uint64]uint64) []uint32 {
	if known := c.numbered.Load(); known != nil && known.by == x && known.state == state {
		return known.who
	}
	list := x.visitors(c)
	who := slices.Clone(list)
	for i, pixel := range c.pixels {
		if len(of[pixel]) == 0 {
			continue
		}
		if profile, ok := of[pixel][c.digests[i]]; ok && who[i] != 0 {
			who[i] = x.one(profile)
		}
	}
	c.numbered.Store(&numbered{x, list, state, who})
	return who
}

// one numbers a digest.
func (x *census) one(digest uint64) (n uint32) {
	x.mu.RLock()
	if len(x.table) > 0 {
		n = x.table[x.place(digest)]
	}
	x.mu.RUnlock()
	if n == 0 {
		x.mu.Lock()
		n = x.add(digest)
		x.mu.Unlock()
	}
	return n
}

func (x *census) add(digest uint64) uint32 {
	if 2*(len(x.digests)+1) > len(x.table) {
		x.table = make([]uint32, max(1<<10, 2*len(x.table)))
		for i, d := range x.digests {
			x.table[x.place(d)] = uint32(i + 1) //nolint:gosec // so many do not fit into memory
		}
	}
	at := x.place(digest)
	if x.table[at] == 0 {
		x.digests = append(x.digests, digest)
		x.table[at] = uint32(len(x.digests)) //nolint:gosec // so many do not fit into memory
	}
	return x.table[at]
}

// place is where a digest is in the table, or would be.
func (x *census) place(digest uint64) uint64 {
	mask := uint64(len(x.table) - 1)
	i := digest >> (64 - bits.Len64(mask))
	for n := x.table[i]; n != 0 && x.digests[n-1] != digest; n = x.table[i] {
		i = (i + 1) & mask
	}
	return i
}

// size is the greatest number.
func (x *census) size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.digests)
}

// digest is what has a number.
func (x *census) digest(n uint32) uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.digests[n-1]
}

// colWho tells visitors apart by pixel, since a profile is a pixel's: it is made of two columns,
// and not stored.
const colWho = ":who"

// whoColumn makes it.
func whoColumn(pixels, visitors *column) *column {
	c := &column{codes: make([]uint16, len(visitors.codes))}
	known := make([]uint16, len(pixels.texts)*len(visitors.digests)) // their codes, and one
	for row, visitor := range visitors.codes {
		pixel := pixels.codes[row]
		at := &known[int(pixel)*len(visitors.digests)+int(visitor)]
		if *at == 0 {
			c.pixels, c.digests = append(c.pixels, pixel), append(c.digests, visitors.digests[visitor])
			*at = uint16(len(c.digests)) //nolint:gosec // chunkRows bounds it
		}
		c.codes[row] = *at - 1
	}
	return c
}

// faces says whose a part's rows are.
type faces struct {
	census  *census
	codes   []uint16
	numbers []uint32 // by code, not to be changed; 0: nobody's
}

// meet turns to a part.
func (s *Store) meet(f *faces, p *part) error {
	who, err := p.column(colWho)
	if err != nil {
		return err
	}
	pixels, err := p.column("pixel_id")
	if err != nil {
		return err
	}
	f.codes = who.codes
	s.people.of(pixels.texts, func(state int, of []map[uint64]uint64) { f.numbers = f.census.people(who, state, of) })
	return nil
}

package sqliteanalytics

import "math/bits"

// crowd counts different digests. They are spread evenly, so the first bits of one are
// its place; and since a stored set is in ascending order, adding it goes through the
// memory from one end to the other. What is noted is put in by and by, in about that
// order: a table is much larger than what a processor has at hand.
type crowd struct {
	table []uint64 // of a power of two; 0: free
	zero  bool
	n     int
	noted []uint64
}

// mostNoted is how many digests wait to be put into a crowd.
const mostNoted = 1 << 14

// smallTable is one that a processor has at hand: what is noted goes right into it.
const smallTable = 1 << 15

// note adds one, in time for size.
func (c *crowd) note(v uint64) {
	if len(c.noted) == 0 && len(c.table) < smallTable {
		c.fresh(v)
		return
	}
	if c.noted = append(c.noted, v); len(c.noted) == mostNoted {
		c.settle()
	}
}

// settle puts in what was noted, by its first bits.
func (c *crowd) settle() {
	const bits = 8
	list := c.noted
	if len(list) < 1<<bits {
		c.add(list...)
		c.noted = list[:0]
		return
	}
	var ends [1<<bits + 1]int
	for _, v := range list {
		ends[v>>(64-bits)+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	sorted := make([]uint64, len(list))
	for _, v := range list {
		k := v >> (64 - bits)
		sorted[ends[k]] = v
		ends[k]++
	}
	c.add(sorted...)
	c.noted = list[:0]
}

// add adds digests.
func (c *crowd) add(list ...uint64) {
	if need := 2 * (c.n + len(list)); need > len(c.table) && c.n+len(list) > 0 {
		// It holds fewer than the need is for where many are known already.
		c.grow(need)
	}
	for _, v := range list {
		c.put(v)
	}
}

// join adds all of another.
func (c *crowd) join(other *crowd) {
	n := other.size()
	if need := 2 * (c.n + n); need > len(c.table) && n > 0 {
		c.grow(need)
	}
	c.zero = c.zero || other.zero
	for _, v := range other.table {
		if v != 0 {
			c.put(v)
		}
	}
}

// fresh adds one, and reports whether it was not there.
func (c *crowd) fresh(v uint64) bool {
	if 2*(c.n+1) > len(c.table) {
		c.grow(4 * (c.n + 1))
	}
	return c.put(v)
}

func (c *crowd) put(v uint64) (fresh bool) {
	if v == 0 {
		fresh, c.zero = !c.zero, true
		return fresh
	}
	mask := uint64(len(c.table) - 1)
	for i := v >> (64 - bits.Len64(mask)); ; i = (i + 1) & mask {
		switch c.table[i] {
		case v:
			return false
		case 0:
			c.table[i] = v
			c.n++
			return true
		}
	}
}

// has reports whether one is there, of those that were added.
func (c *crowd) has(v uint64) bool {
	if v == 0 {
		return c.zero
	}
	if len(c.table) == 0 {
		return false
	}
	mask := uint64(len(c.table) - 1)
	for i := v >> (64 - bits.Len64(mask)); ; i = (i + 1) & mask {
		switch c.table[i] {
		case v:
			return true
		case 0:
			return false
		}
	}
}

func (c *crowd) grow(need int) {
	was := c.table
	c.table, c.n = make([]uint64, max(8, 1<<bits.Len(uint(need-1)))), 0
	for _, v := range was {
		if v != 0 {
			c.put(v)
		}
	}
}

func (c *crowd) size() int {
	if len(c.noted) > 0 {
		c.settle()
	}
	if c.zero {
		return c.n + 1
	}
	return c.n
}

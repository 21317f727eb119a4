package sqliteanalytics

import "math/bits"

// crowd counts different digests. They are spread evenly, so the first bits of one are
// its place; and since a stored set is in ascending order, adding it goes through the
// memory from one end to the other.
type crowd struct {
	table []uint64 // of a power of two; 0: free
	zero  bool
	n     int
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

func (c *crowd) put(v uint64) {
	if v == 0 {
		c.zero = true
		return
	}
	mask := uint64(len(c.table) - 1)
	for i := v >> (64 - bits.Len64(mask)); ; i = (i + 1) & mask {
		switch c.table[i] {
		case v:
			return
		case 0:
			c.table[i] = v
			c.n++
			return
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
	if c.zero {
		return c.n + 1
	}
	return c.n
}

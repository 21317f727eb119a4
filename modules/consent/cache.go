package consent

import (
	"strings"
	"sync"
)

// cache remembers what was decoded, by the string itself. It holds two
// generations: when the young one has its fill it becomes the old one, and what
// is asked for again comes back from there. So what is used stays, memory is
// bounded in bytes rather than in strings, which are of very different length,
// and no goroutine is needed.
type cache[T weighty] struct {
	decode     func(string) (T, error)
	mu         sync.RWMutex
	young, old map[string]decoded[T]
	size       int // bytes in young
	limit      int // for each generation
}

type decoded[T any] struct {
	value T
	err   error
}

// weighty knows about how many bytes it holds in memory.
type weighty interface{ weight() int }

func newCache[T weighty](bytes int, decode func(string) (T, error)) *cache[T] {
	return &cache[T]{decode: decode, young: map[string]decoded[T]{}, limit: bytes / 2}
}

// parse decodes, and remembers: errors too, since a broken page sends the same
// nonsense with every event.
func (c *cache[T]) parse(s string) (T, error) {
	if s == "" || len(s) > maxString {
		return c.decode(s) // costs nothing
	}
	c.mu.RLock()
	d, young := c.young[s]
	old := false
	if !young {
		d, old = c.old[s]
	}
	c.mu.RUnlock()
	if young {
		return d.value, d.err
	}
	// The caller's string may be a piece of a whole request.
	s = strings.Clone(s)
	if !old {
		d.value, d.err = c.decode(s)
	}
	c.keep(s, d)
	return d.value, d.err
}

func (c *cache[T]) keep(s string, d decoded[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.young[s]; ok {
		return
	}
	w := 2*len(s) + 576
	if d.err == nil {
		w += d.value.weight()
	}
	if c.size += w; c.size > c.limit {
		c.old, c.young, c.size = c.young, map[string]decoded[T]{}, w
	}
	c.young[s] = d
}

func (t *TCString) weight() int {
	w := 4*(len(t.VendorConsents.ranges)+len(t.VendorLI.ranges)+cap(t.restricted)) + 8*len(t.restrictions)
	if t.Disclosed != nil {
		w += 4 * len(t.Disclosed.ranges)
	}
	return w
}

func (g *GPP) weight() int {
	w := 8*len(g.IDs) + 64*cap(g.US)
	if g.TCF != nil {
		w += 2*len(g.tcf) + 576 + g.TCF.weight()
	}
	return w
}

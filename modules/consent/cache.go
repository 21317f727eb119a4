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
type cache struct {
	mu         sync.RWMutex
	young, old map[string]decoded
	size       int // bytes in young
	limit      int // for each generation
}

type decoded struct {
	tc  *TCString
	err error
}

func newCache(bytes int) *cache {
	return &cache{young: map[string]decoded{}, limit: bytes / 2}
}

// parse is Parse, remembered: errors too, since a broken page sends the same
// nonsense with every event.
func (c *cache) parse(s string) (*TCString, error) {
	if s == "" || len(s) > maxString {
		return Parse(s) // costs nothing
	}
	c.mu.RLock()
	d, young := c.young[s]
	old := false
	if !young {
		d, old = c.old[s]
	}
	c.mu.RUnlock()
	if young {
		return d.tc, d.err
	}
	if !old {
		d.tc, d.err = Parse(s)
	}
	c.keep(s, d)
	return d.tc, d.err
}

func (c *cache) keep(s string, d decoded) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.young[s]; ok {
		return
	}
	w := weight(s, d.tc)
	if c.size += w; c.size > c.limit {
		c.old, c.young, c.size = c.young, map[string]decoded{}, w
	}
	// The caller's string may be a piece of a whole request.
	c.young[strings.Clone(s)] = d
}

// weight is about what an entry holds in memory.
func weight(s string, t *TCString) int {
	w := 2*len(s) + 512
	if t != nil {
		w += 4*(len(t.VendorConsents.ranges)+len(t.VendorLI.ranges)+cap(t.restricted)) + 8*len(t.restrictions)
		if t.Disclosed != nil {
			w += 4 * len(t.Disclosed.ranges)
		}
	}
	return w
}

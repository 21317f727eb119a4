package redisqueue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miq/pixel/modules/queue"
)

const (
	// registry is the set of the tags of all partitions.
	registryKey = "queues"
	// relist is how often the registry is read again.
	relist = 5 * time.Second
	// probe is how often a partition that is down is tried.
	probe = 500 * time.Millisecond
	// slots is how many a cluster has.
	slots = 1 << 14
)

// partition is a part of a queue whose keys share a slot.
type partition struct {
	tag     string
	slot    uint16
	fixed   [8]string // the keys that each script is given
	down    atomic.Bool
	waiting atomic.Bool // somebody waits for its first message
	suspect atomic.Bool // its first message may be poison
}

func newPartition(tag string) *partition {
	p := &partition{tag: tag, slot: crc16(tag) % slots}
	p.fixed[0] = "{" + tag + "}"
	for i, what := range []string{"blocks", "units", "leases", "delayed", "n", "dead", "letters"} {
		p.fixed[i+1] = p.fixed[0] + ":" + what
	}
	return p
}

func (p *partition) ready() string   { return p.fixed[0] }
func (p *partition) blocks() string  { return p.fixed[1] }
func (p *partition) units() string   { return p.fixed[2] }
func (p *partition) leases() string  { return p.fixed[3] }
func (p *partition) delayed() string { return p.fixed[4] }
func (p *partition) dead() string    { return p.fixed[6] }
func (p *partition) letters() string { return p.fixed[7] }

func (p *partition) books(hour int32) string {
	return p.fixed[0] + ":books:" + strconv.Itoa(int(hour))
}

// partitions are a queue's.
type partitions struct {
	name string
	own  []*partition  // that we push to
	all  []*partition  // that exist, by tag
	wake chan struct{} // closed once one may have a message
}

// tags names the n partitions of a queue: the first names whose slots lie in as
// many equal parts of a cluster, so that they spread over its masters.
func tags(name string, n int) []string {
	out := make([]string, n)
	for k, found := 0, 0; found < n; k++ {
		tag := name + ":" + strconv.Itoa(k)
		if i := int(crc16(tag)%slots) * n / slots; out[i] == "" {
			out[i] = tag
			found++
		}
	}
	return out
}

// nameOf is the queue that a partition belongs to.
func nameOf(tag string) string { return tag[:max(0, strings.LastIndexByte(tag, ':'))] }

// crc16 is the one by which a cluster finds a key's slot (XMODEM).
func crc16(s string) uint16 {
	var crc uint16
	for i := range len(s) {
		crc ^= uint16(s[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// partitions returns those of a queue: ours, and what others made that were told
// another number.
func (q *Queue) partitions(ctx context.Context, name string) *partitions {
	q.list(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.named(name)
}

// every are all partitions of a queue.
func (q *Queue) every(ctx context.Context, name string) []*partition {
	ps := q.partitions(ctx, name)
	q.mu.Lock()
	defer q.mu.Unlock()
	return ps.all
}

func (q *Queue) named(name string) *partitions {
	ps := q.names[name]
	if ps == nil {
		ps = &partitions{name: name, wake: make(chan struct{})}
		for _, tag := range tags(name, q.set.Partitions) {
			ps.own = append(ps.own, newPartition(tag))
		}
		ps.all = slices.Clone(ps.own)
		q.names[name] = ps
	}
	return ps
}

// list reads the registry, the first time at once and later now and then in the
// background: what it says changes when the number of partitions does.
func (q *Queue) list(ctx context.Context) {
	q.mu.Lock()
	first, due := q.listed.IsZero(), time.Since(q.listed) > relist && !q.listing
	if due {
		q.listing = true
		q.listed = time.Now()
	}
	q.mu.Unlock()
	switch {
	case due && first:
		_ = q.relist(ctx) // our own partitions need no registry
	case due:
		q.background(func(ctx context.Context) { _ = q.relist(ctx) })
	}
}

func (q *Queue) relist(ctx context.Context) error {
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
	defer cancel()
	found, err := q.redis.SMembers(inner, registryKey).Result()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.listing = false
	if err != nil {
		return q.unavailable(ctx, err)
	}
	for _, tag := range found {
		q.registry[tag] = true
		ps := q.named(nameOf(tag))
		if !slices.ContainsFunc(ps.all, func(p *partition) bool { return p.tag == tag }) {
			// A new slice, since others read the old one.
			ps.all = append(slices.Clone(ps.all), newPartition(tag))
			slices.SortFunc(ps.all, func(a, b *partition) int { return strings.Compare(a.tag, b.tag) })
		}
	}
	return nil
}

// register adds partitions to those that exist. Where the registry's own master
// is away that is done with a later push: replicas that are told the same number
// of partitions find them anyway.
func (q *Queue) register(ctx context.Context, ps ...*partition) {
	q.mu.Lock()
	var missing []any
	for _, p := range ps {
		if !q.registry[p.tag] {
			missing = append(missing, p.tag)
		}
	}
	q.mu.Unlock()
	if len(missing) == 0 {
		return
	}
	inner, cancel := context.WithTimeout(ctx, q.set.Timeout/2)
	defer cancel()
	if q.redis.SAdd(inner, registryKey, missing...).Err() != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, tag := range missing {
		q.registry[tag.(string)] = true
	}
}

// existing lists the queues that exist.
func (q *Queue) existing(ctx context.Context) ([]string, error) {
	if err := q.relist(ctx); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var names []string
	for tag := range q.registry {
		names = append(names, nameOf(tag))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// up are the partitions that answered when last asked; all of them if none did.
func up(ps []*partition) []*partition {
	if !slices.ContainsFunc(ps, func(p *partition) bool { return p.down.Load() }) {
		return ps
	}
	out := make([]*partition, 0, len(ps))
	for _, p := range ps {
		if !p.down.Load() {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return ps
	}
	return out
}

// failed notes that a partition's master is away, so that the others need not
// wait for it, and asks in the background until it is back.
func (q *Queue) failed(ps []*partition, p *partition, err error) {
	if len(ps) < 2 || !errors.Is(err, queue.ErrUnavailable) || p.down.Swap(true) {
		return
	}
	q.background(func(ctx context.Context) {
		tick := time.NewTicker(probe)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			inner, cancel := context.WithTimeout(ctx, q.set.Timeout)
			err := q.redis.HIncrBy(inner, p.fixed[5], "t", 0).Err()
			cancel()
			if err == nil {
				p.down.Store(false)
				return
			}
		}
	})
}

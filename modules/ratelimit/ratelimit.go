// Package ratelimit bounds how much one pixel, or one address, may send: a token
// bucket each, which the replicas share.
//
// To ask costs a request no round trip. Each replica has a bucket of its own for every
// key, and tells the shared one in the background what it took, once that is a
// twentieth of what may come at once; it learns from the answer what is left for all. So
// for a moment replicas may let more through together than the limit says, by as many
// twentieths as there are replicas; that is a debt, which is paid before anything more
// comes in. Over time the limit holds exactly. While the shared store is away, each
// replica holds the limit by itself.
//
// What it knows is bounded: a key that has not been used for a while is forgotten, which
// changes nothing, since its bucket is full by then.
package ratelimit

import (
	"context"
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// Limit is a rate a second, and how much may come at once.
type Limit struct{ Rate, Burst float64 }

// Want is what a replica took of a key's shared bucket.
type Want struct {
	Key  string
	Took float64
}

// Shared are the buckets that all replicas share. Take takes of each bucket what is
// wanted, and returns what is left in it, which may be negative: a debt.
type Shared interface {
	Take(ctx context.Context, l Limit, wants []Want) (left []float64, err error)
}

const (
	shards = 64
	// most is how many keys of a kind are remembered. Beyond, any is forgotten for a
	// new one: who has so many addresses is not stopped by a limit to each.
	most = 1 << 18
	// portion is the part of a burst that is taken before the others are told.
	portion = 20
	every   = 100 * time.Millisecond
	sweep   = 10 * time.Second
	patient = 2 * time.Second
	// atOnce is how many keys one round trip tells of.
	atOnce = 1024
)

// Limiter holds one limit for many keys. A nil one lets everything through.
type Limiter[K comparable] struct {
	limit  Limit
	shared Shared         // nil: there are no other replicas
	name   func(K) string // of a key's shared bucket
	failed func(error)    // told of a round trip that failed; nil: nobody
	now    func() time.Time
	start  time.Time
	seed   maphash.Seed
	shards [shards]shard[K]

	stop context.CancelFunc
	done sync.WaitGroup
}

type shard[K comparable] struct {
	mu  sync.Mutex
	m   map[K]*bucket
	due []K // whose use is to be told
	_   [24]byte
}

type bucket struct {
	tokens float64
	at     time.Duration // since the limiter's start, when tokens were right
	used   float64       // and not told yet
	due    bool
}

// New returns a limiter for keys whose shared buckets are named by name.
func New[K comparable](l Limit, shared Shared, name func(K) string, failed func(error)) *Limiter[K] {
	r := &Limiter[K]{limit: l, shared: shared, name: name, failed: failed, now: time.Now, start: time.Now(), seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].m = map[K]*bucket{}
	}
	return r
}

// Take takes n for a key, if so many are there. If not it says in how long they will be,
// as far as this replica knows. What is more than a whole burst counts as one.
func (r *Limiter[K]) Take(key K, n int) (ok bool, wait time.Duration) {
	if r == nil {
		return true, 0
	}
	cost := min(float64(n), r.limit.Burst)
	at := r.now().Sub(r.start)
	s := &r.shards[maphash.Comparable(r.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.m[key]
	if b == nil {
		if len(s.m) >= most/shards {
			for k := range s.m {
				delete(s.m, k)
				break
			}
		}
		b = &bucket{tokens: r.limit.Burst, at: at}
		s.m[key] = b
	}
	r.fill(b, at)
	if b.tokens < cost {
		return false, time.Duration((cost - b.tokens) / r.limit.Rate * float64(time.Second))
	}
	b.tokens -= cost
	if r.shared == nil {
		return true, 0
	}
	if b.used += cost; !b.due && b.used >= r.limit.Burst/portion {
		b.due, s.due = true, append(s.due, key)
	}
	return true, 0
}

// Has reports whether n are there for a key, without taking them, or in how long they will be.
func (r *Limiter[K]) Has(key K, n int) (ok bool, wait time.Duration) {
	if r == nil {
		return true, 0
	}
	cost := min(float64(n), r.limit.Burst)
	s := &r.shards[maphash.Comparable(r.seed, key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.m[key]
	if b == nil {
		return true, 0
	}
	r.fill(b, r.now().Sub(r.start))
	if b.tokens >= cost {
		return true, 0
	}
	return false, time.Duration((cost - b.tokens) / r.limit.Rate * float64(time.Second))
}

// fill adds what came since.
func (r *Limiter[K]) fill(b *bucket, at time.Duration) {
	if at > b.at {
		b.tokens = min(r.limit.Burst, b.tokens+(at-b.at).Seconds()*r.limit.Rate)
		b.at = at
	}
}

// Start begins to tell the others, and to forget.
func (r *Limiter[K]) Start() {
	if r == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.done.Go(func() {
		tick, swept := time.NewTicker(every), r.now()
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			r.Tell(ctx)
			if now := r.now(); now.Sub(swept) >= sweep {
				swept = now
				r.forget()
			}
		}
	})
}

// Stop ends that. What was not told is not missed: it is little.
func (r *Limiter[K]) Stop() {
	if r == nil || r.stop == nil {
		return
	}
	r.stop()
	r.done.Wait()
}

// Tell takes of the shared buckets what was used here, and learns what is left.
func (r *Limiter[K]) Tell(ctx context.Context) {
	if r.shared == nil {
		return
	}
	var keys []K
	var wants []Want
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, k := range s.due {
			if b := s.m[k]; b != nil {
				keys, wants = append(keys, k), append(wants, Want{r.name(k), b.used})
				b.used, b.due = 0, false
			}
		}
		s.due = s.due[:0]
		s.mu.Unlock()
	}
	for from := 0; from < len(keys); from += atOnce {
		to := min(from+atOnce, len(keys))
		r.tell(ctx, keys[from:to], wants[from:to])
	}
}

func (r *Limiter[K]) tell(ctx context.Context, keys []K, wants []Want) {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	left, err := r.shared.Take(ctx, r.limit, wants)
	if err != nil {
		// Whether it was taken nobody knows. Here it was, so the limit holds here.
		if r.failed != nil && ctx.Err() != context.Canceled {
			r.failed(err)
		}
		return
	}
	at := r.now().Sub(r.start)
	for i, k := range keys {
		s := &r.shards[maphash.Comparable(r.seed, k)%shards]
		s.mu.Lock()
		if b := s.m[k]; b != nil {
			r.fill(b, at)
			// What was taken here meanwhile, the answer does not know of.
			b.tokens = min(b.tokens, left[i]-b.used)
		}
		s.mu.Unlock()
	}
}

// forget forgets keys whose bucket is full again.
func (r *Limiter[K]) forget() {
	at := r.now().Sub(r.start)
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for k, b := range s.m {
			if r.fill(b, at); b.tokens >= r.limit.Burst && !b.due {
				delete(s.m, k)
			}
		}
		s.mu.Unlock()
	}
}

// Keys is how many are remembered.
func (r *Limiter[K]) Keys() int {
	n := 0
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.m)
		s.mu.Unlock()
	}
	return n
}

// limit of so many a second, of which what comes in burst may come at once.
func limitOf(perSecond float64, burst time.Duration) Limit {
	return Limit{perSecond, math.Max(1, perSecond*burst.Seconds())}
}

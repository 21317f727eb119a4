package dispatcher

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/time/rate"

	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/state"
)

// pace is how many requests a second one account may make: what the partner states,
// and what was learned from its answers. A 429 halves the rate of all replicas
// together, and it grows again by the clock alone, so that what they must agree
// upon is one small record; each takes its share of it.
type pace struct {
	mu       sync.Mutex
	learned  learned
	unsaved  bool // learned something that the other replicas do not know yet
	replicas int

	limiter *rate.Limiter // of requests, by learned and stated
	stated  float64       // requests a second; 0: nothing stated
	bytes   *rate.Limiter // nil: nothing stated
	day     *rate.Limiter // nil: nothing stated

	// How many requests were made in this second and the one before.
	second          int64
	current, before int
}

// learned is what the replicas share.
type learned struct {
	Rate float64   `json:"r,omitzero"` // of all together at At; 0: nothing learned
	At   time.Time `json:"a,omitzero"` // of the last 429
	// Until is when the partner wants to be asked again.
	Until time.Time `json:"u,omitzero"`
}

const (
	slowest = 1.0              // request a second, however often it says no; more peace it has to ask for
	double  = 20 * time.Second // the time in which the rate grows by what it was
	forget  = 10 * time.Minute // without a 429, and nothing is held back
	episode = time.Second      // 429s that come together count once

	// unbounded stands for no limit; the library's own infinity cannot be left again.
	unbounded = 1_000_000
)

func newPace(l partner.Limits) *pace {
	p := &pace{replicas: 1, limiter: rate.NewLimiter(unbounded, unbounded), stated: l.PerSecond}
	if l.BytesPerSecond > 0 {
		p.bytes = rate.NewLimiter(rate.Limit(l.BytesPerSecond), l.BytesPerSecond)
	}
	if l.PerDay > 0 {
		// An hour's worth may go at once, the rest is spread over the day.
		p.day = rate.NewLimiter(rate.Limit(float64(l.PerDay)/86400), max(l.PerDay/24, 1))
	}
	return p
}

// total is the rate of all replicas now, +Inf where nothing bounds it.
func (p *pace) total(now time.Time) float64 {
	r := math.Inf(1)
	if p.stated > 0 {
		r = p.stated
	}
	if p.learned.Rate > 0 && now.Sub(p.learned.At) < forget {
		grown := p.learned.Rate * (1 + float64(max(now.Sub(p.learned.At), 0))/float64(double))
		r = min(r, grown)
	}
	return r
}

// adjust brings the limiters to what is right now.
func (p *pace) adjust(now time.Time) {
	share := float64(max(p.replicas, 1))
	r := min(p.total(now)/share, unbounded)
	if limit := rate.Limit(r); p.limiter.Limit() != limit {
		p.limiter.SetLimitAt(now, limit)
	}
	burst := unbounded
	if r < unbounded {
		burst = max(int(r/4), 1)
	}
	if p.limiter.Burst() != burst {
		p.limiter.SetBurstAt(now, burst)
	}
}

// wait is how long a request would have to wait now; 0: it may go.
func (p *pace) wait(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting(now)
}

func (p *pace) waiting(now time.Time) time.Duration {
	p.adjust(now)
	longest := max(p.learned.Until.Sub(now), 0)
	for _, l := range []*rate.Limiter{p.limiter, p.bytes, p.day} {
		if l == nil {
			continue
		}
		if missing := 1 - l.TokensAt(now); missing > 0 {
			longest = max(longest, time.Duration(missing/float64(l.Limit())*float64(time.Second)))
		}
	}
	return longest
}

// take lets a request go, and answers 0, or how long it must wait.
func (p *pace) take(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.waiting(now); w > 0 {
		return max(w, time.Millisecond)
	}
	p.spend(now)
	return 0
}

// also counts a request that follows from one that was let go, such as a half.
func (p *pace) also(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spend(now)
}

func (p *pace) spend(now time.Time) {
	p.limiter.ReserveN(now, 1)
	if p.day != nil {
		p.day.ReserveN(now, 1)
	}
	if s := now.Unix(); s != p.second {
		if p.before = 0; s == p.second+1 {
			p.before = p.current
		}
		p.second, p.current = s, 0
	}
	p.current++
}

// sent counts a body's bytes against those that may be sent in a second.
func (p *pace) sent(now time.Time, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.bytes != nil && n > 0 { // a reservation is bounded by the burst
		part := min(n, p.bytes.Burst())
		p.bytes.ReserveN(now, part)
		n -= part
	}
}

// refused learns from a 429: half of what was asked for, and quiet for as long as
// the partner says.
func (p *pace) refused(now time.Time, after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := now.Add(min(after, time.Hour)); at.After(p.learned.Until) {
		p.learned.Until, p.unsaved = at, true
	}
	if now.Sub(p.learned.At) < episode {
		return
	}
	// What was really asked for may be far below a bound that does not bind.
	asked := float64(max(p.current, p.before, 1) * max(p.replicas, 1))
	p.learned.Rate = max(min(p.total(now), asked)/2, slowest)
	p.learned.At, p.unsaved = now, true
}

// share agrees with the other replicas: what was learned last counts for all.
func (p *pace) share(ctx context.Context, keys state.Keys, key string, replicas int) error {
	p.mu.Lock()
	mine, unsaved := p.learned, p.unsaved
	p.replicas, p.unsaved = max(replicas, 1), false
	p.mu.Unlock()
	values, err := keys.Get(ctx, key)
	var theirs learned
	if err == nil && values[0] != nil && json.Unmarshal(values[0], &theirs) != nil {
		theirs = learned{}
	}
	if err == nil && unsaved {
		all := mine
		if theirs.At.After(all.At) {
			all.Rate, all.At = theirs.Rate, theirs.At
		}
		if theirs.Until.After(all.Until) {
			all.Until = theirs.Until
		}
		var body []byte
		if body, err = json.Marshal(all); err == nil {
			err = keys.Set(ctx, state.Entry{Key: key, Value: body, TTL: forget + time.Hour})
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.unsaved = p.unsaved || unsaved
		return err
	}
	if theirs.At.After(p.learned.At) {
		p.learned.Rate, p.learned.At = theirs.Rate, theirs.At
	}
	if theirs.Until.After(p.learned.Until) {
		p.learned.Until = theirs.Until
	}
	return nil
}

// now is the rate of all replicas and until when they are quiet, for people.
func (p *pace) now(now time.Time) (perSecond float64, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.total(now); !math.IsInf(r, 1) {
		perSecond = r
	}
	return perSecond, p.learned.Until
}

package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/miq/pixel/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a clock, and the buckets of all replicas by it.
type world struct {
	mu   sync.Mutex
	at   time.Time
	left map[string]float64
	last map[string]time.Time
	asks int
	err  error
}

func newWorld() *world {
	return &world{at: time.Unix(1e9, 0), left: map[string]float64{}, last: map[string]time.Time{}}
}

func (w *world) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.at }

func (w *world) pass(d time.Duration) { w.mu.Lock(); w.at = w.at.Add(d); w.mu.Unlock() }

func (w *world) Take(_ context.Context, l Limit, wants []Want) ([]float64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asks++
	if w.err != nil {
		return nil, w.err
	}
	out := make([]float64, len(wants))
	for i, x := range wants {
		n, known := w.left[x.Key]
		if !known {
			n, w.last[x.Key] = l.Burst, w.at
		}
		n = min(l.Burst, n+w.at.Sub(w.last[x.Key]).Seconds()*l.Rate) - x.Took
		w.left[x.Key], w.last[x.Key], out[i] = n, w.at, n
	}
	return out, nil
}

func (w *world) replica(l Limit) *Limiter[string] {
	r := New(l, Shared(w), func(k string) string { return k }, nil)
	r.now, r.start = w.now, w.now()
	return r
}

func TestABurstMayComeAtOnceAndThenTheRate(t *testing.T) {
	w := newWorld()
	r := New(Limit{10, 50}, nil, func(k string) string { return k }, nil)
	r.now, r.start = w.now, w.now()
	count := func(n int) (ok int) {
		for range n {
			if yes, _ := r.Take("a", 1); yes {
				ok++
			}
		}
		return ok
	}
	if got := count(100); got != 50 {
		t.Errorf("at once %d came in, want the burst of 50", got)
	}
	if ok, wait := r.Take("a", 5); ok || wait != 500*time.Millisecond {
		t.Errorf("five more: %v after %s, want half a second", ok, wait)
	}
	if ok, _ := r.Take("another", 50); !ok {
		t.Error("one key's use is counted against another's")
	}
	w.pass(2 * time.Second)
	if got := count(100); got != 20 {
		t.Errorf("after two seconds %d came in, want 20", got)
	}
	w.pass(time.Hour)
	if got := count(100); got != 50 {
		t.Errorf("after an hour %d came in, want no more than a burst", got)
	}
	w.pass(time.Hour)
	if ok, _ := r.Take("a", 500); !ok {
		t.Error("what is larger than a burst never comes in")
	}
	if ok, _ := r.Take("a", 1); ok {
		t.Error("it costs less than the whole burst")
	}
}

func TestReplicasHoldALimitTogether(t *testing.T) {
	w := newWorld()
	l := Limit{100, 1000}
	replicas := []*Limiter[string]{w.replica(l), w.replica(l), w.replica(l)}
	const seconds = 60
	came := 0
	for range seconds * 10 {
		for _, r := range replicas {
			for range 100 { // thirty times the limit
				if ok, _ := r.Take("px", 1); ok {
					came++
				}
			}
			r.Tell(t.Context())
		}
		w.pass(every)
	}
	want := int(l.Burst) + seconds*int(l.Rate)
	if came > want+3*int(l.Burst)/portion || came < want*9/10 {
		t.Errorf("%d came in within %d s, want about %d", came, seconds, want)
	}
	if w.asks > 3*seconds*10 {
		t.Errorf("%d round trips for %d requests", w.asks, 3*seconds*10*100)
	}
}

func TestWhileTheSharedStoreIsAwayEachReplicaHoldsTheLimit(t *testing.T) {
	w := newWorld()
	w.err = errors.New("away")
	failures := 0
	r := New(Limit{10, 100}, Shared(w), func(k string) string { return k }, func(error) { failures++ })
	r.now, r.start = w.now, w.now()
	came := 0
	for range 100 {
		for range 10 {
			if ok, _ := r.Take("px", 1); ok {
				came++
			}
		}
		r.Tell(t.Context())
		w.pass(every)
	}
	if came < 190 || came > 201 || failures == 0 {
		t.Errorf("%d came in within ten seconds, want 200; %d failures were told", came, failures)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	w := newWorld()
	r := New(Limit{10, 100}, nil, func(k string) string { return k }, nil)
	r.now, r.start = w.now, w.now()
	for i := range 2 * most {
		if ok, _ := r.Take(fmt.Sprint(i), 1); !ok {
			t.Fatal("a first request was refused")
		}
	}
	if n := r.Keys(); n > most {
		t.Errorf("%d keys are remembered", n)
	}
	w.pass(time.Second)
	r.forget()
	if n := r.Keys(); n != 0 {
		t.Errorf("%d keys with a full bucket are remembered", n)
	}
}

func TestAddressesAreLimitedAsNetworksAndNeverNamed(t *testing.T) {
	w := newWorld()
	reg := prometheus.NewRegistry()
	d, err := NewDoors(Options{Config: config.RateLimit{Address: 1, Burst: 20 * time.Second, Free: []string{"10.0.0.0/8"}}, Shared: w, Salt: []byte("salt"), Log: slog.New(slog.DiscardHandler), Metrics: reg})
	if err != nil {
		t.Fatal(err)
	}
	spend := func(ip string) (ok int) {
		for range 100 {
			if yes, _ := d.Address(ip); yes {
				ok++
			}
		}
		return ok
	}
	for _, c := range []struct {
		ip   string
		want int
	}{{"192.0.2.1", 20}, {"192.0.2.2", 20}, {"::ffff:192.0.2.1", 0}, {"2001:db8:1:2::1", 20}, {"2001:db8:1:2:ffff::2", 0}, {"2001:db8:1:3::1", 20}, {"10.1.2.3", 100}, {"", 100}} {
		if got := spend(c.ip); got < c.want || got > c.want+2 { // it is a real clock
			t.Errorf("%q: %d came in, want %d", c.ip, got, c.want)
		}
	}
	d.addresses.Tell(t.Context())
	for key := range w.left {
		if strings.Contains(key, "192.0.2") || strings.Contains(key, "2001") || strings.Contains(key, "c00002") {
			t.Errorf("the shared store is told of %s", key)
		}
	}
	if len(w.left) != 4 {
		t.Errorf("%d buckets are shared", len(w.left))
	}
	var none *Doors
	if ok, _ := none.Pixel("px", 1); !ok {
		t.Error("no limits, and still refused")
	}
}

func BenchmarkTake(b *testing.B) {
	r := New(Limit{1e9, 1e9}, nil, func(k string) string { return k }, nil)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			r.Take("px_shop", 1)
		}
	})
}

func BenchmarkAddress(b *testing.B) {
	d, err := NewDoors(Options{Config: config.RateLimit{Address: 1e9, Burst: time.Second}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		d.Address("192.0.2.1")
	}
}

func TestWhoOffendedWaitsWithCostlyBodies(t *testing.T) {
	w := newWorld()
	d, err := NewDoors(Options{Config: config.RateLimit{Free: []string{"10.0.0.0/8"}}})
	if err != nil {
		t.Fatal(err)
	}
	d.offences.now, d.offences.start = w.now, w.now()
	costly := func(ip string) bool { ok, _ := d.Costly(ip); return ok }
	for i := range 3 {
		if !costly("203.0.113.9") {
			t.Fatalf("after %d offences", i)
		}
		d.Offended("203.0.113.9")
		d.Offended("10.1.2.3")
		d.Offended("2001:db8::1")
		d.Offended("nonsense")
	}
	if ok, wait := d.Costly("203.0.113.9"); ok || wait <= 0 || wait > 20*time.Second {
		t.Errorf("after three: %v, to wait %s", ok, wait)
	}
	if costly("2001:db8::2") {
		t.Error("another address of the same visitor's network")
	}
	for _, ip := range []string{"203.0.113.10", "10.1.2.3", "2001:db8:0:1::1", "nonsense", ""} {
		if !costly(ip) {
			t.Errorf("%s did nothing, or may", ip)
		}
	}
	if ok, _ := d.Address("203.0.113.9"); !ok {
		t.Error("what is not costly waits too")
	}
	w.pass(20 * time.Second)
	if !costly("203.0.113.9") {
		t.Error("not even later")
	}
	d.Offended("203.0.113.9")
	if costly("203.0.113.9") {
		t.Error("and at it again")
	}
	var none *Doors
	none.Offended("203.0.113.9")
	if ok, _ := none.Costly("203.0.113.9"); !ok {
		t.Error("without doors")
	}
}

package redislimit_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miq/pixel/modules/ratelimit"
	"github.com/miq/pixel/modules/ratelimit/redislimit"
	"github.com/miq/pixel/modules/redistest"
)

func TestABucketFillsByTheClockOfRedisAndDebtsAreBounded(t *testing.T) {
	server := redistest.Start(t)
	b := redislimit.New(server.Client(t))
	take := func(l ratelimit.Limit, key string, n float64) float64 {
		t.Helper()
		left, err := b.Take(t.Context(), l, []ratelimit.Want{{Key: key, Took: n}})
		if err != nil {
			t.Fatal(err)
		}
		return left[0]
	}
	slow := ratelimit.Limit{Rate: 0.001, Burst: 100}
	for _, c := range []struct{ took, want float64 }{{30, 70}, {60, 10}, {40, -30}, {500, -100}} {
		if got := take(slow, "slow", c.took); got < c.want || got > c.want+1 {
			t.Errorf("%v taken: %v are left, want %v", c.took, got, c.want)
		}
	}
	if got := take(slow, "other", 1); got != 99 {
		t.Errorf("another bucket has %v", got)
	}
	quick := ratelimit.Limit{Rate: 1e6, Burst: 100}
	take(quick, "quick", 100)
	for deadline := time.Now().Add(time.Minute); take(quick, "quick", 0) < 100; {
		if time.Now().After(deadline) {
			t.Fatal("it never fills")
		}
	}
	ttl, err := server.Client(t).PTTL(t.Context(), "slow").Result()
	if err != nil || ttl <= 0 {
		t.Errorf("a bucket stays for ever: %v %v", ttl, err)
	}
	// A server that was restarted knows no scripts.
	if err := server.Client(t).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	take(slow, "other", 1)
}

func TestThreeReplicasHoldOneLimitOnARealRedis(t *testing.T) {
	server := redistest.Start(t)
	l := ratelimit.Limit{Rate: 200, Burst: 400}
	var came atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range 3 {
		r := ratelimit.New(l, ratelimit.Shared(redislimit.New(server.Client(t))), func(k string) string { return k }, func(err error) { t.Error(err) })
		r.Start()
		all.Go(func() {
			defer r.Stop()
			for tick := time.NewTicker(time.Millisecond); time.Since(start) < 4*time.Second; <-tick.C {
				if ok, _ := r.Take("px", 1); ok {
					came.Add(1)
				}
			}
		})
	}
	all.Wait()
	want := l.Burst + time.Since(start).Seconds()*l.Rate
	// Each by itself would let that much in.
	if got := float64(came.Load()); got > 1.5*want {
		t.Errorf("%v came in, want about %.0f", got, want)
	} else {
		t.Logf("%v came in, want about %.0f", got, want)
	}
}

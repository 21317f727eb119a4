package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/redisqueue"
	"github.com/miq/pixel/modules/redistest"
)

// traffic pushes and consumes at once, whatever happens, and keeps the ids of
// what was acknowledged and of what came out.
type traffic struct {
	t    *testing.T
	q    *redisqueue.Queue
	stop chan struct{}
	done sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]bool
	settled      map[string]int
	failed       int           // pushes
	longest      time.Duration // that a push took
}

const trafficQueue = "ingest:high"

func startTraffic(t *testing.T, q *redisqueue.Queue) *traffic {
	f := &traffic{t: t, q: q, stop: make(chan struct{}), acknowledged: map[string]bool{}, settled: map[string]int{}}
	g := queue.NewGroup(q, 64)
	for p := range 8 {
		f.done.Go(func() {
			for i := 0; !f.ended(); i++ {
				id := fmt.Sprintf("%d-%d", p, i)
				start := time.Now()
				err := g.Push(context.Background(), queue.Item{Queue: trafficQueue, Body: []byte(id)})
				f.pushed(id, time.Since(start), err)
				if err != nil {
					f.pause()
				}
			}
		})
	}
	for range 2 {
		f.done.Go(func() {
			for !f.ended() {
				if !f.consume() {
					f.pause()
				}
			}
		})
	}
	return f
}

func (f *traffic) ended() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

func (f *traffic) pause() {
	select {
	case <-f.stop:
	case <-time.After(20 * time.Millisecond):
	}
}

func (f *traffic) pushed(id string, took time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.longest = max(f.longest, took); err != nil {
		f.failed++
		if !errors.Is(err, queue.ErrUnavailable) {
			f.t.Errorf("a push failed otherwise than as unavailable: %v", err)
		}
		return
	}
	f.acknowledged[id] = true
}

// consume takes and ends some messages; false: it could not.
func (f *traffic) consume() bool {
	msgs, err := f.q.Pull(context.Background(), trafficQueue, 100)
	if err != nil {
		return false
	}
	ids := make([]string, len(msgs))
	f.mu.Lock()
	for i, m := range msgs {
		ids[i] = m.ID
		f.settled[string(m.Body)]++
	}
	f.mu.Unlock()
	return f.q.Ack(context.Background(), trafficQueue, ids...) == nil
}

// progress waits until n more pushes were acknowledged.
func (f *traffic) progress(n int) {
	f.t.Helper()
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.acknowledged)
	}
	goal := count() + n
	for giveUp := time.Now().Add(60 * time.Second); count() < goal; {
		if time.Now().After(giveUp) {
			f.t.Fatalf("after a minute only %d of %d pushes were acknowledged", count(), goal)
		}
		f.pause()
	}
}

// end stops the traffic, consumes what is left, and compares the sets.
func (f *traffic) end() {
	f.t.Helper()
	close(f.stop)
	f.done.Wait()
	f.stop = make(chan struct{})
	for giveUp := time.Now().Add(60 * time.Second); ; {
		f.consume()
		stats, err := f.q.Stats(context.Background())
		left := 0
		for _, s := range stats {
			left += s.Ready + s.InFlight + s.Delayed
		}
		if err == nil && left == 0 {
			break
		}
		if time.Now().After(giveUp) {
			f.t.Fatalf("after a minute %+v are left, %v", stats, err)
		}
	}
	var lost []string
	twice := 0
	for id := range f.acknowledged {
		switch n := f.settled[id]; {
		case n == 0:
			lost = append(lost, id)
		case n > 1:
			twice++
		}
	}
	if len(lost) > 0 {
		f.t.Errorf("of %d acknowledged, %d are lost: %s", len(f.acknowledged), len(lost), strings.Join(lost[:min(20, len(lost))], " "))
	}
	f.t.Logf("%d acknowledged, %d came out, %d of them again; %d pushes failed, the longest took %s",
		len(f.acknowledged), len(f.settled), twice, f.failed, f.longest.Round(time.Millisecond))
}

var hasty = queue.Options{Lease: 2 * time.Second, MaxDeliveries: 100, Wait: 50 * time.Millisecond}

func TestADeadMasterStopsNobodyElseAndItsMessagesComeBackWithIt(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0, "--appendfsync", "always")
	q := open(t, connect(t, onCluster(cluster)), hasty, redisqueue.Settings{Partitions: 6})
	f := startTraffic(t, q)
	f.progress(500)
	cluster.Masters[1].Kill()
	f.progress(3000) // though a third of the partitions is away
	cluster.Masters[1].Restart(t)
	cluster.Await(t)
	f.progress(500)
	f.end()
}

func TestAFailoverOfAClustersMasterLosesNothingThatReplicasHave(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 1)
	q := open(t, connect(t, onCluster(cluster)), hasty, redisqueue.Settings{Partitions: 6, Replicas: 1})
	f := startTraffic(t, q)
	f.progress(500)
	cluster.Masters[0].Kill() // and it does not come back
	f.progress(1000)
	cluster.Await(t)
	// What was pushed to the new master has no replica, so it is not acknowledged;
	// the others' is.
	f.progress(500)
	f.end()
}

func TestASentinelFailoverLosesNothingThatReplicasHave(t *testing.T) {
	w := redistest.StartSentinel(t, 2)
	client := connect(t, config.Redis{URL: "redis://" + strings.Join(w.Sentinels, ","), Mode: "sentinel", Sentinel: config.RedisSentinel{Master: redistest.MasterName}})
	q := open(t, client, hasty, redisqueue.Settings{Replicas: 1})
	f := startTraffic(t, q)
	f.progress(500)
	w.Master.Kill()
	f.progress(500)
	f.end()
	if f.failed == 0 {
		t.Error("no push failed, so nothing was tried")
	}
}

// Who is told to wait must not be told that his message is wrong.
func TestARedisThatTakesNothingFromUsIsAway(t *testing.T) {
	server := redistest.StartTCP(t)
	admin := server.Client(t)
	do := func(words ...any) {
		t.Helper()
		if err := admin.Do(t.Context(), words...).Err(); err != nil {
			t.Fatalf("%v: %v", words, err)
		}
	}
	do("ACL", "SETUSER", "pixel", "on", ">secret", "~*", "+@all")
	q := open(t, connect(t, config.Redis{URL: "redis://pixel:secret@" + server.Addr}), hasty, redisqueue.Settings{})
	push := func() error { return q.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte("x")}) }
	if err := push(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why         string
		leave, back func()
	}{
		{
			"it may do nothing any more",
			func() { do("ACL", "SETUSER", "pixel", "-@all", "+hello", "+client", "+ping") },
			func() { do("ACL", "SETUSER", "pixel", "+@all") },
		},
		{
			"its password was changed",
			func() { do("ACL", "SETUSER", "pixel", "resetpass", ">other"); do("CLIENT", "KILL", "USER", "pixel") },
			func() { do("ACL", "SETUSER", "pixel", "resetpass", ">secret") },
		},
		{
			"a script holds the server",
			func() {
				do("CONFIG", "SET", "busy-reply-threshold", "20")
				go admin.Eval(context.Background(), "while true do end", nil) //nolint:errcheck // it is killed
				for end := time.Now().Add(5 * time.Second); ; {
					if err := admin.Ping(t.Context()).Err(); err != nil && strings.HasPrefix(err.Error(), "BUSY ") {
						return
					}
					if time.Now().After(end) {
						t.Fatal("no script holds the server")
					}
				}
			},
			func() { do("SCRIPT", "KILL") },
		},
	} {
		c.leave()
		if err := push(); !errors.Is(err, queue.ErrUnavailable) {
			t.Errorf("%s: %v", c.why, err)
		}
		c.back()
		err := push()
		for end := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(end); err = push() {
			time.Sleep(20 * time.Millisecond) // a script is killed in a moment
		}
		if err != nil {
			t.Errorf("%s, and then not: %v", c.why, err)
		}
	}
}

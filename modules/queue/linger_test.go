package queue_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miq/pixel/modules/queue"
)

// quick takes a tenth of a millisecond a commit, and counts.
type quick struct {
	mu      sync.Mutex
	commits []int
}

func (q *quick) Push(_ context.Context, items ...queue.Item) error {
	time.Sleep(100 * time.Microsecond)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.commits = append(q.commits, len(items))
	return nil
}

func TestALonePusherWaitsForNobodyAndManyWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quick{}
		g := queue.NewGroup(q, 1000)
		for range 20 {
			start := time.Now()
			if err := g.Push(t.Context(), item("x")); err != nil || time.Since(start) != 100*time.Microsecond {
				t.Fatalf("alone it took %s: %v", time.Since(start), err)
			}
		}
		// Pushers that come at once, and come back at different times after each answer,
		// as clients do. If they came one by one, the scheduler would decide how many
		// were ever together, and so the figures.
		const pushers, rounds = 64, 50
		busy := func(g *queue.Group) (commits int, worst time.Duration) {
			var all sync.WaitGroup
			q.commits = nil
			for i := range pushers {
				all.Go(func() {
					for range rounds {
						start := time.Now()
						if err := g.Push(t.Context(), item("x")); err != nil {
							t.Error(err)
						}
						q.mu.Lock()
						worst = max(worst, time.Since(start))
						q.mu.Unlock()
						time.Sleep(time.Duration(i) * 10 * time.Microsecond)
					}
				})
			}
			all.Wait()
			return len(q.commits), worst
		}
		commits, worst := busy(g)
		if most := g.MaxLinger + 200*time.Microsecond; worst > most {
			t.Errorf("somebody waited for %s, more than %s", worst, most)
		}
		hasty := queue.NewGroup(q, 1000)
		hasty.MaxLinger = 0
		without, _ := busy(hasty)
		t.Logf("64 pushers share %d commits, without lingering %d", commits, without)
		if commits*2 > without {
			t.Errorf("%d commits, without lingering %d", commits, without)
		}
		// When they have been gone for a moment, the next one is alone again.
		time.Sleep(20 * time.Millisecond)
		start := time.Now()
		if g.Push(t.Context(), item("x")); time.Since(start) != 100*time.Microsecond {
			t.Errorf("alone again it took %s", time.Since(start))
		}
	})
}

func TestPushersThatComeByThemselvesShareCommitsOnceThereAreMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ perSecond, least, most int }{
			// How many commits a thousand pushes may be.
			{100, 980, 1000},
			{1_000, 850, 1000},
			{10_000, 50, 180},
			{50_000, 5, 60},
		} {
			q := &quick{}
			g := queue.NewGroup(q, 1000)
			random := rand.New(rand.NewPCG(1, 2))
			var all sync.WaitGroup
			const pushes = 4000
			worst := make([]time.Duration, pushes)
			for i := range pushes {
				time.Sleep(time.Duration(random.ExpFloat64() * float64(time.Second) / float64(c.perSecond)))
				all.Go(func() {
					start := time.Now()
					if err := g.Push(t.Context(), item("x")); err != nil {
						t.Error(err)
					}
					worst[i] = time.Since(start)
				})
			}
			all.Wait()
			if err := g.Close(t.Context()); err != nil {
				t.Error(err)
			}
			n := len(q.commits) * 1000 / pushes
			t.Logf("at %d a second a thousand pushes are %d commits, and one takes %s at most", c.perSecond, n, slices.Max(worst))
			if n < c.least || n > c.most {
				t.Errorf("at %d a second a thousand pushes were %d commits, not %d to %d", c.perSecond, n, c.least, c.most)
			}
			if limit := g.MaxLinger + 200*time.Microsecond; slices.Max(worst) > limit {
				t.Errorf("at %d a second somebody waited for %s, more than %s", c.perSecond, slices.Max(worst), limit)
			}
		}
	})
}

// steady takes as long as it says for a commit.
type steady struct {
	took time.Duration

	mu        sync.Mutex
	now, most int // commits under way
}

func (s *steady) Push(context.Context, ...queue.Item) error {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(s.took)
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	return nil
}

// TestTheSlowerTheStoreTheLessAnybodyLingers since whoever comes while a commit is under way
// gathers with others already, and where commits take longer than that, the next does not wait
// for the end of the one before.
func TestTheSlowerTheStoreTheLessAnybodyLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			took  time.Duration
			every time.Duration // a push
			most  int           // commits at once
		}{
			{200 * time.Microsecond, 100 * time.Microsecond, 1},
			{500 * time.Microsecond, 100 * time.Microsecond, 1},
			{3 * time.Millisecond, 100 * time.Microsecond, 2},
			{3 * time.Millisecond, time.Millisecond, 1}, // too few to be worth it
			{8 * time.Millisecond, 100 * time.Microsecond, 2},
		} {
			s := &steady{took: c.took}
			g := queue.NewGroup(s, 1000)
			var all sync.WaitGroup
			waited := make([]time.Duration, 2000)
			for i := range waited {
				time.Sleep(c.every)
				all.Go(func() {
					start := time.Now()
					if err := g.Push(t.Context(), item("x")); err != nil {
						t.Error(err)
					}
					waited[i] = time.Since(start)
				})
			}
			all.Wait()
			if err := g.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if most := max(g.MaxLinger, c.took) + c.took; slices.Max(waited) > most {
				t.Errorf("with a store that takes %s somebody waited for %s, more than %s", c.took, slices.Max(waited), most)
			}
			if s.most != c.most {
				t.Errorf("with a store that takes %s and a push each %s, %d commits were under way at once, not %d", c.took, c.every, s.most, c.most)
			}
		}
	})
}

// stalling takes three milliseconds for a commit until it stalls; then each waits to be let go.
type stalling struct {
	mu      sync.Mutex
	stalled bool
	held    int
	let     chan struct{}
}

func (s *stalling) Push(context.Context, ...queue.Item) error {
	s.mu.Lock()
	stalled := s.stalled
	if stalled {
		s.held++
	}
	s.mu.Unlock()
	if stalled {
		<-s.let
	} else {
		time.Sleep(3 * time.Millisecond)
	}
	return nil
}

func TestTwoCommitsThatDoNotEndAreGivenUpAndNobodyWaitsUntilBothHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalling{let: make(chan struct{})}
		g := queue.NewGroup(s, 1000)
		g.Timeout = time.Second
		var all sync.WaitGroup
		for i := range 3000 {
			if i == 1000 {
				s.mu.Lock()
				s.stalled = true
				s.mu.Unlock()
			}
			time.Sleep(100 * time.Microsecond)
			all.Go(func() {
				start := time.Now()
				err := g.Push(t.Context(), item("x"))
				// Who came shortly before it stalled may be in a commit that does not end.
				if before := i < 900; before && err != nil || i >= 1000 && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, queue.ErrBusy) {
					t.Errorf("push %d got %v", i, err)
				}
				if took := time.Since(start); took > g.Timeout+10*time.Millisecond {
					t.Errorf("push %d waited for %s", i, took)
				}
			})
		}
		all.Wait()
		if s.held != 2 {
			t.Fatalf("%d commits were under way, not 2", s.held)
		}
		for range 2 {
			if err := g.Push(t.Context(), item("x")); !errors.Is(err, queue.ErrBusy) {
				t.Errorf("while one is stuck a push gets %v", err)
			}
			s.let <- struct{}{}
			synctest.Wait()
		}
		s.mu.Lock()
		s.stalled = false
		s.mu.Unlock()
		if err := g.Push(t.Context(), item("x")); err != nil {
			t.Errorf("when both are done a push gets %v", err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/miq/pixel/modules/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slow takes a second a commit and keeps what it was given.
type slow struct {
	mu      sync.Mutex
	commits [][]string
	err     error
}

func (s *slow) Push(ctx context.Context, items ...queue.Item) error {
	time.Sleep(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	var bodies []string
	for _, i := range items {
		bodies = append(bodies, string(i.Body))
	}
	s.commits = append(s.commits, bodies)
	return s.err
}

func item(body string) queue.Item { return queue.Item{Queue: "ingest:high", Body: []byte(body)} }

func TestPushersThatComeDuringACommitShareTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		g := queue.NewGroup(s, 100)
		start := time.Now()
		answered := make(chan time.Duration, 4)
		go func() {
			g.Push(t.Context(), item("first"))
			answered <- time.Since(start)
		}()
		synctest.Wait()
		for i := range 3 {
			go func() {
				g.Push(t.Context(), item(fmt.Sprint(i)))
				answered <- time.Since(start)
			}()
		}
		var times []time.Duration
		for range 4 {
			times = append(times, <-answered)
		}
		if want := []time.Duration{time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second}; !slices.Equal(times, want) {
			t.Errorf("answered after %v, want %v", times, want)
		}
		if len(s.commits) != 2 || len(s.commits[0]) != 1 || len(s.commits[1]) != 3 {
			t.Errorf("commits were %q", s.commits)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestACommitTakesNoMoreThanMaxItemsButOneCallersItemsStayTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		g := queue.NewGroup(s, 3)
		for i, n := range []int{1, 2, 1, 5, 1, 1} {
			items := make([]queue.Item, n)
			for j := range items {
				items[j] = item(fmt.Sprint(i))
			}
			go g.Push(t.Context(), items...)
			synctest.Wait()
		}
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := [][]string{{"0"}, {"1", "1", "2"}, {"3", "3", "3", "3", "3"}, {"4", "5"}}
		if fmt.Sprint(s.commits) != fmt.Sprint(want) {
			t.Errorf("commits were %v, want %v", s.commits, want)
		}
	})
}

func TestAStoreThatIsAwayFailsAllWhoShareTheCommitAndNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{err: fmt.Errorf("push: %w", queue.ErrUnavailable)}
		g := queue.NewGroup(s, 100)
		errs := make(chan error, 3)
		go func() { errs <- g.Push(t.Context(), item("alone")) }()
		synctest.Wait()
		for range 2 {
			go func() { errs <- g.Push(t.Context(), item("shared")) }()
		}
		for range 3 {
			if err := <-errs; !errors.Is(err, queue.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
		}
		if len(s.commits) != 2 {
			t.Errorf("a store that is away was asked %d times", len(s.commits))
		}
		s.err = nil
		if err := g.Push(t.Context(), item("later")); err != nil {
			t.Errorf("a commit after the failed ones: %v", err)
		}
	})
}

// picky takes everything but what is bad, and of a commit with that nothing.
type picky struct {
	slow
	asked int
}

var errBad = errors.New("that is bad")

func (p *picky) Push(ctx context.Context, items ...queue.Item) error {
	p.asked++
	for _, i := range items {
		if string(i.Body) == "bad" {
			return errBad
		}
	}
	return p.slow.Push(ctx, items...)
}

func TestAnItemThatTheStoreRefusesFailsItsOwnPusherAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &picky{}
		g := queue.NewGroup(p, 100)
		go g.Push(t.Context(), item("first"))
		synctest.Wait()
		good, bad := make(chan error, 31), make(chan error, 1)
		for i := range 32 {
			if i == 20 {
				go func() { bad <- g.Push(t.Context(), item("a"), item("bad")) }()
				continue
			}
			go func() { good <- g.Push(t.Context(), item(fmt.Sprint(i))) }()
		}
		for range 31 {
			if err := <-good; err != nil {
				t.Errorf("a neighbour got %v", err)
			}
		}
		if err := <-bad; !errors.Is(err, errBad) {
			t.Errorf("the bad one got %v", err)
		}
		stored := slices.Concat(p.commits...)
		slices.Sort(stored)
		if len(stored) != 32 || len(slices.Compact(stored)) != 32 || slices.Contains(stored, "a") {
			t.Errorf("stored are %v", stored)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if p.asked > 13 { // the first, and two for each halving
			t.Errorf("the store was asked %d times", p.asked)
		}
	})
}

func TestACommitThatDoesNotEndIsGivenUpWithAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := &stuck{release: release}
		g := queue.NewGroup(s, 100)
		g.Timeout = 5 * time.Second
		start := time.Now()
		errs := make(chan error, 3)
		for range 3 {
			go func() { errs <- g.Push(context.Background(), item("x")) }()
			synctest.Wait()
		}
		for range 3 {
			if err := <-errs; !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
				t.Errorf("got %v after %s", err, time.Since(start))
			}
		}
		if err := g.Push(context.Background(), item("x")); !errors.Is(err, queue.ErrBusy) {
			t.Errorf("while it is stuck a push gets %v", err)
		}
		close(release)
		synctest.Wait()
		if err := g.Push(context.Background(), item("x")); err != nil {
			t.Errorf("when it goes on a push gets %v", err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// stuck keeps its first commit, whatever its context says.
type stuck struct{ release chan struct{} }

func (s *stuck) Push(context.Context, ...queue.Item) error {
	<-s.release
	return nil
}

func TestACallerWhoseContextEndsIsAnsweredAtOnceThoughItsItemsAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		g := queue.NewGroup(s, 100)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := g.Push(ctx, item("impatient")); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 100*time.Millisecond {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
		if err := g.Push(ctx, item("too late")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a push with an ended context: %v", err)
		}
		g.Close(t.Context())
		if fmt.Sprint(s.commits) != "[[impatient]]" {
			t.Errorf("commits were %v", s.commits)
		}
	})
}

func TestTooManyWaitingBytesAreRefusedUntilThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		g := queue.NewGroup(s, 100)
		g.MaxWaiting = 10
		errs := make(chan error, 3)
		for _, body := range []string{"a body larger than the bound", "x"} {
			go func() { errs <- g.Push(t.Context(), item(body)) }()
			synctest.Wait()
		}
		if err := <-errs; !errors.Is(err, queue.ErrBusy) {
			t.Errorf("the second got %v", err)
		}
		if err := <-errs; err != nil {
			t.Errorf("the first got %v", err)
		}
		if err := g.Push(t.Context(), item("x")); err != nil {
			t.Errorf("after the commit: %v", err)
		}
	})
}

func TestCloseWaitsForWhatWasAcceptedAndRefusesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		g := queue.NewGroup(s, 1)
		for range 3 {
			go g.Push(t.Context(), item("x"))
		}
		synctest.Wait()
		hurry, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if err := g.Close(hurry); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a close in a hurry returned %v", err)
		}
		if err := g.Push(t.Context(), item("y")); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("a push after close returned %v", err)
		}
		if err := g.Close(t.Context()); err != nil || len(s.commits) != 3 {
			t.Errorf("close returned %v after %d commits", err, len(s.commits))
		}
	})
}

// instant commits at once.
type instant struct{}

func (instant) Push(context.Context, ...queue.Item) error { return nil }

// BenchmarkPushSingle is what a Group costs a lone pusher.
func BenchmarkPushSingle(b *testing.B) {
	g := queue.NewGroup(instant{}, 256)
	for b.Loop() {
		if err := g.Push(b.Context(), item("x")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPushGroup64 is what it costs each of 64 pushers.
func BenchmarkPushGroup64(b *testing.B) {
	g := queue.NewGroup(instant{}, 256)
	b.SetParallelism(32) // times two cores
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := g.Push(b.Context(), item("x")); err != nil {
				b.Fatal(err)
			}
		}
	})
}

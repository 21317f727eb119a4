package worker

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
)

// feed offers batches of one priority for ever.
func feed(ctx context.Context, t *turns, priority int) {
	for t.offer(ctx, priority, &pulled{queue: fmt.Sprint(priority)}) {
	}
}

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		name  string
		feeds []int
		want  [3]int // in two rounds of all weights
	}{
		{"all wait", []int{0, 1, 2}, [3]int{32, 8, 2}},
		{"only low", []int{2}, [3]int{0, 0, 42}},
		{"no high", []int{1, 2}, [3]int{0, 34, 8}},
		{"no standard", []int{0, 2}, [3]int{40, 0, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				turns := newTurns(1)
				for _, p := range c.feeds {
					go feed(ctx, turns, p)
				}
				var got [3]int
				for range 42 {
					synctest.Wait() // every feed has its offer out
					p := turns.next(ctx)
					got[p.queue[0]-'0']++
					turns.done(p)
				}
				if got != c.want {
					t.Errorf("got %v, want %v", got, c.want)
				}
				stop()
				synctest.Wait()
			})
		})
	}
}

func TestAnOfferThatNobodyTakesIsTheCallersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1)
		ctx, stop := context.WithCancel(t.Context())
		taken := make(chan bool)
		go func() { taken <- turns.offer(ctx, 1, &pulled{}) }()
		synctest.Wait()
		stop()
		if <-taken {
			t.Error("it was taken by nobody")
		}
		// The next offer is found behind what the first one left.
		go func() { taken <- turns.offer(t.Context(), 1, &pulled{queue: "second"}) }()
		if p := turns.next(t.Context()); p == nil || p.queue != "second" {
			t.Errorf("got %+v", p)
		}
		if !<-taken {
			t.Error("it was taken, but not said so")
		}
	})
}

func TestNextEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if p := newTurns(1).next(ctx); p != nil {
		t.Errorf("got %+v", p)
	}
}

func TestOneOfSeveralWorkersNeverTakesLow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		turns := newTurns(3)
		go feed(ctx, turns, 2)
		synctest.Wait()
		first := turns.next(ctx)
		synctest.Wait()
		turns.next(ctx)
		synctest.Wait()
		third := make(chan *pulled, 1)
		go func() { third <- turns.next(ctx) }()
		synctest.Wait()
		if len(third) != 0 {
			t.Fatal("the third worker took low priority")
		}
		// What is urgent finds it free.
		go turns.offer(ctx, 0, &pulled{queue: "urgent"})
		if p := <-third; p == nil || p.queue != "urgent" {
			t.Errorf("the third worker got %+v", p)
		}
		// A worker that is done with low may take it again.
		turns.done(first)
		if p := turns.next(ctx); p == nil || p.priority != low {
			t.Errorf("got %+v", p)
		}
		stop()
		synctest.Wait()
	})
}

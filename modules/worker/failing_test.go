package worker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
)

// outcome is everything that a run leaves behind, without the times of writing.
type outcome struct {
	Stored     map[string]event.Event
	Archived   []string
	Deliveries map[string]event.Delivery
	Syncs      map[string]event.Sync
	Dead       int
	Book       ledger.Book
}

func (x *world) outcome() outcome {
	book := x.book()
	book.Partners = nil // a batch that is done again may hand over twice
	o := outcome{x.stored(), x.shelf.ids(), x.deliveries("acme"), x.syncs("off"), len(x.dead()), book}
	// Of two copies of an event either may be the first.
	for id, e := range o.Stored {
		e.Receipt = ""
		o.Stored[id] = e
	}
	for id, d := range o.Deliveries {
		d.QueuedAt, d.Event.Receipt = time.Time{}, ""
		o.Deliveries[id] = d
	}
	for id, s := range o.Syncs {
		s.At = time.Time{}
		o.Syncs[id] = s
	}
	return o
}

// A worker that dies in any step, before or after the step's work, leaves
// nothing half done: the batch comes back and gives the same result.
func TestKilledInEachStep(t *testing.T) {
	_, events := names(10)
	second := events[1]
	second.Receipt = "second copy"
	events = append(events, second)
	events = append(events, purchase("server", func(e *event.Event) { e.Subject = event.Subject{UserID: "u"} }))
	run := func(t *testing.T, prepare func(*world)) outcome {
		x := setup(t)
		if prepare != nil {
			prepare(x)
		}
		x.push(events...)
		x.start()
		x.done()
		return x.outcome()
	}
	want := run(t, nil)
	if b := want.Book; b.Accepted != 12 || b.Stored != 11 || b.Duplicate != 1 || b.Waiting != 0 {
		t.Fatalf("the clean run's book: %+v", b)
	}
	if len(want.Stored) != 11 || len(want.Deliveries) != 11 || len(want.Syncs) != 11 || len(want.Archived) != 11 {
		t.Fatalf("the clean run: %d stored, %d deliveries, %d lines, %d archived", len(want.Stored), len(want.Deliveries), len(want.Syncs), len(want.Archived))
	}
	steps := setup(t).make().steps
	for _, s := range steps {
		for how, fail := range map[string]func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error{
			"before": func(context.Context, *batch, func(context.Context, *batch) error) error { return errors.New("killed") },
			"after": func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
				return errors.Join(step(ctx, b), errors.New("killed"))
			},
			"with a panic": func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
				_ = step(ctx, b)
				panic("killed")
			},
		} {
			t.Run(s.name+" "+how, func(t *testing.T) {
				t.Parallel()
				got := run(t, func(x *world) {
					var failed atomic.Bool
					x.wrap(s.name, func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
						if failed.CompareAndSwap(false, true) {
							return fail(ctx, b, step)
						}
						return step(ctx, b)
					})
				})
				if !reflect.DeepEqual(got, want) {
					for id, e := range want.Stored {
						if !reflect.DeepEqual(got.Stored[id], e) {
							t.Errorf("want %+v\ngot  %+v", e, got.Stored[id])
							break
						}
					}
					t.Errorf("%d stored, %d deliveries, %d lines, %d archived, %d dead, book %+v", len(got.Stored), len(got.Deliveries), len(got.Syncs), len(got.Archived), got.Dead, got.Book)
				}
			})
		}
	}
}

func TestOneEventThatNoStepCanDigestCostsOnlyItself(t *testing.T) {
	for how, fail := range map[string]func() error{
		"an error": func() error { return errors.New("cannot") },
		"a panic":  func() error { panic(fmt.Sprint("personal data")) },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			x := setup(t)
			x.wrap("enrich", func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
				for _, it := range b.items {
					if strings.HasPrefix(it.event.ID, "bad") {
						return fail()
					}
				}
				return step(ctx, b)
			})
			ids, events := names(30)
			events = slices.Insert(events, 7, purchase("bad1"), purchase("bad2"))
			x.push(events...)
			x.start()
			x.until("the others are stored", func() bool { return slices.Equal(x.ids(), ids) })
			// Alone in their queue two events that fail look like an outage; in
			// company they do not.
			mates := 0
			x.until("they are buried", func() bool {
				if mates++; mates%10 == 0 {
					x.push(purchase(fmt.Sprint("mate", mates)))
				}
				return len(x.dead()) == 2
			})
			for _, l := range x.dead() {
				if !strings.Contains(l.Reason, "enrich") || strings.Contains(l.Reason, "personal") {
					t.Errorf("%+v", l)
				}
			}
			x.counted(poisoned, 2)
		})
	}
}

func TestAnOutageBuriesNothing(t *testing.T) {
	x := setup(t)
	x.shelf.fail(errors.New("disk full"))
	ids, events := names(40)
	x.push(events...)
	x.start()
	// Longer than two deliveries, after which the queue would bury.
	<-time.After(1500 * time.Millisecond)
	if len(x.dead()) != 0 || x.count(stored) != 0 {
		t.Fatalf("%d dead, %d done", len(x.dead()), x.count(stored))
	}
	x.shelf.fail(nil)
	x.done()
	if got := x.ids(); !slices.Equal(got, ids) || len(x.dead()) != 0 {
		t.Errorf("%d stored, %d dead", len(got), len(x.dead()))
	}
}

func TestStopFinishesWhatWasBegunAndHandsBackTheRest(t *testing.T) {
	x := setup(t, func(d *Deps) { d.Config.Concurrency, d.Config.Batch = 1, 1 })
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	x.wrap("analytics", func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
		once.Do(func() { close(begun) })
		<-goOn
		return step(ctx, b)
	})
	_, events := names(5)
	x.push(events...)
	x.start()
	<-begun
	stopped := make(chan error)
	go func() { stopped <- x.w.Stop(context.Background()) }()
	<-time.After(50 * time.Millisecond)
	close(goOn)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if got := x.ids(); !slices.Equal(got, []string{"e000"}) {
		t.Errorf("stored %v", got)
	}
	if s := x.stats()["ingest:high"]; s.Ready != 4 || s.InFlight != 0 {
		t.Errorf("after the stop: %+v", s)
	}
}

func TestStopCutsShortWhatTakesTooLong(t *testing.T) {
	x := setup(t)
	begun := make(chan struct{}, 5)
	x.wrap("archive", func(ctx context.Context, _ *batch, _ func(context.Context, *batch) error) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	_, events := names(5)
	x.push(events...)
	x.start()
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := x.w.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("Stop took %s", d)
	}
	if s := x.stats()["ingest:high"]; s.Ready != 5 {
		t.Errorf("after the stop: %+v", s)
	}
}

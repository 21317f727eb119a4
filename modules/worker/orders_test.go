package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/queue"
)

func ofOrder(id string) func(*event.Event) {
	return func(e *event.Event) { e.Order.ID = id }
}

func fromShop(e *event.Event) {
	e.Source, e.Subject = "server", event.Subject{UserID: "customer-9", Email: "9c1185a5c5e9fc54612808977ee8f548b2258d31"}
}

func TestOfOnePurchaseOneCopyIsStored(t *testing.T) {
	x := setup(t)
	x.push(
		purchase("tag", ofOrder("A-1")), purchase("shop", ofOrder("A-1"), fromShop), purchase("image", ofOrder("A-1"), func(e *event.Event) { e.Source = "pixel" }),
		purchase("other", ofOrder("A-2")), purchase("none", ofOrder("")), purchase("none too", ofOrder("")),
		purchase("elsewhere", ofOrder("A-1"), func(e *event.Event) { e.PixelID = "py" }),
		purchase("refund", ofOrder("A-1"), func(e *event.Event) { e.Name = "refund" }),
		purchase("lead", ofOrder("A-1"), func(e *event.Event) { e.Name = "generate_lead" }),
		purchase("crawler", ofOrder("A-3"), func(e *event.Event) { e.Context.UserAgent = "Googlebot/2.1" }),
		purchase("buyer", ofOrder("A-3")),
	)
	x.start()
	x.done()
	if got, want := x.ids(), []string{"buyer", "crawler", "elsewhere", "lead", "none", "none too", "other", "refund", "tag"}; !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
	if n := x.stats()[queue.Partner("acme")].Ready; n != 5 { // the purchases of px by people
		t.Errorf("%d deliveries, want 5", n)
	}
	x.counted(repeated, 2)
	b := x.book()
	if b.Duplicate != 2 || b.Duplicates["order_server"] != 1 || b.Duplicates["order_pixel"] != 1 {
		t.Errorf("the book says %d duplicates: %v", b.Duplicate, b.Duplicates)
	}
	// Once more, the same events: each is told by its own id now.
	x.push(purchase("tag", ofOrder("A-1")), purchase("shop", ofOrder("A-1"), fromShop))
	x.done()
	if b := x.book(); b.Duplicate != 4 || b.Duplicates["event_web"] != 1 || b.Duplicates["event_server"] != 1 {
		t.Errorf("the book says %d duplicates: %v", b.Duplicate, b.Duplicates)
	}
}

// What only the copy that is dropped knew of the customer is linked with the visitor of
// the one that stands, whichever that is, and wherever the worker died.
func TestWhatTheDroppedCopyKnewIsLinkedWithTheOther(t *testing.T) {
	steps := setup(t).make().steps
	for i, s := range append(steps, step{name: "none"}) {
		for _, tagFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("killed in %s, the tag first: %v", s.name, tagFirst), func(t *testing.T) {
				t.Parallel()
				x := setup(t)
				people := identity.New(x.keys, x.store, identity.Usual, nil)
				x.deps.People = people
				if i < len(steps) {
					var failed atomic.Bool
					x.wrap(s.name, func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
						err := step(ctx, b)
						if failed.CompareAndSwap(false, true) {
							return errors.Join(err, errors.New("killed"))
						}
						return err
					})
				}
				copies := []event.Event{purchase("tag", ofOrder("A-1")), purchase("shop", ofOrder("A-1"), fromShop)}
				if !tagFirst {
					slices.Reverse(copies)
				}
				x.push(copies...)
				x.start()
				x.done()
				if got := x.ids(); len(got) != 1 {
					t.Fatalf("stored %v", got)
				}
				if b := x.book(); b.Duplicate != 1 || b.Stored != 1 {
					t.Errorf("the book says %d stored, %d duplicates", b.Stored, b.Duplicate)
				}
				visitors, err := people.Visitors(t.Context(), "px", event.Subject{UserID: "customer-9"})
				if err != nil || !slices.Contains(visitors, "visitor-tag") {
					t.Errorf("the customer is %v, %v", visitors, err)
				}
			})
		}
	}
}

func TestAPurchaseIsNotLinkedWithAVisitorWhoLeft(t *testing.T) {
	x := setup(t)
	people := identity.New(x.keys, x.store, identity.Usual, nil)
	x.deps.People = people
	x.push(purchase("tag", ofOrder("A-1")))
	x.start()
	x.done()
	x.withdraw("visitor-tag")
	x.until("the visitor is forgotten", func() bool {
		visitors, err := people.Visitors(t.Context(), "px", event.Subject{AnonymousID: "visitor-tag"})
		return err == nil && len(visitors) == 0
	})
	x.push(purchase("shop", ofOrder("A-1"), fromShop))
	x.done()
	visitors, err := people.Visitors(t.Context(), "px", event.Subject{UserID: "customer-9"})
	if err != nil || slices.Contains(visitors, "visitor-tag") {
		t.Errorf("the customer is %v, %v", visitors, err)
	}
}

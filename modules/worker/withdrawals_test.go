package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

// receipts are a visitor's, oldest first.
func (x *world) receipts(visitor string) []event.ConsentReceipt {
	x.t.Helper()
	page, err := x.store.Receipts(x.t.Context(), analytics.ReceiptFilter{Subjects: []string{consent.Subject(consent.Visitor{PixelID: "px", ID: visitor})}, Limit: 1000})
	if err != nil {
		x.t.Fatal(err)
	}
	slices.Reverse(page.Receipts)
	return page.Receipts
}

func TestFirstSightAndEachChangeOfConsentLeaveAReceipt(t *testing.T) {
	x := setup(t)
	begin := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Hour)
	of := func(id string, minute int, s event.State) event.Event {
		return purchase(id, func(e *event.Event) {
			e.Subject.AnonymousID = "visitor-1"
			e.ReceivedAt = begin.Add(time.Duration(minute) * time.Minute)
			e.Verdict = event.Verdict{State: s, Regime: "default", Rule: "R7/D1/claim"}
			e.Consent.State = s
		})
	}
	x.push(of("1", 1, event.Full), of("2", 2, event.Full), of("3", 3, event.Partial), of("4", 4, event.Partial))
	x.start()
	x.done()
	got := x.receipts("visitor-1")
	var states []event.State
	for _, r := range got {
		states = append(states, r.Verdict.State)
	}
	if !slices.Equal(states, []event.State{event.Full, event.Partial}) {
		t.Fatalf("receipts of %v", states)
	}
	if got[1].SourceID != "3" || got[1].Source != "web" || !got[1].At.Equal(begin.Add(3*time.Minute)) {
		t.Errorf("%+v", got[1])
	}
	newest, err := consent.Load(t.Context(), x.keys, consent.Visitor{PixelID: "px", ID: "visitor-1"})
	if err != nil {
		t.Fatal(err)
	}
	if problems, chains := x.deps.Book.Check(got, newest[0]); len(problems) > 0 || chains != 1 {
		t.Errorf("%v in %d chains", problems, chains)
	}
}

// TestAWithdrawalEmptiesTheQueues leaves messages of two visitors wherever they can
// lie: with a partner that is on hold, put off until later, and among the dead letters.
func TestAWithdrawalEmptiesTheQueues(t *testing.T) {
	x := setup(t)
	ctx := t.Context()
	delivery := func(id, visitor string) queue.Item {
		e := purchase(id, func(e *event.Event) { e.Subject = event.Subject{AnonymousID: visitor, VisitorID: visitor} })
		body, err := json.Marshal(event.Delivery{Event: e, Partner: "acme", Permission: event.Allowed})
		if err != nil {
			t.Fatal(err)
		}
		return queue.Item{Queue: queue.Partner("acme"), Body: body, Account: queue.AccountOf("px", e.ReceivedAt)}
	}
	push := func(items ...queue.Item) {
		if err := x.queue.Push(ctx, items...); err != nil {
			t.Fatal(err)
		}
	}
	held := func() []queue.Message {
		m, err := x.queue.Pull(ctx, queue.Partner("acme"), 10)
		if err != nil || len(m) != 2 {
			t.Fatalf("%d messages, %v", len(m), err)
		}
		return m
	}
	push(delivery("dead-1", "visitor-1"), delivery("dead-2", "visitor-2"))
	for _, m := range held() {
		if err := x.queue.Bury(ctx, queue.Partner("acme"), "the partner said no", m.ID); err != nil {
			t.Fatal(err)
		}
	}
	push(delivery("later-1", "visitor-1"), delivery("later-2", "visitor-2"))
	for _, m := range held() {
		if err := x.queue.Retry(ctx, queue.Partner("acme"), time.Now().Add(time.Hour), m.ID); err != nil {
			t.Fatal(err)
		}
	}
	push(delivery("held-1", "visitor-1"), delivery("held-2", "visitor-2"))

	// What leads to the visitor from elsewhere is forgotten too.
	full := purchase("link", func(e *event.Event) {
		e.Subject = event.Subject{AnonymousID: "visitor-1", Email: "digest-of-an-address"}
	})
	x.push(full)
	x.start()
	x.done()
	x.withdraw("visitor-1")
	x.until("the queues are swept", func() bool {
		stats, err := x.queue.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		left := map[string]int{}
		for _, s := range stats {
			left[s.Queue] = s.Ready + s.Delayed + s.InFlight
		}
		return left["s2s:acme"] == 2 && left["dlq:acme"] == 1 && left[queue.Consent] == 0
	})
	for _, id := range []string{"dead-1", "later-1", "held-1"} {
		page, err := x.store.Syncs(ctx, analytics.SyncFilter{EventID: id})
		if err != nil || len(page.Syncs) != 1 || page.Syncs[0].Outcome != event.NotSent || page.Syncs[0].Code != "consent" {
			t.Errorf("the sync log says %+v of %s, %v", page.Syncs, id, err)
		}
	}
	server := purchase("server", func(e *event.Event) { e.Subject = event.Subject{Email: "digest-of-an-address"} })
	x.push(server)
	x.done()
	if e, err := x.store.Event(ctx, "px", "server"); err != nil || e.Subject.VisitorID == "visitor-1" {
		t.Errorf("the address still leads to %q, %v", e.Subject.VisitorID, err)
	}
	if got := x.receipts("visitor-1"); len(got) != 2 || got[1].Verdict.State != event.None || got[1].Source != "consent" {
		t.Errorf("receipts %+v", got)
	}
}

func TestAChangeOfConsentThatCannotBeReadIsBuried(t *testing.T) {
	x := setup(t)
	if err := x.queue.Push(t.Context(), queue.Item{Queue: queue.Consent, Body: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	x.start()
	x.until("it is among the dead letters", func() bool {
		letters, _, err := x.queue.Dead(t.Context(), queue.Validation, "", 10)
		return err == nil && len(letters) == 1
	})
}

// stubborn are people of whom one cannot be forgotten.
type stubborn struct {
	people
	forget func(ctx context.Context, visitor string) error
}

func (s stubborn) Forget(ctx context.Context, pixel, visitor string) (int, error) {
	if err := s.forget(ctx, visitor); err != nil {
		return 0, err
	}
	return s.people.Forget(ctx, pixel, visitor)
}

// TestOneVisitorWhoCannotBeForgottenKeepsNobodyWaiting, and is forgotten once that works.
func TestOneVisitorWhoCannotBeForgottenKeepsNobodyWaiting(t *testing.T) {
	for name, fail := range map[string]func(context.Context) error{
		"never ends":   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"always fails": func(context.Context) error { return errors.New("no") },
	} {
		t.Run(name, func(t *testing.T) {
			var mended atomic.Bool
			x := setup(t, func(d *Deps) {
				d.People = stubborn{d.People, func(ctx context.Context, visitor string) error {
					if visitor == "stuck" && !mended.Load() {
						return fail(ctx)
					}
					return nil
				}}
			})
			// The withdrawals come as one batch.
			x.withdraw("stuck")
			for i := range 4 {
				x.withdraw(fmt.Sprintf("visitor-%d", i))
			}
			x.start()
			left := func() int { s := x.stats()[queue.Consent]; return s.Ready + s.InFlight + s.Delayed }
			x.until("all others are forgotten", func() bool { return left() == 1 })
			if len(x.dead()) != 0 {
				t.Errorf("dead letters: %+v", x.dead())
			}
			mended.Store(true)
			x.until("the last is forgotten too", func() bool { return left() == 0 })
			if len(x.dead()) != 0 {
				t.Errorf("dead letters: %+v", x.dead())
			}
		})
	}
}

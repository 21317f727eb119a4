package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

func TestAnEventIsStoredArchivedAndRouted(t *testing.T) {
	x := setup(t)
	x.push(purchase("1"), purchase("2", func(e *event.Event) { e.Name, e.Priority = "page_view", event.Standard }))
	x.start()
	x.done()

	e := x.stored()["1"]
	if e.Subject.VisitorID != "visitor-1" || e.Enrichment.Device.Browser != "Chrome" || e.Enrichment.Referrer.Kind != "paid" || e.Enrichment.Campaign.Source != "google" || e.Subject.ClickIDs["gclid"] != "EAI" {
		t.Errorf("stored: %+v", e)
	}
	if e.Context.IP != "203.0.113.0" {
		t.Errorf("stored with the address %s", e.Context.IP)
	}
	archived := x.shelf.records["px/1"]
	if archived.Context.IP != "203.0.113.0" || archived.Enrichment != e.Enrichment {
		t.Errorf("archived: %+v", archived)
	}
	got := x.deliveries("acme")
	if len(got) != 1 {
		t.Fatalf("deliveries: %+v", got)
	}
	d := got["1"]
	if d.Event.Context.IP != "203.0.113.77" || string(d.Params) != `{"a":1}` || d.Permission != event.Allowed || d.Partner != "acme" || d.QueuedAt.IsZero() || d.Event.Enrichment != e.Enrichment {
		t.Errorf("delivery: %+v", d)
	}
	off := x.syncs("off")
	for _, id := range []string{"1", "2"} {
		if s := off[id]; s.Outcome != event.NotSent || s.Code != "partner_off" || s.Message != "not sent: partner is off" || s.Attempt != 0 || s.PixelID != "px" || s.OrderID != "o-"+id {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if len(x.syncs("acme")) != 0 {
		t.Errorf("acme has lines: %+v", x.syncs("acme"))
	}
}

func TestHowWellAPartnerCanMatchIsStoredWithTheEvent(t *testing.T) {
	x := setup(t)
	x.push(purchase("1"), purchase("panic"), purchase("view", func(e *event.Event) { e.Name = "page_view" }))
	x.start()
	x.done()
	for id, want := range map[string]string{"1": "medium [gclid] [email]", "panic": "none [] []", "view": ""} {
		got, err := x.store.Matches(t.Context(), "px", id)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, m := range got {
			said = append(said, fmt.Sprint(m.Grade, " ", m.Keys, " ", m.Missing))
			if m.Partner != "acme" || m.Name != "purchase" || m.ReceivedAt.IsZero() {
				t.Errorf("%s: %+v", id, m)
			}
		}
		if s := strings.Join(said, "; "); s != want {
			t.Errorf("%s: %s, want %s", id, s, want)
		}
	}
	if d := x.deliveries("acme"); len(d) != 2 {
		t.Errorf("delivered %d", len(d))
	}
}

func TestABotIsStoredAndNotForwarded(t *testing.T) {
	x := setup(t)
	x.push(purchase("1", func(e *event.Event) {
		e.Context.UserAgent = "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"
	}))
	x.start()
	x.done()
	if e := x.stored()["1"]; e.Enrichment.Bot == "" {
		t.Errorf("stored: %+v", e)
	}
	if s := x.syncs("acme")["1"]; s.Code != "bot" || len(x.deliveries("acme")) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestDuplicates(t *testing.T) {
	again := func(e *event.Event) { e.Receipt = "another" }
	for _, c := range []struct {
		name   string
		pushes [][]event.Event
		stored []string
		drops  int
	}{
		{"within a batch", [][]event.Event{{purchase("1"), purchase("1", again), purchase("2")}}, []string{"1", "2"}, 1},
		{"in a later batch", [][]event.Event{{purchase("1")}, {purchase("1", again)}}, []string{"1"}, 1},
		{"the same message twice in a batch", [][]event.Event{{purchase("1"), purchase("1")}}, []string{"1"}, 1},
		{"the same receipt again in another message, as after a push whose answer was lost", [][]event.Event{{purchase("1")}, {purchase("1")}}, []string{"1"}, 1},
		{"another pixel's event of the same id is another", [][]event.Event{{purchase("1"), purchase("1", again, func(e *event.Event) { e.PixelID = "py"; e.ID = "1" })}}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := setup(t)
			x.site.pixels["py"] = settings.Pixel{ID: "py", ConsentMode: settings.Implied}
			x.start()
			for _, events := range c.pushes {
				x.push(events...)
				x.done()
			}
			if c.stored == nil {
				if n := len(x.shelf.ids()); n != 2 {
					t.Errorf("%d events archived, want 2", n)
				}
			} else if got := x.ids(); !slices.Equal(got, c.stored) {
				t.Errorf("stored %v, want %v", got, c.stored)
			}
			x.counted(duplicate, c.drops)
		})
	}
}

func TestConsent(t *testing.T) {
	revoke := func(x *world) {
		x.withdraw("visitor-1")
	}
	partial := func(e *event.Event) {
		e.Verdict.State = event.Partial
		e.Consent.State = event.Partial
		e.Subject.Email = "digest"
		e.Order.ID = "anon_0123456789abcdef0123456789abcdef"
	}
	for _, c := range []struct {
		name    string
		before  func(*world)
		event   event.Event
		outcome string
		check   func(*testing.T, *world, event.Event)
	}{
		{"a withdrawal after the event drops it", revoke, purchase("1"), revoked, nil},
		{"another visitor's does not", revoke, purchase("2"), stored, nil},
		{
			"what the site's settings no longer allow is dropped",
			func(x *world) { x.site.pixels["px"] = settings.Pixel{ID: "px", ConsentMode: settings.GCM} },
			purchase("1", func(e *event.Event) { e.Consent.GCM.AnalyticsStorage = "denied" }), suppressed, nil,
		},
		{
			"what they allow only for analytics is stripped",
			func(x *world) {
				p := x.site.pixels["px"]
				p.ConsentMode = settings.GCM
				x.site.pixels["px"] = p
			},
			purchase("1", func(e *event.Event) {
				e.Consent.GCM = event.ConsentMode{AnalyticsStorage: "granted", AdStorage: "denied"}
				e.Subject.Email = "digest"
			}), stored,
			func(t *testing.T, x *world, e event.Event) {
				if e.Verdict.State != event.Partial || e.Subject.Email != "" || e.Subject.ClickIDs != nil || strings.Contains(e.Context.Page.URL, "gclid") || e.Order.ID != "" {
					t.Errorf("stored: %+v", e)
				}
				if s := x.syncs("acme")["1"]; s.Code != "consent" || !strings.HasPrefix(s.Message, "not sent: consent: ") {
					t.Errorf("%+v", s)
				}
			},
		},
		{
			"partial stays partial, with its order's pseudonym, and is forwarded to nobody", nil, purchase("1", partial), stored,
			func(t *testing.T, x *world, e event.Event) {
				if e.Verdict.State != event.Partial || e.Subject.Email != "" || e.Order.ID != "anon_0123456789abcdef0123456789abcdef" || e.Subject.VisitorID != "visitor-1" {
					t.Errorf("stored: %+v", e)
				}
				if len(x.deliveries("acme")) != 0 {
					t.Error("it was forwarded")
				}
			},
		},
		{
			"the US verdict of an edge that knew the place stands", nil,
			purchase("1", func(e *event.Event) { e.Verdict = event.Verdict{State: event.Full, Regime: "us", Rule: "R5/U8"} }), stored,
			func(t *testing.T, x *world, e event.Event) {
				if e.Verdict.State != event.Full || len(x.deliveries("acme")) != 1 {
					t.Errorf("stored: %+v", e)
				}
			},
		},
		{
			"an event of a pixel that was removed is kept", nil,
			purchase("1", func(e *event.Event) { e.PixelID = "gone" }), stored, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := setup(t)
			x.push(c.event)
			if c.before != nil {
				c.before(x)
			}
			x.start()
			x.done()
			x.counted(c.outcome, 1)
			all := x.stored()
			if want := c.outcome == stored; (len(all) == 1) != want || (len(x.shelf.ids()) == 1) != want {
				t.Fatalf("stored %v, archived %v", all, x.shelf.ids())
			}
			if c.check != nil {
				c.check(t, x, all[c.event.ID])
			}
		})
	}
}

func TestAPixelThatWasJustMadeIsKnown(t *testing.T) {
	x := setup(t)
	p := x.site.pixels["px"]
	p.ID = "new"
	x.site.late = map[string]settings.Pixel{"new": p}
	x.push(purchase("1", func(e *event.Event) { e.PixelID = "new" }))
	x.start()
	x.done()
	if len(x.deliveries("acme")) != 1 {
		t.Error("it was not routed")
	}
}

func TestAMessageThatCannotBeReadIsBuriedAlone(t *testing.T) {
	x := setup(t)
	for _, body := range []string{`{"id":`, `[]`, `{}`, `{"id":"x"}`, "\xff\xfe"} {
		if err := x.queue.Push(t.Context(), queue.Item{Queue: "ingest:high", Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	x.push(purchase("1"))
	x.start()
	x.done()
	if got := x.ids(); !slices.Equal(got, []string{"1"}) {
		t.Errorf("stored %v", got)
	}
	dead := x.dead()
	if len(dead) != 5 {
		t.Errorf("%d dead", len(dead))
	}
	x.counted(undecodable, 5)
	for _, l := range dead {
		if !strings.Contains(l.Reason, "cannot be decoded") || l.Origin != "ingest:high" {
			t.Errorf("%+v", l)
		}
	}
}

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

// full reports whether each priority has a batch to offer.
func (t *turns) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !slices.Contains(t.offers[:], nil)
}

func TestHighOvertakesAFloodOfLowAndLowGoesOn(t *testing.T) {
	x := setup(t, func(d *Deps) { d.Config.Concurrency, d.Config.Batch = 1, 4 })
	var mu sync.Mutex
	var order []event.Priority
	begun := -1 // how many batches were done when each priority had one to offer
	x.wrap("decode", func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
		// What nobody pulled yet cannot be in turn. On a slow machine the batch's time may be
		// over first: then the next one waits.
		for begun < 0 && ctx.Err() == nil {
			if x.w.turns.full() {
				mu.Lock()
				begun = len(order)
				mu.Unlock()
				break
			}
			<-time.After(time.Millisecond)
		}
		return step(ctx, b)
	})
	x.wrap("routes", func(ctx context.Context, b *batch, step func(context.Context, *batch) error) error {
		mu.Lock()
		order = append(order, b.items[0].event.Priority)
		mu.Unlock()
		return step(ctx, b)
	})
	for _, p := range event.Priorities {
		for i := range 100 {
			x.push(purchase(fmt.Sprint(p, i), func(e *event.Event) { e.Priority = p }))
		}
	}
	x.start()
	x.done()
	first := map[event.Priority]int{}
	last := map[event.Priority]int{}
	for i, p := range order {
		if _, ok := first[p]; !ok {
			first[p] = i
		}
		last[p] = i
	}
	if !(last[event.High] < last[event.Standard] && last[event.Standard] < last[event.Low]) {
		t.Errorf("last batches: %v of %d", last, len(order))
	}
	if n := first[event.Low] - begun; n > 25 {
		t.Errorf("low had to wait for %d batches", n)
	}
	if n := len(maps.Collect(maps.All(x.stored()))); n != 300 {
		t.Errorf("%d stored", n)
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

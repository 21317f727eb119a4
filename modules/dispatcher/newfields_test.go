package dispatcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/amazon"
	"github.com/miq/pixel/modules/partner/dv360"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/partner/yahoo"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
)

// telling is acme that is told in the query which events have a currency.
type telling struct{ acme }

func (telling) Group(event.Delivery) string { return "" }

func (t telling) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	for _, d := range b.Deliveries {
		if d.Event.Order.Currency != "" {
			b.Endpoint += "?currency=1"
			break
		}
	}
	return t.acme.Encode(ctx, b)
}

func currency(d *event.Delivery) { d.Event.Order.Currency = "EUR" }

// guarded is a dispatcher whose pixel lets go only what is decided upon.
func guarded(t *testing.T) *world {
	w := setup(t)
	w.deps.Adapters = []partner.Adapter{telling{acme{spec: spec("acme")}}}
	w.fields(settings.Fields{Hold: true}.Decide("acme", settings.Approve, "[]"))
	return w
}

func (w *world) fields(f settings.Fields) {
	w.site.mu.Lock()
	defer w.site.mu.Unlock()
	p := w.site.pixels["px"]
	p.Fields, p.Revision = f, p.Revision+1
	w.site.pixels["px"] = p
}

func (w *world) decide(decision string) {
	p, _ := w.site.Pixel("px")
	w.fields(p.Fields.Decide("acme", decision, "?currency"))
}

func (w *world) held() int {
	s := w.stats()["hold:acme"]
	return s.Ready + s.Delayed
}

func TestAFieldThatWasNeverSentWaitsForADecision(t *testing.T) {
	w := guarded(t)
	for i := range 20 {
		w.push(purchase(fmt.Sprint("new-", i), currency), purchase(fmt.Sprint("old-", i)))
	}
	w.start()
	w.until("the others", func() bool { return len(w.server.got()) == 20 })
	w.until("the parked", func() bool { return w.held() == 20 })
	waiting, _, err := w.queue.Peek(t.Context(), "hold:acme", "", 1)
	if err != nil || len(waiting) != 1 {
		t.Fatal(waiting, err)
	}
	var d event.Delivery
	if err := json.Unmarshal(waiting[0].Body, &d); err != nil || !slices.Equal(d.Waits, []string{"?currency"}) || d.Event.Order.Currency != "EUR" {
		t.Errorf("it waits for %v %v", d.Waits, err)
	}
	if err := withdraw(t.Context(), w.keys, consent.Visitor{PixelID: "px", ID: "visitor-new-3"}); err != nil {
		t.Fatal(err)
	}
	// Another dispatcher starts, and leaves them where they are.
	w.start()
	w.decide(settings.Approve)
	w.until("the released", func() bool { return len(w.server.got()) == 39 })
	w.done()
	for id, n := range w.server.got() {
		if n != 1 {
			t.Errorf("%s was taken %d times", id, n)
		}
	}
	if got := w.syncs.story("new-3"); got != "0:not_sent/consent" {
		t.Errorf("the one who withdrew: %s", got)
	}
	if n := w.held(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestAFieldThatIsRefusedIsNotSent(t *testing.T) {
	w := guarded(t)
	w.push(purchase("waits", currency), purchase("goes"))
	w.start()
	w.until("it is parked", func() bool { return w.held() == 1 && len(w.server.got()) == 1 })
	w.decide(settings.Refuse)
	w.until("it is not sent", func() bool { return w.syncs.story("waits") == "0:not_sent/field_refused" })
	if s := w.syncs.of("waits")[0]; !strings.Contains(s.Message, "?currency") || !strings.Contains(s.Message, "Acme") {
		t.Errorf("told as %q", s.Message)
	}
	// What was refused stays so where nothing else is held.
	p, _ := w.site.Pixel("px")
	p.Fields.Hold = false
	w.fields(p.Fields)
	w.push(purchase("later", currency), purchase("still"))
	w.until("the next", func() bool {
		return w.syncs.story("later") == "0:not_sent/field_refused" && len(w.server.got()) == 2
	})
	w.done()
	w.once("goes", "still")
	if w.held() != 0 {
		t.Error("something waits")
	}
}

func TestWithoutTheSwitchNothingWaitsForItsFields(t *testing.T) {
	w := guarded(t)
	w.fields(settings.Fields{})
	w.push(purchase("1", currency))
	w.start()
	w.done()
	w.once("1")
}

// slow is a queue that takes what is parked only once it is let to.
type slow struct {
	queue.Queue
	entered chan struct{}
	leave   chan struct{}
}

func (s *slow) Push(ctx context.Context, items ...queue.Item) error {
	if slices.ContainsFunc(items, func(i queue.Item) bool { return i.Queue == "hold:acme" }) {
		select {
		case s.entered <- struct{}{}:
		default:
		}
		<-s.leave
	}
	return s.Queue.Push(ctx, items...)
}

// What is parked after its release, since it was decided on before, is looked for again.
func TestWhatIsParkedTooLateIsReleasedAllTheSame(t *testing.T) {
	w := guarded(t)
	q := &slow{Queue: w.queue, entered: make(chan struct{}, 1), leave: make(chan struct{})}
	w.deps.Queue = q
	w.push(purchase("late", currency))
	w.start()
	<-q.entered
	// One that waits already shows that the release was heard of and is over.
	body, err := json.Marshal(purchase("early", currency, func(d *event.Delivery) { d.Waits = []string{"?currency"} }))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.queue.Push(t.Context(), queue.Item{Queue: "hold:acme", Body: body}); err != nil {
		t.Fatal(err)
	}
	w.decide(settings.Approve)
	w.until("the early one goes", func() bool { return w.server.got()["early"] == 1 })
	close(q.leave)
	w.until("the late one goes", func() bool { return len(w.server.got()) == 2 && w.held() == 0 })
	w.done()
	w.once("early", "late")
}

// broken is a queue that dies between two of its operations, once.
type broken struct {
	queue.Queue
	at   string // the queue that is settled
	died atomic.Bool
}

func (b *broken) Settle(ctx context.Context, name string, ends ...queue.End) error {
	if name == b.at && b.died.CompareAndSwap(false, true) {
		return errors.New("the process is gone")
	}
	return b.Queue.Settle(ctx, name, ends...)
}

// A crash between the one queue and the other leaves a delivery in both. It is sent once.
func TestACrashWhileAFieldWaitsLosesAndDoublesNothing(t *testing.T) {
	for _, at := range []string{"s2s:acme", "hold:acme"} {
		t.Run(at, func(t *testing.T) {
			w := guarded(t)
			b := &broken{Queue: w.queue, at: at}
			w.deps.Queue = b
			w.push(purchase("1", currency), purchase("2", currency))
			w.start()
			w.until("they are parked", func() bool { return w.held() >= 2 })
			w.decide(settings.Approve)
			w.until("they go", func() bool { return len(w.server.got()) == 2 })
			if !b.died.Load() {
				t.Error("nothing broke")
			}
			w.until("all is settled", func() bool {
				s, h := w.stats()["s2s:acme"], w.stats()["hold:acme"]
				return s.Ready+s.InFlight+s.Delayed+h.Ready+h.InFlight+h.Delayed == 0
			})
			w.once("1", "2")
		})
	}
}

// What a delivery is asked about alone is what a request of many tells of it: no adapter
// writes a field that only a batch has.
// What the console decides reaches every other process of the fleet by itself, and what
// waited for it leaves, within five seconds. The best of some tries counts: a machine may
// be busy with other things.
func TestADecisionOnAFieldIsInForceInTheFleetWithinSeconds(t *testing.T) {
	w := setup(t)
	w.deps.Adapters = []partner.Adapter{telling{acme{spec: spec("acme")}}}
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	store := func() *settings.Store {
		s := settings.New(w.keys, box, slog.New(slog.DiscardHandler))
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		return s
	}
	console, fleet := store(), store()
	w.deps.Settings = fleet
	begin := settings.Fields{Hold: true}.Decide("acme", settings.Approve, "[]")
	set := func(f settings.Fields) {
		t.Helper()
		p, _ := console.Pixel("px")
		p.ID, p.Name, p.ConsentMode, p.Enabled, p.Fields = "px", "px", settings.Implied, true, f
		if _, err := console.SavePixel(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := console.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := console.SavePartner(t.Context(), settings.Partner{Name: "acme", Mode: settings.On}); err != nil {
		t.Fatal(err)
	}
	set(begin)
	w.until("the settings", func() bool {
		p, _ := fleet.Pixel("px")
		return p.Fields.Hold && fleet.Partner("acme").Mode == settings.On
	})
	w.start()
	least := time.Hour
	for try := range 5 {
		for i := range 5 {
			w.push(purchase(fmt.Sprint("try-", try, "-", i), currency))
		}
		w.until("the parked", func() bool { return w.held() == 5 })
		began := time.Now()
		set(begin.Decide("acme", settings.Approve, "?currency"))
		w.until("the released", func() bool { return len(w.server.got()) == 5*(try+1) })
		if least = min(least, time.Since(began)); least < 5*time.Second {
			break
		}
		set(begin)
		w.until("that it is held again", func() bool {
			p, _ := fleet.Pixel("px")
			return !slices.Contains(p.Fields.Approved["acme"], "?currency")
		})
	}
	if least >= 5*time.Second {
		t.Errorf("a decision took %s", least)
	}
	w.done()
}

func TestABatchHasNoFieldThatItsDeliveriesHaveNot(t *testing.T) {
	w, _ := sandboxed(t)
	now := time.Now()
	for _, of := range []struct {
		adapter  partner.Adapter
		folder   string
		settings jsontext.Value
	}{{ttd.New(), "ttd/testdata", nil}, {amazon.New(), "amazon/testdata", nil}, {yahoo.New(), "yahoo/testdata", nil}, {dv360.New(), "dv360/testdata/cm360", nil}, {dv360.New(), "dv360/testdata/data_manager", jsontext.Value(`{"api":"data_manager"}`)}} {
		a, name := of.adapter, of.adapter.Spec().Name
		secrets, _ := w.deps.Settings.Credentials(settings.Partner{}, "")
		account := delivery.AccountOf(a.Spec(), w.deps.Partners[name], settings.Partner{Name: name, Settings: of.settings}, secrets)
		var list []event.Delivery
		for i := range 3 {
			d := conversionOf(t, name, of.folder, fmt.Sprint(i))
			if i == 1 {
				d.Event.Order.Items, d.Event.Context.Page.URL = nil, ""
			}
			if i == 2 {
				d.Event.Subject.Email = ""
			}
			list = append(list, d)
		}
		sender := delivery.New(a, http.DefaultClient, nil, time.Now)
		alone := map[string]bool{}
		for _, d := range list {
			x := sender.Rehearse(t.Context(), account, d)
			if x.Method == "" {
				t.Fatalf("%s: %+v", of.folder, x.Receipt)
			}
			for _, p := range fields.Paths(fields.Request{URL: x.URL, Type: x.RequestHeader.Get("Content-Type"), Body: x.RequestBody, At: now}) {
				alone[p] = true
			}
		}
		b := account.Batch(now)
		b.Token, b.Deliveries = "t", list
		req, _, err := a.Encode(t.Context(), b)
		if err != nil {
			t.Fatal(name, err)
		}
		var body strings.Builder
		if err := req.Write(&body); err != nil {
			t.Fatal(err)
		}
		_, payload, _ := strings.Cut(body.String(), "\r\n\r\n")
		for _, p := range fields.Paths(fields.Request{URL: req.URL.String(), Type: req.Header.Get("Content-Type"), Body: []byte(payload), At: now}) {
			if !alone[p] {
				t.Errorf("%s: only a batch has %s", of.folder, p)
			}
		}
		if len(alone) < 8 {
			t.Errorf("%s: only %d fields", of.folder, len(alone))
		}
	}
}

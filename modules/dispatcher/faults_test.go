package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

type answers = func(w http.ResponseWriter, r *http.Request, ids []string) bool

// first answers so the first n times, and takes everything afterwards.
func first(n int, status int, header ...string) answers {
	var asked atomic.Int32
	return func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
		if int(asked.Add(1)) > n {
			return true
		}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		return false
	}
}

// The fault table: after each, every event was taken once, or is dead with a
// reason, or was not sent for a reason.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  answers
		adapter func(*acme)
		config  func(*Deps)
		push    []event.Delivery
		taken   []string
		story   map[string]string
		dead    map[string]string // event id to part of the reason; "" for any event
		check   func(*testing.T, *world)
	}{
		{
			name: "all well", push: []event.Delivery{purchase("1"), purchase("2")}, taken: []string{"1", "2"},
			story: map[string]string{"1": "1:accepted", "2": "1:accepted"},
		},
		{
			name: "500 three times", answer: first(3, 500), push: []event.Delivery{purchase("1")}, taken: []string{"1"},
			story: map[string]string{"1": "1:retry/http_500 2:retry/http_500 3:retry/http_500 4:accepted"},
		},
		{
			name: "more attempts than the queue would give", answer: first(7, 500), push: []event.Delivery{purchase("1")}, taken: []string{"1"},
			config: func(d *Deps) { d.Config.Breaker = config.Breaker{Failures: 100, Window: 100, Delay: time.Second} },
			check: func(t *testing.T, w *world) {
				if rows := w.syncs.of("1"); len(rows) != 8 || rows[7].Outcome != event.Accepted {
					t.Errorf("story: %s", w.syncs.story("1"))
				}
			},
		},
		{
			name: "500 for ever", answer: first(1000, 500), push: []event.Delivery{purchase("1")},
			config: func(d *Deps) {
				d.Config.Retry.Attempts = 3
			},
			story: map[string]string{"1": "1:retry/http_500 2:retry/http_500 3:rejected/http_500"},
			dead:  map[string]string{"": "gave up after 3 attempts"},
		},
		{
			name: "timeouts", push: []event.Delivery{purchase("1")}, taken: []string{"1"},
			adapter: func(a *acme) { a.spec.Limits.Timeout = 100 * time.Millisecond },
			answer: func() answers {
				var asked atomic.Int32
				return func(_ http.ResponseWriter, r *http.Request, _ []string) bool {
					if asked.Add(1) == 1 {
						<-r.Context().Done()
						return false
					}
					return true
				}
			}(),
			story: map[string]string{"1": "1:retry/timeout 2:accepted"},
		},
		{
			name: "an answer cut in the middle", push: []event.Delivery{purchase("1")}, taken: []string{"1"},
			answer: func() answers {
				var asked atomic.Int32
				return func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
					if asked.Add(1) == 1 {
						w.Header().Set("Content-Length", "50")
						w.Write([]byte(`{"trunc`))
						return false
					}
					return true
				}
			}(),
			story: map[string]string{"1": "1:retry/unreachable 2:accepted"},
		},
		{
			name: "429 with Retry-After is waited for", answer: first(1, 429, "Retry-After", "1"),
			push: []event.Delivery{purchase("1")}, taken: []string{"1"},
			story: map[string]string{"1": "1:retry/http_429 2:accepted"},
			check: func(t *testing.T, w *world) {
				rows := w.syncs.of("1")
				if d := rows[1].At.Sub(rows[0].At); d < 950*time.Millisecond {
					t.Errorf("asked again after %s", d)
				}
			},
		},
		{
			name: "400 for one is dead at once", answer: first(1, 422), push: []event.Delivery{purchase("1")},
			story: map[string]string{"1": "1:rejected/http_422"}, dead: map[string]string{"": "http_422"},
		},
		{
			name: "an opaque 400 is halved until the culprit is alone",
			answer: func(w http.ResponseWriter, _ *http.Request, ids []string) bool {
				if strings.Contains(strings.Join(ids, " "), "bad") {
					w.WriteHeader(400)
					return false
				}
				return true
			},
			push:  []event.Delivery{purchase("1"), purchase("2"), purchase("bad"), purchase("4"), purchase("5"), purchase("6"), purchase("7")},
			taken: []string{"1", "2", "4", "5", "6", "7"},
			story: map[string]string{"1": "1:accepted", "7": "1:accepted", "bad": "1:rejected/http_400"},
			dead:  map[string]string{"": "http_400"},
		},
		{
			name: "413 is halved",
			answer: func(w http.ResponseWriter, _ *http.Request, ids []string) bool {
				if len(ids) > 2 {
					w.WriteHeader(413)
					return false
				}
				return true
			},
			push:  []event.Delivery{purchase("1"), purchase("2"), purchase("3"), purchase("4"), purchase("5")},
			taken: []string{"1", "2", "3", "4", "5"},
			story: map[string]string{"3": "1:accepted"},
		},
		{
			name:  "what the adapter can never send is dead, and its mates go on",
			push:  []event.Delivery{purchase("1"), purchase("2", func(d *event.Delivery) { d.Event.Name = "refuse" }), purchase("3", func(d *event.Delivery) { d.Event.Name = "keyless" })},
			taken: []string{"1"},
			story: map[string]string{"1": "1:accepted", "2": "0:rejected/no_currency", "3": "0:not_sent/no_key"},
			dead:  map[string]string{"": "no_currency"},
		},
		{
			name: "what is unsure is sent once more alone", push: []event.Delivery{purchase("1"), purchase("2")}, taken: []string{"1", "2"},
			adapter: func(a *acme) {
				a.decode = func(_ partner.Answer, sent []event.Delivery) partner.Receipt {
					if len(sent) == 2 {
						return partner.Receipt{Alone: true, Results: append(partner.All(sent[:1], event.Accepted, "", ""), partner.All(sent[1:], event.Retry, "unnamed", "")...)}
					}
					return partner.Receipt{Results: partner.All(sent, event.Accepted, "", "")}
				}
			},
			answer: func(_ http.ResponseWriter, _ *http.Request, ids []string) bool { return true },
			story:  map[string]string{"1": "1:accepted", "2": "1:accepted"},
			check: func(t *testing.T, w *world) {
				if n := w.server.asked(); n != 2 {
					t.Errorf("%d requests, want 2", n)
				}
				w.server.mu.Lock()
				w.server.taken["2"]-- // it was in both requests on purpose
				w.server.mu.Unlock()
			},
		},
		{
			name:  "too old",
			push:  []event.Delivery{purchase("1", func(d *event.Delivery) { d.Event.Time = time.Now().Add(-2 * time.Hour) }), purchase("2")},
			taken: []string{"2"}, story: map[string]string{"1": "0:rejected/too_old", "2": "1:accepted"},
			dead: map[string]string{"": "too_old: the event is older than the 1h0m0s that Acme takes"},
		},
		{
			name: "too old by the time it could be tried again", answer: first(1000, 503, "Retry-After", "600"),
			push:  []event.Delivery{purchase("1", func(d *event.Delivery) { d.Event.Time = time.Now().Add(-55 * time.Minute) })},
			story: map[string]string{"1": "1:rejected/http_503"}, dead: map[string]string{"": "would be older"},
		},
		{
			name:  "a message that cannot be read is buried alone",
			push:  []event.Delivery{purchase("1"), {Partner: "acme"}, purchase("2")},
			taken: []string{"1", "2"}, dead: map[string]string{"": "cannot be decoded"},
		},
		{
			name:  "groups do not share a request",
			push:  []event.Delivery{purchase("1", func(d *event.Delivery) { d.Params = []byte(`{"a":1}`) }), purchase("2", func(d *event.Delivery) { d.Params = []byte(`{"a":2}`) })},
			taken: []string{"1", "2"},
			check: func(t *testing.T, w *world) {
				if n := w.server.asked(); n != 2 {
					t.Errorf("%d requests, want 2", n)
				}
			},
		},
		{
			name:  "the same event twice in the queue is sent once",
			push:  []event.Delivery{purchase("1"), purchase("1"), purchase("2")},
			taken: []string{"1", "2"}, story: map[string]string{"1": "1:accepted"},
		},
		{
			name: "consent that was never there", push: []event.Delivery{purchase("1", func(d *event.Delivery) {
				d.Event.Verdict = event.Verdict{State: event.Full, Regime: "gdpr", Rule: "R1/G5"}
			}), purchase("2")},
			taken: []string{"2"}, story: map[string]string{"1": "0:not_sent/consent", "2": "1:accepted"},
			check: func(t *testing.T, w *world) {
				if m := w.syncs.of("1")[0].Message; !strings.HasPrefix(m, "not sent: consent: ") {
					t.Errorf("message %q", m)
				}
			},
		},
		{
			name: "a permission is never widened", push: []event.Delivery{purchase("1", func(d *event.Delivery) { d.Permission = event.Denied })},
			story: map[string]string{"1": "0:not_sent/consent"},
		},
		{
			name: "a pixel that was removed", push: []event.Delivery{purchase("1", func(d *event.Delivery) { d.Event.PixelID = "gone" })},
			story: map[string]string{"1": "0:not_sent/pixel_removed"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(d *Deps) {
				if c.adapter != nil {
					a := acme{spec: spec("acme")}
					c.adapter(&a)
					d.Adapters = []partner.Adapter{a}
				}
				if c.config != nil {
					c.config(d)
				}
			})
			w.server.set(c.answer)
			w.push(c.push...)
			w.start()
			w.done()
			for id, want := range c.story {
				if got := w.syncs.story(id); got != want {
					t.Errorf("event %s: %s, want %s", id, got, want)
				}
			}
			if c.check != nil {
				c.check(t, w)
			}
			w.once(c.taken...)
			dead := w.dead()
			if len(dead) != len(c.dead) {
				t.Errorf("%d dead letters, want %d: %+v", len(dead), len(c.dead), dead)
			}
			for _, want := range c.dead {
				if len(dead) > 0 && !strings.Contains(dead[0].Reason, want) {
					t.Errorf("dead because %q, want %q", dead[0].Reason, want)
				}
			}
		})
	}
}

func TestALineOfTheSyncLogTellsTheRequest(t *testing.T) {
	w := setup(t)
	w.server.set(func(w http.ResponseWriter, _ *http.Request, _ []string) bool {
		w.Header().Set("X-Request-Id", "req-7")
		w.WriteHeader(201)
		w.Write([]byte(strings.Repeat("é", 3000)))
		return true
	})
	w.push(purchase("1"))
	w.start()
	w.done()
	rows := w.syncs.of("1")
	if len(rows) != 1 {
		t.Fatalf("rows: %+v", rows)
	}
	s := rows[0]
	if s.Status != 201 || s.RequestID != "req-7" || len(s.Payload) != 64 || s.Latency <= 0 || s.OrderID != "o-1" || s.Partner != "acme" || s.PixelID != "px" || s.At.IsZero() {
		t.Errorf("%+v", s)
	}
	if len(s.Answer) > maxAnswer || len(s.Answer) < maxAnswer-2 || strings.Contains(s.Answer, "\uFFFD") {
		t.Errorf("answer of %d bytes", len(s.Answer))
	}
}

func TestSwitchedOffWhileQueued(t *testing.T) {
	w := setup(t)
	w.site.mode("acme", settings.Hold)
	w.push(purchase("1"))
	w.start()
	<-time.After(300 * time.Millisecond)
	if s := w.stats()["s2s:acme"]; s.Ready != 1 || w.server.asked() != 0 {
		t.Fatalf("on hold: %+v, %d requests", s, w.server.asked())
	}
	w.site.mode("acme", settings.Off)
	w.done()
	if s := w.syncs.of("1"); len(s) != 1 || s[0].Message != "not sent: partner is off" || s[0].Code != "partner_off" || s[0].Attempt != 0 || s[0].Outcome != event.NotSent {
		t.Errorf("%+v", s)
	}
	// Switched on again, what was decided stays decided.
	w.site.mode("acme", settings.On)
	w.push(purchase("1"), purchase("2"))
	w.done()
	w.once("2")
}

func TestOnHoldThenReleased(t *testing.T) {
	w := setup(t)
	w.site.mode("acme", settings.Hold)
	w.push(purchase("1"))
	w.start()
	<-time.After(300 * time.Millisecond)
	w.site.mode("acme", settings.On)
	w.done()
	w.once("1")
}

func TestConsentWithdrawnWhileQueued(t *testing.T) {
	w := setup(t)
	w.site.mode("acme", settings.Hold)
	w.push(purchase("1"), purchase("2"), purchase("server", func(d *event.Delivery) {
		d.Event.Subject = event.Subject{VisitorID: "visitor-1"}
	}))
	w.start()
	if err := withdraw(t.Context(), w.keys, consent.Visitor{PixelID: "px", ID: "visitor-1"}); err != nil {
		t.Fatal(err)
	}
	w.site.mode("acme", settings.On)
	w.done()
	w.once("2")
	for _, id := range []string{"1", "server"} {
		if got := w.syncs.story(id); got != "0:not_sent/consent" {
			t.Errorf("%s: %s", id, got)
		}
	}
}

func TestConsentWithdrawnBetweenAttempts(t *testing.T) {
	w := setup(t, func(d *Deps) { d.Config.Retry.Min, d.Config.Retry.Max = time.Second, time.Second })
	w.server.set(first(1, 500))
	w.push(purchase("1"))
	w.start()
	w.until("the first attempt", func() bool { return w.syncs.story("1") != "" })
	if err := withdraw(t.Context(), w.keys, consent.Visitor{PixelID: "px", ID: "visitor-1"}); err != nil {
		t.Fatal(err)
	}
	w.done()
	w.once()
	if got := w.syncs.story("1"); got != "0:not_sent/consent 1:retry/http_500" {
		t.Errorf("story %s", got)
	}
}

func TestAReplayKeepsTheStoryAndIsHarmless(t *testing.T) {
	w := setup(t)
	w.server.set(first(1, 422))
	w.push(purchase("1"))
	w.start()
	w.done()
	dead := w.dead()
	if len(dead) != 1 {
		t.Fatalf("%+v", dead)
	}
	if _, err := w.queue.Revive(t.Context(), queue.PartnerDead("acme"), dead[0].ID); err != nil {
		t.Fatal(err)
	}
	w.until("the replay", func() bool { return w.server.got()["1"] == 1 })
	w.done()
	if got := w.syncs.story("1"); got != "1:rejected/http_422 2:accepted" {
		t.Errorf("story %s", got)
	}
	// Whoever replays it once more does no harm.
	w.push(purchase("1"))
	w.done()
	w.once("1")
}

// A dispatcher that is killed after the partner answered and the record was
// written, but before the queue was told, must not send again.
func TestKilledBetweenSendAndAck(t *testing.T) {
	w := setup(t)
	broken := &noAck{Queue: w.queue}
	w.deps.Queue = broken
	w.push(purchase("1"))
	w.start()
	w.until("the first ack", func() bool { return broken.tried.Load() > 0 })
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	w.x.Stop(ctx)
	// The message is held until its lease ends; then another dispatcher gets it.
	w.deps.Queue = w.queue
	w.start()
	w.done()
	w.once("1")
	if got := w.syncs.story("1"); got != "1:accepted" {
		t.Errorf("story %s", got)
	}
}

type noAck struct {
	queue.Queue
	tried atomic.Int32
}

func (q *noAck) Settle(context.Context, string, ...queue.End) error {
	q.tried.Add(1)
	return errors.New("killed")
}

// The sync log is away while the partner takes the event: it must neither be
// sent again nor be forgotten.
func TestTheSyncLogIsAway(t *testing.T) {
	w := setup(t)
	w.syncs.fail(errors.New("disk full"))
	w.push(purchase("1"))
	w.start()
	w.until("the record", func() bool {
		v, err := w.keys.Get(t.Context(), "sent:acme:px:1")
		return err == nil && v[0] != nil && strings.Contains(string(v[0]), `"l":true`)
	})
	w.syncs.fail(nil)
	// Its message waits half a minute; a copy is as good and comes sooner.
	w.push(purchase("1"))
	w.until("the line", func() bool { return w.syncs.story("1") != "" })
	if got := w.syncs.story("1"); got != "1:accepted/logged_late" {
		t.Errorf("story %s", got)
	}
	w.once("1")
}

func TestTheBreakerPausesOnlyItsLane(t *testing.T) {
	w := setup(t, func(d *Deps) { d.Config.Breaker.Delay = 500 * time.Millisecond })
	var healthy atomic.Bool
	w.server.set(func(rw http.ResponseWriter, _ *http.Request, _ []string) bool {
		if !healthy.Load() {
			rw.WriteHeader(500)
		}
		return healthy.Load()
	})
	var list []event.Delivery
	var ids []string
	for i := range 40 {
		ids = append(ids, fmt.Sprint(i))
		list = append(list, purchase(ids[i]))
	}
	w.push(list...)
	w.start()
	state := func() lanestatus.Status { return w.x.Status()[0] }
	w.until("the breaker opens", func() bool { return state().Breaker == lanestatus.Open })
	asked := w.server.asked()
	if asked > 7 {
		t.Errorf("%d requests before the breaker opened", asked)
	}
	<-time.After(300 * time.Millisecond)
	if n := w.server.asked(); n > asked+2 {
		t.Errorf("%d requests while the breaker was open", n-asked)
	}
	healthy.Store(true)
	w.done()
	w.once(ids...)
	if s := state(); s.Breaker != lanestatus.Closed || s.Success != 40 || s.InFlight != 0 || len(s.Answers) != 5 {
		t.Errorf("%+v", s)
	}
}

func TestRefusedCredentialsPauseTheLaneAndBuryNothing(t *testing.T) {
	w := setup(t)
	w.server.set(first(1, 403))
	w.push(purchase("1"), purchase("2"))
	w.start()
	w.until("the pause", func() bool { return w.x.Status()[0].Paused != "" })
	<-time.After(400 * time.Millisecond)
	if n := w.server.asked(); n != 1 {
		t.Errorf("%d requests while paused", n)
	}
	if got := w.syncs.story("1"); got != "1:retry/forbidden" {
		t.Errorf("story %s", got)
	}
	if len(w.dead()) != 0 {
		t.Errorf("buried: %+v", w.dead())
	}
	// Somebody saves the partner's settings, and it goes on at once.
	w.site.mode("acme", settings.On)
	w.done()
	w.once("1", "2")
	if s := w.x.Status()[0]; s.Paused != "" {
		t.Errorf("still paused: %s", s.Paused)
	}
}

func TestASlowPartnerDelaysNoOther(t *testing.T) {
	w := setup(t)
	other := &endpoint{taken: map[string]int{}}
	slow := spec("slow")
	slow.Limits.Timeout = 30 * time.Second
	w.deps.Adapters = append(w.deps.Adapters, acme{spec: slow})
	w.deps.Partners["slow"] = config.Partner{Endpoint: w.serve(other)}
	release := make(chan struct{})
	other.set(func(http.ResponseWriter, *http.Request, []string) bool { <-release; return true })
	var ids []string
	for i := range 50 {
		ids = append(ids, fmt.Sprint(i))
		w.push(purchase(ids[i]), purchase(ids[i], func(d *event.Delivery) { d.Partner = "slow" }))
	}
	w.start()
	start := time.Now()
	w.done()
	t.Logf("50 events to one partner while the other does not answer: %s", time.Since(start))
	w.once(ids...)
	if len(other.got()) != 0 {
		t.Errorf("the slow partner took %v", other.got())
	}
	close(release)
	w.until("the slow partner too", func() bool { return len(other.got()) == 50 })
}

func TestStopHandsBackWhatWasNotBegunAndFinishesTheRest(t *testing.T) {
	w := setup(t, func(d *Deps) { d.Config.Concurrency = 1 })
	begun, goOn := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	w.server.set(func(http.ResponseWriter, *http.Request, []string) bool {
		if n.Add(1) == 1 {
			close(begun)
			<-goOn
		}
		return true
	})
	w.push(purchase("1"))
	w.start()
	<-begun
	w.push(purchase("2"))
	stopped := make(chan error)
	go func() { stopped <- w.x.Stop(context.Background()) }()
	<-time.After(50 * time.Millisecond)
	close(goOn)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	w.once("1")
	if s := w.stats()["s2s:acme"]; s.Ready != 1 || s.InFlight != 0 {
		t.Errorf("after the stop: %+v", s)
	}
}

func TestStopCutsShortWhatTakesTooLong(t *testing.T) {
	w := setup(t)
	w.server.set(func(_ http.ResponseWriter, r *http.Request, _ []string) bool {
		<-r.Context().Done()
		return false
	})
	w.push(purchase("1"))
	w.start()
	w.until("the request", func() bool { return w.server.asked() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := w.x.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop: %v", err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("Stop took %s", d)
	}
	if s := w.stats()["s2s:acme"]; s.Ready != 1 {
		t.Errorf("after the stop: %+v", s)
	}
}

// withdraw is what POST /consent does when a visitor withdraws.
func withdraw(ctx context.Context, keys state.Keys, visitor consent.Visitor) error {
	book := consent.NewBook(keys, consent.New(consent.Options{}), []byte("seal"))
	_, err := book.Decide(ctx, consent.Change{
		Visitor: visitor, Verdict: consent.Revoked(), At: time.Now(),
	})
	return err
}

package dispatcher

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

func named(name string) func(*event.Delivery) {
	return func(d *event.Delivery) { d.Event.Name = name }
}

func TestARouteOnHoldParksItsOwnAndDelaysNoOther(t *testing.T) {
	w := setup(t)
	w.site.route(settings.Route{Partner: "acme", Event: "sign_up", Mode: settings.Hold})
	for i := range 20 {
		w.push(purchase(fmt.Sprint("held-", i), named("sign_up")), purchase(fmt.Sprint("free-", i)))
	}
	w.start()
	w.until("the others", func() bool { return len(w.server.got()) == 20 })
	w.until("the parked", func() bool { return w.stats()["hold:acme"].Ready == 20 })
	// A visitor withdraws meanwhile.
	if err := withdraw(t.Context(), w.keys, consent.Visitor{PixelID: "px", ID: "visitor-held-3"}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	w.site.route(settings.Route{Partner: "acme", Event: "sign_up", Enabled: true})
	w.until("the released", func() bool { return len(w.server.got()) == 39 })
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("released after %s", d)
	}
	w.done()
	if got := w.syncs.story("held-3"); got != "0:not_sent/consent" {
		t.Errorf("the one who withdrew: %s", got)
	}
	if s := w.stats()["hold:acme"]; s.Ready+s.InFlight+s.Delayed != 0 {
		t.Errorf("still parked: %+v", s)
	}
}

func TestARouteStaysOnHoldWhileAnotherIsReleased(t *testing.T) {
	w := setup(t)
	hold := func(events ...string) {
		w.site.mu.Lock()
		defer w.site.mu.Unlock()
		p := w.site.pixels["px"]
		p.Routes = []settings.Route{{Partner: "acme", Event: "a", Enabled: true}, {Partner: "acme", Event: "b", Enabled: true}}
		for i := range p.Routes {
			for _, e := range events {
				if p.Routes[i].Event == e {
					p.Routes[i].Set(settings.Hold)
				}
			}
		}
		w.site.pixels["px"] = p
	}
	hold("a", "b")
	for i := range 10 {
		w.push(purchase(fmt.Sprint("a", i), named("a")), purchase(fmt.Sprint("b", i), named("b")))
	}
	w.start()
	w.until("all are parked", func() bool { return w.stats()["hold:acme"].Ready == 20 })
	hold("a")
	w.until("b goes", func() bool { return len(w.server.got()) == 10 })
	w.until("a stays", func() bool { return w.stats()["hold:acme"].Ready == 10 })
	// Another dispatcher starts, and looks through what waits.
	w.start()
	hold()
	w.until("a goes", func() bool { return len(w.server.got()) == 20 })
	w.done()
	for id, n := range w.server.got() {
		if n != 1 {
			t.Errorf("%s was taken %d times", id, n)
		}
	}
}

func TestARouteThatIsOffOrGone(t *testing.T) {
	w := setup(t)
	w.site.route(settings.Route{Partner: "acme", Event: "sign_up"})
	w.push(purchase("1", named("sign_up")), purchase("2"))
	w.start()
	w.done()
	w.once("2")
	if got := w.syncs.story("1"); got != "0:not_sent/route_off" {
		t.Errorf("story %s", got)
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	w := setup(t, func(d *Deps) { d.Config.HoldMax = 10 })
	w.site.mode("acme", settings.Hold)
	var list []event.Delivery
	for i := range 25 {
		list = append(list, purchase(fmt.Sprint(i)))
	}
	w.push(list...)
	w.start()
	w.until("the surplus is given up", func() bool {
		s := w.stats()["s2s:acme"]
		return s.Ready == 10 && s.InFlight == 0
	})
	for i := range 25 {
		want := ""
		if i < 15 { // the oldest
			want = "0:not_sent/hold_full"
		}
		if got := w.syncs.story(fmt.Sprint(i)); got != want {
			t.Errorf("%d: %s", i, got)
		}
	}
	w.site.mode("acme", settings.On)
	w.done()
	if n := len(w.server.got()); n != 10 {
		t.Errorf("%d were sent", n)
	}
}

func TestADryRunShowsThePayloadAndSendsNothing(t *testing.T) {
	for _, where := range []string{"partner", "pixel", "route"} {
		t.Run(where, func(t *testing.T) {
			w := setup(t)
			w.site.mu.Lock()
			p := w.site.pixels["px"]
			p.Routes = []settings.Route{{Partner: "acme", Event: "*", Enabled: true, Dry: where == "route"}}
			p.Dry = where == "pixel"
			w.site.pixels["px"] = p
			w.site.partners["acme"] = settings.Partner{Name: "acme", Mode: settings.On, Dry: where == "partner"}
			w.site.mu.Unlock()
			w.push(purchase("1"), purchase("2", named("refuse")), purchase("3", named("keyless")))
			w.start()
			w.done()
			w.once()
			s := w.syncs.of("1")[0]
			if s.Outcome != event.Dry || s.Code != "dry_run" || s.Request != `["1"]` || s.Attempt != 0 || !strings.Contains(s.Message, where) || !strings.HasPrefix(s.Answer, "POST http") {
				t.Errorf("%+v", s)
			}
			if got := w.syncs.story("2") + " " + w.syncs.story("3"); got != "0:dry/no_currency 0:not_sent/no_key" {
				t.Errorf("stories %s", got)
			}
			if len(w.dead()) != 0 {
				t.Errorf("dead: %+v", w.dead())
			}
		})
	}
}

// accounts is a site whose partner has credentials by account.
type accounts struct{ *site }

func (accounts) Credentials(_ settings.Partner, account string) (map[string]string, error) {
	return map[string]string{"name": account}, nil
}

// byAccount is acme that sends each account to its own path.
type byAccount struct{ acme }

func (a byAccount) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	b.Endpoint += "/" + b.Credentials["name"]
	return a.acme.Encode(ctx, b)
}

func TestAnAccountWithoutRightsHoldsUpNoOther(t *testing.T) {
	w := setup(t)
	w.deps.Settings = accounts{w.site}
	w.deps.Adapters = []partner.Adapter{byAccount{acme{spec: spec("acme")}}}
	w.server.set(func(rw http.ResponseWriter, r *http.Request, _ []string) bool {
		if r.URL.Path == "/closed" {
			rw.WriteHeader(403)
			return false
		}
		return true
	})
	var list []event.Delivery
	for i := range 30 {
		list = append(list, purchase(fmt.Sprint("closed-", i), func(d *event.Delivery) { d.Account = "closed" }))
	}
	for i := range 30 {
		list = append(list, purchase(fmt.Sprint("open-", i), func(d *event.Delivery) { d.Account = "eu" }), purchase(fmt.Sprint("own-", i)))
	}
	w.push(list...)
	w.start()
	w.until("the others", func() bool { return len(w.server.got()) == 60 })
	paused := map[string]bool{}
	for _, s := range w.x.Status() {
		paused[s.Account] = s.Paused != ""
	}
	if !paused["closed"] || paused["eu"] || paused[""] {
		t.Errorf("paused: %v", paused)
	}
	w.until("only those wait", func() bool { s := w.stats()["s2s:acme"]; return s.Ready+s.InFlight+s.Delayed == 30 })
	if len(w.dead()) != 0 {
		t.Errorf("dead %v", w.dead())
	}
	if m, _ := lanestatus.Merge(w.x.Status(), "acme"); m.Paused == "" {
		t.Error("the partner shows no pause")
	}
}

func TestA429DoesNotCountTowardsGivingUp(t *testing.T) {
	w := setup(t, func(d *Deps) {
		d.Config.Retry.Attempts = 1
	})
	w.server.set(first(2, 429))
	w.push(purchase("1"))
	w.start()
	w.done()
	w.once("1")
	if got := w.syncs.story("1"); !strings.HasPrefix(got, "1:retry/http_429") || !strings.HasSuffix(got, " 3:accepted") {
		t.Errorf("story %s", got)
	}
}

// racing lets another replica take the record
// just before it is swapped.
type racing struct {
	state.Keys
	at    int // the swap before which it does
	mu    sync.Mutex
	swaps int
}

func (r *racing) SwapAll(ctx context.Context, changes ...state.Change) ([][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		if !strings.HasPrefix(c.Key, "sent:") {
			continue
		}
		if r.swaps++; r.swaps == r.at {
			// Another replica was faster.
			body, _ := json.Marshal(record{State: held, Holder: "theirs", Until: time.Now().Add(2 * time.Second)})
			if err := r.Keys.Set(ctx, state.Entry{Key: c.Key, Value: body, TTL: time.Hour}); err != nil {
				return nil, err
			}
		}
	}
	return r.Keys.SwapAll(ctx, changes...)
}

// lost waits for the race, and for what follows from it.
func (r *racing) lost(w *world) {
	w.t.Helper()
	w.until("the race", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.swaps > 0 })
	<-time.After(300 * time.Millisecond)
	if n := w.server.asked(); n != 0 {
		w.t.Errorf("%d requests though another holds it", n)
	}
	w.done() // the other never came to an end
	w.once("1")
}

func TestOfTwoReplicasThatTakeACopyAtOnceOneSends(t *testing.T) {
	w := setup(t)
	r := &racing{Keys: w.keys, at: 1}
	w.deps.Keys = r
	j := &job{delivery: purchase("1")}
	body, _ := json.Marshal(record{State: free, Attempts: 1})
	if err := w.keys.Set(t.Context(), state.Entry{Key: "sent:acme:" + j.delivery.Event.PixelID + ":" + j.delivery.Event.ID, Value: body, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.push(purchase("1"))
	w.start()
	r.lost(w)
}

// Whoever was stopped between his check and his request finds, just before it, that
// another has taken over.
func TestWhatAnotherTookOverSinceTheCheckIsNotSent(t *testing.T) {
	w := setup(t, func(d *Deps) { d.Adapters = []partner.Adapter{newKeyless(false)} })
	r := &racing{Keys: w.keys, at: 1} // the first is the mark: nothing stood before
	w.deps.Keys = r
	w.push(purchase("1"))
	w.start()
	r.lost(w)
}

// teller is acme whose partner tells later what became of a request.
type teller struct {
	acme
	after time.Duration
}

func (a teller) Decode(answer partner.Answer, sent []event.Delivery) partner.Receipt {
	r := partner.Sort(answer, sent)
	r.AskAfter, r.RequestID = a.after, "req-"+sent[0].Event.ID
	return r
}

func (teller) Ask(ctx context.Context, b partner.Batch, id string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodGet, b.Endpoint+"/status/"+id, nil)
}

func (a teller) Hear(answer partner.Answer, asked []event.Delivery) partner.Receipt {
	if answer.Status == 202 {
		return partner.Receipt{AskAfter: a.after}
	}
	var r partner.Receipt
	for _, d := range asked {
		res := partner.Result{EventID: d.Event.ID, Outcome: event.Accepted}
		if strings.HasPrefix(d.Event.ID, "bad") {
			res.Outcome, res.Code, res.Message = event.Rejected, "NO_MATCH", "refused after all"
		}
		r.Results = append(r.Results, res)
	}
	return r
}

func TestAnOutcomeThatIsToldLaterIsAskedForThroughTheQueue(t *testing.T) {
	w := setup(t)
	w.deps.Adapters = []partner.Adapter{teller{acme{spec: spec("acme")}, 1500 * time.Millisecond}}
	status := func(paths *[]string, mu *sync.Mutex) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				w.server.ServeHTTP(rw, r)
				return
			}
			mu.Lock()
			*paths = append(*paths, r.URL.Path)
			if len(*paths) == 1 {
				rw.WriteHeader(202) // not yet
			}
			mu.Unlock()
		}
	}
	var mu sync.Mutex
	var paths []string
	w.deps.Partners = map[string]config.Partner{"acme": {Endpoint: w.serve(status(&paths, &mu))}}
	w.push(purchase("1"), purchase("bad-2"))
	w.start()
	w.until("it is taken", func() bool { return w.syncs.story("1") == "1:unverified" })
	if s := w.stats()["s2s:acme"]; s.Ready+s.InFlight+s.Delayed != 2 {
		t.Errorf("the messages are gone before the outcome is known: %+v", s)
	}
	if m := w.syncs.of("1")[0].Message; !strings.HasPrefix(m, "accepted, unverified") {
		t.Errorf("message %q", m)
	}
	// Another dispatcher may be the one that asks.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	w.x.Stop(ctx)
	w.start()
	w.done()
	w.once("1", "bad-2")
	if a, b := w.syncs.story("1"), w.syncs.story("bad-2"); a != "1:unverified 2:accepted" || b != "1:unverified 2:rejected/NO_MATCH" {
		t.Errorf("stories %s; %s", a, b)
	}
	if dead := w.dead(); len(dead) != 1 || !strings.Contains(dead[0].Reason, "refused after all") {
		t.Errorf("dead %+v", dead)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(paths) < 2 || !strings.HasPrefix(paths[0], "/status/req-") {
		t.Errorf("asked %v", paths)
	}
}

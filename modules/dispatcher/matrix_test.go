package dispatcher

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/amazon"
	"github.com/miq/pixel/modules/partner/dv360"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/partner/yahoo"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// The consent matrix: every state of consent under every regime for every partner's
// needs, with consent revoked at ingest, in the queue, before a retry, before a
// replay and between a request and its halves. Nothing leaves after the revocation; and without one, what may leave does,
// or else the matrix would prove nothing.
func TestTheConsentMatrix(t *testing.T) {
	w := setup(t)
	w.site.mu.Lock()
	w.site.pixels = map[string]settings.Pixel{
		"px": {ID: "px", ConsentMode: settings.Implied}, "gcm": {ID: "gcm", ConsentMode: settings.GCM},
	}
	w.site.mu.Unlock()
	w.deps.Adapters, w.deps.Partners = nil, map[string]config.Partner{}
	var partners []string
	for _, a := range []partner.Adapter{dv360.New(), ttd.New(), yahoo.New(), amazon.New()} {
		s := spec(a.Spec().Name)
		s.Consent = a.Spec().Consent
		partners = append(partners, s.Name)
		w.deps.Adapters = append(w.deps.Adapters, acme{spec: s})
		w.deps.Partners[s.Name] = config.Partner{Endpoint: w.url}
	}
	w.deps.Config.Retry = config.Retry{Min: 300 * time.Millisecond, Max: 300 * time.Millisecond, Attempts: 50}
	w.deps.Config.Breaker = config.Breaker{Failures: 1000, Window: 1000, Delay: time.Second}

	granted := event.ConsentMode{AdStorage: "granted", AdUserData: "granted", AdPersonalization: "granted", AnalyticsStorage: "granted"}
	denied := event.ConsentMode{AdStorage: "denied", AdUserData: "denied", AdPersonalization: "denied", AnalyticsStorage: "granted"}
	// Each kind is a state under a regime with the signals that make it.
	kinds := map[string]func(*event.Event){}
	for _, state := range []event.State{event.None, event.Partial, event.Full} {
		for _, regime := range []string{"gdpr", "us", "default"} {
			kinds[string(state)+"/"+regime] = func(e *event.Event) {
				e.Verdict = event.Verdict{State: state, Regime: regime, Rule: "test"}
				switch regime {
				case "gdpr":
					e.PixelID = "gcm"
					if e.Consent.GCM = denied; state == event.Full {
						e.Consent.GCM = granted
					}
				case "us":
					if state != event.Full {
						e.Consent.GPC = true
					}
				}
			}
		}
	}
	var all []event.Delivery
	make := func(when string) (list []event.Delivery, visitors []consent.Visitor) {
		for kind, set := range kinds {
			for _, p := range partners {
				id := when + "/" + kind + "/" + p
				d := purchase(id, func(d *event.Delivery) {
					d.Partner = p
					d.Params = []byte(fmt.Sprintf("%q", when)) // so that they share no request
					set(&d.Event)
				})
				list = append(list, d)
				visitors = append(visitors, consent.Visitor{PixelID: d.Event.PixelID, ID: d.Event.Subject.AnonymousID})
			}
		}
		all = append(all, list...)
		return list, visitors
	}
	revoke := func(visitors []consent.Visitor) (asked int) {
		t.Helper()
		for _, v := range visitors {
			if err := withdraw(t.Context(), w.keys, v); err != nil {
				t.Fatal(err)
			}
		}
		return w.server.asked()
	}
	// leaves fails where an event of a time is in a request that was made after so
	// many others.
	leaves := func(when string, after int) {
		t.Helper()
		w.server.mu.Lock()
		defer w.server.mu.Unlock()
		for _, ids := range w.server.requests[after:] {
			for _, id := range ids {
				if strings.HasPrefix(id, when+"/") {
					t.Errorf("%s left after consent was revoked", id)
				}
			}
		}
	}
	drained := func() {
		t.Helper()
		for _, p := range partners {
			w.until(p+" is drained", func() bool {
				s := w.stats()["s2s:"+p]
				return s.Ready+s.InFlight+s.Delayed == 0
			})
		}
	}
	switchAll := func(m settings.Mode) {
		for _, p := range partners {
			w.site.mode(p, m)
		}
	}
	w.server.set(func(rw http.ResponseWriter, _ *http.Request, ids []string) bool {
		switch {
		case strings.HasPrefix(ids[0], "retry/"):
			rw.WriteHeader(500)
			return false
		case strings.HasPrefix(ids[0], "replay/"):
			rw.WriteHeader(422)
			return false
		}
		return true
	})
	w.start()

	control, _ := make("never")
	w.push(control...)
	drained()
	sent := map[string]int{}
	for id := range w.server.got() {
		sent[strings.Join(strings.Split(id, "/")[1:3], "/")]++
	}
	t.Logf("without a revocation, partners that got it of %d: %v", len(partners), sent)
	if sent["full/default"] != len(partners) || sent["full/us"] != len(partners) || sent["full/gdpr"] == 0 {
		t.Errorf("what may leave does not: %v", sent)
	}
	for kind, n := range sent {
		if strings.HasPrefix(kind, "none/") {
			t.Errorf("%s left %d times", kind, n)
		}
	}

	ingest, visitors := make("ingest")
	after := revoke(visitors)
	w.push(ingest...)
	drained()
	leaves("ingest", after)

	switchAll(settings.Hold)
	<-time.After(100 * time.Millisecond)
	waiting, visitors := make("queue")
	w.push(waiting...)
	after = revoke(visitors)
	switchAll(settings.On)
	drained()
	leaves("queue", after)

	retried, visitors := make("retry")
	w.push(retried...)
	w.until("the first attempts", func() bool {
		for _, p := range partners {
			if s := w.syncs.story("retry/full/default/" + p); s == "" {
				return false
			}
		}
		return true
	})
	// One that is under way now left before.
	switchAll(settings.Hold)
	w.until("nothing is under way", func() bool {
		for _, p := range partners {
			if w.stats()["s2s:"+p].InFlight > 0 {
				return false
			}
		}
		return true
	})
	<-time.After(100 * time.Millisecond)
	after = revoke(visitors)
	switchAll(settings.On)
	drained()
	leaves("retry", after)

	replayed, visitors := make("replay")
	w.push(replayed...)
	drained()
	after = revoke(visitors)
	w.server.set(nil)
	revived := 0
	for _, p := range partners {
		letters, _, err := w.queue.Dead(t.Context(), queue.PartnerDead(p), "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, l := range letters {
			ids = append(ids, l.ID)
		}
		n, err := w.queue.Revive(t.Context(), queue.PartnerDead(p), ids...)
		if err != nil {
			t.Fatal(err)
		}
		revived += n
	}
	if revived < len(partners) {
		t.Errorf("only %d were replayed", revived)
	}
	drained()
	leaves("replay", after)

	// Revoked while the first request is under way, whose answer asks for halves, or
	// for another attempt where it is about one event.
	refused := 0
	w.server.set(func(rw http.ResponseWriter, _ *http.Request, ids []string) bool {
		if !strings.HasPrefix(ids[0], "half/") {
			return true
		}
		for _, id := range ids {
			pixel := "px"
			if strings.Contains(id, "/gdpr/") {
				pixel = "gcm"
			}
			if err := withdraw(context.Background(), w.keys, consent.Visitor{PixelID: pixel, ID: "visitor-" + id}); err != nil {
				t.Error(err)
			}
		}
		status := http.StatusInternalServerError
		if len(ids) > 1 {
			status = http.StatusBadRequest
		}
		rw.WriteHeader(status)
		return false
	})
	switchAll(settings.Hold)
	<-time.After(100 * time.Millisecond)
	halved, _ := make("half")
	w.push(halved...)
	switchAll(settings.On)
	drained()
	left := map[string]int{}
	w.server.mu.Lock()
	for _, ids := range w.server.requests {
		if strings.HasPrefix(ids[0], "half/") && len(ids) > 1 {
			refused++
		}
		for _, id := range ids {
			left[id]++
		}
	}
	w.server.mu.Unlock()
	if refused == 0 {
		t.Error("no request was to be halved")
	}
	for id, n := range left {
		if strings.HasPrefix(id, "half/") && n > 1 {
			t.Errorf("%s left %d times, though consent was revoked after the first", id, n)
		}
	}

	// Each of them has a last line that says why.
	for _, d := range all {
		id := d.Event.ID
		rows := w.syncs.of(id)
		rows = slices.DeleteFunc(rows, func(s event.Sync) bool { return s.Partner != d.Partner })
		if len(rows) == 0 {
			t.Errorf("%s has no line", id)
		} else if !strings.HasPrefix(id, "never/") && !slices.ContainsFunc(rows, func(s event.Sync) bool { return s.Outcome == event.NotSent && s.Code == "consent" }) {
			t.Errorf("%s: %s", id, w.syncs.story(id))
		}
	}
}

package dispatcher

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/freeaddr"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// keyless is a partner that drops no repeats.
type keyless struct {
	acme
	resends bool
}

func (k keyless) ResendsUnknown(jsontext.Value) bool { return k.resends }

func newKeyless(resends bool) keyless {
	k := keyless{acme{spec: spec("acme")}, resends}
	k.spec.DedupeKey, k.spec.Limits.Timeout = "", 100*time.Millisecond
	return k
}

// silentAt takes the first request and does not answer it.
func silentAt() answers {
	var asked atomic.Int32
	return func(_ http.ResponseWriter, r *http.Request, _ []string) bool {
		if asked.Add(1) == 1 {
			<-r.Context().Done()
		}
		return true
	}
}

func TestWithoutADedupeKeyWhatMayHaveBeenCountedIsNotSentAgain(t *testing.T) {
	w := setup(t, func(d *Deps) { d.Adapters = []partner.Adapter{newKeyless(false)} })
	w.server.set(silentAt())
	w.push(purchase("1"))
	w.start()
	w.done()
	w.once("1")
	if got := w.syncs.story("1"); got != "1:rejected/unknown_outcome" {
		t.Errorf("story %s", got)
	}
	dead := w.dead()
	if len(dead) != 1 || !strings.Contains(dead[0].Reason, "did not answer in time") || !strings.Contains(dead[0].Reason, "replay it if it was not counted") {
		t.Fatalf("dead: %+v", dead)
	}
	// Whoever finds that it was not counted replays it.
	if _, err := w.queue.Revive(t.Context(), queue.PartnerDead("acme"), dead[0].ID); err != nil {
		t.Fatal(err)
	}
	w.done()
	if got := w.syncs.story("1"); got != "1:rejected/unknown_outcome 2:accepted" {
		t.Errorf("story %s", got)
	}
}

func TestWithoutADedupeKeyItIsSentAgainWhereThatIsSet(t *testing.T) {
	w := setup(t, func(d *Deps) { d.Adapters = []partner.Adapter{newKeyless(true)} })
	w.server.set(silentAt())
	w.push(purchase("1"))
	w.start()
	w.done()
	if got := w.syncs.story("1"); got != "1:retry/timeout 2:accepted" {
		t.Errorf("story %s", got)
	}
	if m := w.syncs.of("1")[0].Message; !strings.Contains(m, "may count twice") {
		t.Errorf("message %q", m)
	}
	if got := w.server.got(); got["1"] != 2 {
		t.Errorf("the partner took %v", got)
	}
}

// Where no connection came about nothing was counted, and nobody need look.
func TestWithoutADedupeKeyWhatSurelyDidNotLeaveIsSentAgain(t *testing.T) {
	address, err := freeaddr.Pick()
	if err != nil {
		t.Fatal(err)
	}
	w := setup(t, func(d *Deps) {
		d.Adapters = []partner.Adapter{newKeyless(false)}
		d.Partners = map[string]config.Partner{"acme": {Endpoint: "http://" + address}}
	})
	w.push(purchase("1"))
	w.start()
	w.until("it was refused twice", func() bool { return len(w.syncs.of("1")) > 1 })
	if dead := w.dead(); len(dead) != 0 {
		t.Errorf("dead: %+v", dead)
	}
}

// A dispatcher that died after its mark and before its record leaves the mark.
func TestAfterACrashTheMarkTellsWhetherTheRequestMayHaveLeft(t *testing.T) {
	for name, c := range map[string]struct {
		sending, resends bool
		story            string
		dead             int
	}{
		"nothing had left":                    {story: "1:accepted"},
		"it may have left":                    {sending: true, story: "1:rejected/unknown_outcome", dead: 1},
		"it may have left, and is sent again": {sending: true, resends: true, story: "1:accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup(t, func(d *Deps) { d.Adapters = []partner.Adapter{newKeyless(c.resends)} })
			w.push(purchase("1"))
			m, err := w.queue.Pull(t.Context(), queue.Partner("acme"), 1)
			if err != nil || len(m) != 1 {
				t.Fatal(m, err)
			}
			body, err := json.Marshal(record{State: held, Holder: m[0].ID, Until: time.Now().Add(time.Minute), Sending: c.sending})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.keys.Set(t.Context(), state.Entry{Key: "sent:acme:px:1", Value: body, TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.done()
			if got := w.syncs.story("1"); got != c.story {
				t.Errorf("story %s, want %s", got, c.story)
			}
			if n := len(w.dead()); n != c.dead {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}

// tokened is acme behind a token, and a site that has its credentials.
type tokened struct{ *site }

func (tokened) Credentials(settings.Partner, string) (map[string]string, error) {
	return map[string]string{"client_id": "c", "client_secret": "s", "refresh_token": "r"}, nil
}

// Consent that is withdrawn while the token is got keeps the event at home.
func TestConsentIsAskedAfterTheTokenAndBeforeTheRequest(t *testing.T) {
	w := setup(t)
	withToken := spec("acme")
	withToken.Auth = partner.RefreshToken
	token := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := withdraw(context.WithoutCancel(r.Context()), w.keys, consent.Visitor{PixelID: "px", ID: "visitor-1"}); err != nil {
			t.Error(err)
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Write([]byte(`{"access_token":"t","token_type":"bearer","expires_in":3600}`))
	}))
	w.deps.Adapters, w.deps.Settings = []partner.Adapter{acme{spec: withToken}}, tokened{w.site}
	w.deps.Partners = map[string]config.Partner{"acme": {Endpoint: w.url, TokenURL: token}}
	w.push(purchase("1"), purchase("2"))
	w.start()
	w.done()
	w.once("2")
	if got := w.syncs.story("1"); got != "0:not_sent/consent" {
		t.Errorf("story %s", got)
	}
	if got := w.syncs.of("2"); len(got) != 1 || got[0].Outcome != event.Accepted {
		t.Errorf("%+v", got)
	}
}

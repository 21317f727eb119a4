package dispatcher

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/amazon"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/sandbox"
	"github.com/miq/pixel/modules/settings"
)

// connected is a site whose partners have credentials.
type connected struct{ *site }

func (connected) Credentials(settings.Partner, string) (map[string]string, error) {
	return map[string]string{"client_id": "amzn1.application-oa2-client.example", "client_secret": "client-secret", "refresh_token": "Atzr|example-token"}, nil
}

// sandboxed is a dispatcher in front of the partners' own sandboxes.
func sandboxed(t *testing.T) (*world, *sandbox.Server) {
	adapters := []partner.Adapter{ttd.New(), amazon.New()}
	box := sandbox.New(adapters)
	w := setup(t)
	base := w.serve(box)
	w.deps.Adapters = adapters
	w.deps.Settings = connected{w.site}
	w.deps.Partners = map[string]config.Partner{}
	for name, a := range sandbox.Endpoints(base, adapters) {
		w.deps.Partners[name] = config.Partner{Endpoint: a.Endpoint, TokenURL: a.TokenURL}
	}
	w.deps.Config.Retry = config.Retry{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond, Attempts: 50}
	w.deps.Config.Breaker = config.Breaker{Failures: 5, Window: 10, Delay: 100 * time.Millisecond}
	return w, box
}

// conversion is a delivery as the adapter's own golden files have it, but for
// the time and the consent.
func conversion(t *testing.T, name, id string) event.Delivery {
	t.Helper()
	return conversionOf(t, name, name+"/testdata", id)
}

func conversionOf(t *testing.T, name, folder, id string) event.Delivery {
	t.Helper()
	b, err := os.ReadFile("../partner/" + folder + "/base.json")
	if err != nil {
		t.Fatal(err)
	}
	var batch struct {
		Deliveries []event.Delivery `json:"deliveries"`
	}
	if err := json.Unmarshal(b, &batch); err != nil {
		t.Fatal(err)
	}
	d := batch.Deliveries[0]
	now := time.Now().UTC()
	d.QueuedAt, d.Permission = now, event.Allowed
	d.Event.ID, d.Event.PixelID, d.Event.Order.ID = id, "px", "o-"+id
	d.Event.Time, d.Event.ReceivedAt = now, now
	d.Event.Consent, d.Event.Verdict = event.Consent{}, event.Verdict{State: event.Full, Regime: "default", Rule: "R7/D1"}
	if name == "amazon" {
		// In Europe it wants a consent signal, which the default regime has none of.
		d.Params = []byte(`{"account_id":"123456789","region":"NA"}`)
	}
	return d
}

// taken counts how often a partner's sandbox took each order.
func taken(box *sandbox.Server, name string) map[string]int {
	m := map[string]int{}
	for _, e := range box.Received(name) {
		if e.Fault != "" || e.Status >= 300 {
			continue
		}
		if name == "ttd" {
			for _, id := range e.OrderIDs {
				m[strings.TrimPrefix(id, "o-")]++
			}
			continue
		}
		dup := map[string]bool{}
		for _, id := range e.Duplicates {
			dup[id] = true
		}
		for _, id := range e.EventIDs {
			if !dup[id] {
				m[id]++
			}
		}
	}
	return m
}

func (w *world) drained(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.until(name+" is drained", func() bool {
			s := w.stats()["s2s:"+name]
			return s.Ready+s.InFlight+s.Delayed == 0
		})
	}
}

func TestFaultsOfTheRealSandboxes(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults sandbox.Faults
		// unsure is set where requests leave and are not answered, so that The Trade
		// Desk, which drops no repeats, must not get them again.
		unsure bool
	}{
		{name: "none"},
		{name: "a storm of 429", faults: sandbox.Faults{Limit: 0.5}},
		{name: "a fifth are 500", faults: sandbox.Faults{Fail: 0.2}},
		{name: "a third of the connections are cut", faults: sandbox.Faults{Drop: 0.3}, unsure: true},
		{name: "a fifth are taken, and then cut", faults: sandbox.Faults{DropAfter: 0.2}, unsure: true},
		{name: "slow", faults: sandbox.Faults{SlowMS: 300}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, box := sandboxed(t)
			names := []string{"ttd", "amazon"}
			for _, name := range names {
				if problem := box.Set(name, c.faults); problem != "" {
					t.Fatal(problem)
				}
			}
			w.start()
			const events = 60
			for i := range events {
				w.push(conversion(t, "ttd", fmt.Sprint(i)), conversion(t, "amazon", fmt.Sprint(i)))
			}
			start := time.Now()
			// A storm ends: the lane waits longer each time, and the test need not.
			if c.faults.Limit > 0 {
				<-time.After(time.Second)
				box.Set("ttd", sandbox.Faults{})
				box.Set("amazon", sandbox.Faults{})
			}
			w.drained(names...)
			t.Logf("%d events each, drained in %s", events, time.Since(start).Round(time.Millisecond))
			unknown := 0
			for _, name := range names {
				got := taken(box, name)
				for i := range events {
					id := fmt.Sprint(i)
					rows := slices.DeleteFunc(w.syncs.of(id), func(s event.Sync) bool { return s.Partner != name })
					last := rows[len(rows)-1]
					if c.unsure && name == "ttd" && last.Outcome == event.Rejected && last.Code == codeUnknown {
						if unknown++; got[id] > 1 {
							t.Errorf("%s took %s %d times", name, id, got[id])
						}
						continue
					}
					if got[id] != 1 {
						t.Errorf("%s took %s %d times", name, id, got[id])
					}
					if last.Outcome != event.Accepted {
						t.Errorf("%s: %s", id, w.syncs.story(id))
					}
				}
			}
			if dead := w.stats()["dlq:ttd"].Ready; dead != unknown {
				t.Errorf("%d dead letters at ttd, %d of unknown outcome", dead, unknown)
			}
		})
	}
}

func TestATokenIsRevokedMidRun(t *testing.T) {
	w, box := sandboxed(t)
	w.start()
	w.push(conversion(t, "amazon", "1"))
	w.drained("amazon")
	box.Revoke("amazon")
	w.push(conversion(t, "amazon", "2"))
	w.drained("amazon")
	if got := taken(box, "amazon"); got["1"] != 1 || got["2"] != 1 {
		t.Errorf("taken: %v", got)
	}
	if got := w.syncs.story("2"); got != "1:accepted" {
		t.Errorf("story %s", got)
	}
}

func TestAWithdrawnGrantPausesAmazonAndNotTheTradeDesk(t *testing.T) {
	w, box := sandboxed(t)
	box.Set("amazon", sandbox.Faults{RefuseGrant: true})
	w.start()
	w.push(conversion(t, "amazon", "1"), conversion(t, "ttd", "2"))
	w.drained("ttd")
	paused := func() string {
		all, err := lanestatus.Read(t.Context(), w.keys)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := lanestatus.Merge(all, "amazon")
		return s.Paused
	}
	w.until("the pause is told", func() bool { return strings.Contains(paused(), "invalid_grant") })
	if got := taken(box, "ttd"); got["2"] != 1 {
		t.Errorf("ttd took %v", got)
	}
	if s := w.stats()["s2s:amazon"]; s.Ready+s.InFlight+s.Delayed != 1 || w.stats()["dlq:amazon"].Ready != 0 {
		t.Errorf("queues: %+v", w.stats())
	}
	box.Set("amazon", sandbox.Faults{})
	w.site.mode("amazon", settings.On) // somebody connects the account again
	w.drained("amazon")
	if got := taken(box, "amazon"); got["1"] != 1 {
		t.Errorf("amazon took %v", got)
	}
	if s, _ := lanestatus.Merge(w.x.Status(), "amazon"); s.Paused != "" {
		t.Errorf("still paused: %s", s.Paused)
	}
}

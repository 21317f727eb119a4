package dispatcher

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/dv360"
	"github.com/miq/pixel/modules/sandbox"
	"github.com/miq/pixel/modules/settings"
)

// soon asks Google earlier than anybody would, so that a test need not wait.
type soon struct{ dv360.Adapter }

func (s soon) Decode(a partner.Answer, sent []event.Delivery) partner.Receipt {
	r := s.Adapter.Decode(a, sent)
	if r.AskAfter > 0 {
		r.AskAfter = time.Second
	}
	return r
}

func (s soon) Hear(a partner.Answer, sent []event.Delivery) partner.Receipt {
	r := s.Adapter.Hear(a, sent)
	if r.AskAfter > 0 {
		r.AskAfter = time.Second
	}
	return r
}

// robot is a site whose partner has a service account's key.
type robot struct {
	*site
	key string
}

func (r robot) Credentials(settings.Partner, string) (map[string]string, error) {
	return map[string]string{partner.ServiceAccount: r.key}, nil
}

// The Data Manager takes a request, and tells later what became of it: through the
// whole dispatcher, with a signed token, against the partner's own sandbox.
func TestWhatTheDataManagerTellsLater(t *testing.T) {
	adapters := []partner.Adapter{soon{dv360.New()}}
	box := sandbox.New(adapters)
	w := setup(t)
	base := w.serve(box)
	at := sandbox.Endpoints(base, adapters)["dv360"]
	resp, err := http.Get(base + "/dv360/service-account.json")
	if err != nil {
		t.Fatal(err)
	}
	key, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", resp.Status, err)
	}
	w.site.mu.Lock()
	w.site.partners["dv360"] = settings.Partner{Name: "dv360", Mode: settings.On, Settings: []byte(`{"api":"data_manager"}`)}
	w.site.mu.Unlock()
	w.deps.Adapters, w.deps.Settings = adapters, robot{w.site, string(key)}
	w.deps.Partners = map[string]config.Partner{"dv360": {Endpoint: at.Endpoint, TokenURL: at.TokenURL}}
	one := func(id, activity, dclid, gclid string) event.Delivery {
		return purchase(id, func(d *event.Delivery) {
			d.Partner = "dv360"
			d.Params = []byte(fmt.Sprintf(`{"floodlight_configuration_id":"1234567","floodlight_activity_id":%q}`, activity))
			d.Event.Order.Value, d.Event.Order.Currency = "9.50", "GBP"
			d.Event.Subject.ClickIDs = map[string]string{"dclid": dclid, "gclid": gclid}
		})
	}
	w.push(one("good", "111111", "CjgKEAjw-example", ""), one("unknown", "222222", "", "unknown-click"), one("late", "333333", "CjgKEAjw-example", ""))
	w.start()
	w.until("all three are queued at Google", func() bool {
		for _, id := range []string{"good", "unknown", "late"} {
			if w.syncs.story(id) == "" {
				return false
			}
		}
		return true
	})
	if got := w.syncs.story("good"); got != "1:unverified/accepted_unverified" {
		t.Errorf("at first: %s", got)
	}
	w.drained("dv360")
	for id, want := range map[string]string{
		"good":    "1:unverified/accepted_unverified 2:accepted",
		"late":    "1:unverified/accepted_unverified 2:accepted",
		"unknown": "1:unverified/accepted_unverified 2:rejected/INVALID_GCLID",
	} {
		if got := w.syncs.story(id); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	dead, _, err := w.queue.Dead(t.Context(), "dlq:dv360", "", 10)
	if err != nil || len(dead) != 1 || !strings.HasPrefix(dead[0].Reason, "INVALID_GCLID: Google could not use the event") {
		t.Errorf("dead %+v, %v", dead, err)
	}
	// Each was sent once, and asked for until it was told.
	ingests, asked := 0, 0
	for _, e := range box.Received("dv360") {
		switch {
		case strings.Contains(e.Path, "events:ingest"):
			ingests++
		case strings.Contains(e.Path, "requestStatus"):
			asked++
		}
	}
	if ingests != 3 || asked < 3 {
		t.Errorf("%d requests of one event each, asked %d times", ingests, asked)
	}
}

package worker

import (
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/session"
	"github.com/miq/pixel/modules/settings"
)

func TestEventsAreStoredWithTheirSession(t *testing.T) {
	x := setup(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	of := func(id string, ago time.Duration) event.Event {
		return purchase(id, func(e *event.Event) { e.Subject.AnonymousID, e.Time = "one", now.Add(-ago) })
	}
	x.push(of("a", 50*time.Minute), of("b", 40*time.Minute), of("c", 5*time.Minute))
	x.start()
	x.done()
	stored := x.stored()
	a, b, c := stored["a"].Enrichment.Session, stored["b"].Enrichment.Session, stored["c"].Enrichment.Session
	if a.ID == "" || a.ID != b.ID || a.ID == c.ID || a.N != 1 || c.N != 2 || a.Entry != "/thanks" {
		t.Errorf("%+v\n%+v\n%+v", a, b, c)
	}
	key := session.Key("px", "one")
	if v, err := x.keys.Get(t.Context(), key); err != nil || len(v[0]) == 0 {
		t.Fatal(v, err)
	}
	x.withdraw("one")
	x.until("the visitor's sessions are forgotten", func() bool {
		v, err := x.keys.Get(t.Context(), key)
		return err == nil && v[0] == nil
	})
}

func TestASiteMayDoWithoutSessions(t *testing.T) {
	x := setup(t)
	p := x.site.pixels["px"]
	p.Processing = settings.Processing{Off: []string{"session"}}
	x.site.pixels["px"] = p
	x.push(purchase("a"))
	x.start()
	x.done()
	if s := x.stored()["a"].Enrichment.Session; s != (event.Session{}) {
		t.Errorf("%+v", s)
	}
}

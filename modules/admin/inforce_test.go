package admin

import (
	"log/slog"
	"testing"
	"time"

	"github.com/miq/pixel/modules/settings"
)

// announce is what processes that share the stores tell of their settings.
func (b *bench) announce(instances ...string) {
	b.t.Helper()
	for _, name := range instances {
		p := b.o.Settings.Announcer(b.state, settings.Process{Instance: name, Roles: "dispatcher"}, slog.New(slog.DiscardHandler))
		p.Start()
		b.t.Cleanup(func() { p.Stop(b.t.Context()) })
	}
}

func TestARoutesSwitchShowsWhereItIsInForce(t *testing.T) {
	b := open(t)
	b.shop()
	b.announce("replica-1", "replica-2")
	w := b.as(Administrator)
	p, _ := b.o.Settings.Pixel("px_shop")
	p.Routes = []settings.Route{{Partner: "ttd", Event: "purchase", Enabled: true, Params: []byte(`{"adv":"a","tracker_id":"t"}`)}}
	_, err := b.changePixel(t.Context(), principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}, "pixel.update", p)
	must(t, err)
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(20 * time.Millisecond) {
		v, err := b.inForce(t.Context(), mustPixel(b))
		must(t, err)
		if len(v) == 2 && applied(v) == 2 && !v[0].AppliedAt.IsZero() {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", v)
		}
	}
	contains(t, w.get("/pixels/px_shop").body, "is in force on 2 of 2 processes", "replica-1", "replica-2", "applied")
}

func mustPixel(b *bench) settings.Pixel {
	p, _ := b.o.Settings.Pixel("px_shop")
	return p
}

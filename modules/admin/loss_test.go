package admin

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// A known share of what tabs send is dropped; the meter has to say that share.
func TestTheLossMeterFindsWhatWasDropped(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Now().UTC()
	var came []event.Event
	sent, dropped := 0, 0
	for i := range 400 {
		for n := 1; n <= 30; n++ {
			e := event.Event{ID: fmt.Sprint(i, "-", n), PixelID: "px_1", Source: "web", Seq: n, Context: event.Context{Tab: fmt.Sprint("tab-", i)}, ReceivedAt: now}
			e.Enrichment.Device.Browser = []string{"Firefox", "Safari"}[i%2]
			if inner := n > 1 && n < 30; inner && r.IntN(1000) < 114 {
				dropped++
				sent++
				continue
			}
			sent++
			came = append(came, e)
			if n%7 == 0 {
				came = append(came, e) // what comes twice is no gain
			}
		}
	}
	came = append(came, event.Event{ID: "image", Source: "pixel", ReceivedAt: now}, event.Event{ID: "server", Source: "server", ReceivedAt: now})
	got := lossOf(came)
	if got.Total.Sent != sent || got.Total.Missing != dropped || got.Total.Tabs != 400 || got.Image != 1 {
		t.Errorf("%+v, where %d of %d were dropped", got.Total, dropped, sent)
	}
	if len(got.Items) != 2 || got.Items[0].Missing+got.Items[1].Missing != dropped {
		t.Errorf("by browser: %+v", got.Items)
	}
}

func TestTheLossMeterOverTheStore(t *testing.T) {
	b := open(t)
	for _, n := range []int{1, 2, 5} {
		e := someEvent(fmt.Sprint("e-", n), time.Now().Add(-time.Hour).UTC())
		e.Seq, e.Context.Tab = n, "tab-1"
		must(t, b.store.WriteEvents(t.Context(), e))
	}
	young := someEvent("e-9", time.Now().UTC()) // 6 to 8 may still come
	young.Seq, young.Context.Tab = 9, "tab-1"
	must(t, b.store.WriteEvents(t.Context(), young))
	if got := ask[lossReading](b, get, base+"/reports/loss", nil, 200); got.Total.Sent != 5 || got.Total.Missing != 2 || got.Total.Share != 0.4 {
		t.Errorf("%+v", got)
	}
	contains(t, b.as(Viewer).get("/reports/loss").body, "40%", "2 of 5 in 1 tab")
	contains(t, b.as(Marketer).get("/").body, "40%<small> on the way")
	contains(t, b.call(adminToken, get, base+"/reports/loss?format=csv", nil).body, "browser,tabs,sent,missing,share")
}

// gated is a store whose events take as long to list as a test likes.
type gated struct {
	analytics.Reader
	gate chan struct{}
}

func (g gated) Events(ctx context.Context, f analytics.EventFilter) (analytics.EventPage, error) {
	select {
	case <-g.gate:
		return g.Reader.Events(ctx, f)
	case <-ctx.Done():
		return analytics.EventPage{}, ctx.Err()
	}
}

func TestTheOverviewDoesNotWaitForTheLossMeter(t *testing.T) {
	gate := make(chan struct{})
	b := open(t, allPartners, func(o *Options) { o.Events = gated{o.Events, gate} })
	seed(t, b, time.Now())
	w := b.as(Viewer)
	contains(t, w.get("/").body, "being counted")
	close(gate)
	// Whoever has the patience sees the one that was begun.
	r, err := b.lossLately(t.Context(), "", 24*time.Hour, timeout)
	must(t, err)
	if r.Total.Sent == 0 {
		t.Errorf("%+v", r)
	}
	if body := w.get("/").body; strings.Contains(body, "being counted") || !strings.Contains(body, "on the way") {
		t.Error("the overview does not show what was counted")
	}
}

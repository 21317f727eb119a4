package admin

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// TestThePagesWithAFullStore prints how long each page takes with as many events as
// PIXEL_PAGES_EVENTS says, in the store and over 30 days: make pages. It is a measurement
// and fails on nothing but an error. PIXEL_PAGES_STORE keeps the store in a file, which is
// taken as it is where it is there already: a million events take long to write.
func TestThePagesWithAFullStore(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("PIXEL_PAGES_EVENTS"))
	if n == 0 {
		t.Skip("SKIPPED: only with PIXEL_PAGES_EVENTS=1000000 (make pages)")
	}
	if _, err := os.Stat(os.Getenv("PIXEL_PAGES_STORE")); err == nil {
		n = 0
	}
	b := open(t, allPartners)
	now := time.Now()
	seed(t, b, now)
	seedProof(t, b, now)
	seedBackfills(t, b, now)
	seedErasures(t, b)
	r := rand.New(rand.NewPCG(7, 7))
	begun := time.Now()
	names := []string{"page_view", "page_view", "page_view", "page_view", "view_item", "view_item", "add_to_cart", "scroll", "purchase", "sign_up"}
	for done := 0; done < n; {
		events, syncs := make([]event.Event, 0, 2000), []event.Sync{}
		for range min(2000, n-done) {
			at := now.Add(-time.Duration(r.Int64N(int64(30 * 24 * time.Hour)))).UTC()
			e := someEvent(fmt.Sprintf("full-%08x", done+len(events)), at)
			e.Name = names[r.IntN(len(names))]
			e.PixelID = []string{"px_shop", "px_shop", "px_blog", "px_us"}[r.IntN(4)]
			e.Subject.VisitorID = fmt.Sprint("v-", r.IntN(n/5+1))
			e.Context.Page.URL = fmt.Sprintf("https://shop.example.com/p/%d", r.IntN(400))
			e.Context.Tab, e.Seq = fmt.Sprint("t-", done/9), 1+done%9
			if e.Name != "purchase" {
				e.Order = event.Order{}
			} else {
				e.Order.ID = fmt.Sprint("F-", done+len(events))
				syncs = append(syncs, someSync(r, e, "ttd"), someSync(r, e, "amazon"))
			}
			events = append(events, e)
		}
		must(t, b.store.WriteEvents(t.Context(), events...))
		must(t, b.store.WriteSyncs(t.Context(), syncs...))
		done += len(events)
	}
	total, err := b.o.Events.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "pixel_id", Since: now.Add(-40 * 24 * time.Hour), Until: now.Add(time.Minute), Limit: 100})
	must(t, err)
	events := 0.0
	for _, r := range total {
		events += r.Value
	}
	t.Logf("%.0f events are stored; those that were added took %v", events, time.Since(begun).Round(time.Second))
	w := b.as(Administrator)
	type figure struct {
		path          string
		first, median time.Duration
	}
	var all []figure
	for _, p := range everyPage {
		path := b.at(p.path)
		var took []time.Duration
		for range 6 {
			at := time.Now()
			if got := w.get(path); got.status != 200 && p.name != "missing" {
				t.Errorf("%s: %d", path, got.status)
			}
			took = append(took, time.Since(at))
		}
		first := took[0]
		slices.Sort(took[1:])
		all = append(all, figure{path, first, took[1:][2]})
	}
	slices.SortFunc(all, func(x, y figure) int { return cmp.Compare(y.median, x.median) })
	over := 0
	for _, f := range all {
		if f.median > 50*time.Millisecond {
			over++
		}
		t.Logf("%8.1f ms (first %8.1f ms)  %s", f.median.Seconds()*1000, f.first.Seconds()*1000, f.path)
	}
	t.Logf("%d of %d pages took more than 50 ms (median of 5)", over, len(all))
}

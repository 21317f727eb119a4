package dispatcher

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/settings"
)

// Two pixels' events share requests to two partners, by the adapters that send for
// real. What is known afterwards is which fields each pixel's own events had.
func TestWhichFieldsWentToWhom(t *testing.T) {
	w, box := sandboxed(t)
	w.site.mu.Lock()
	w.site.pixels["py"] = settings.Pixel{ID: "py", ConsentMode: settings.Implied}
	w.site.mu.Unlock()
	before := time.Now().UTC().Truncate(time.Second)
	var list []event.Delivery
	for _, name := range []string{"ttd", "amazon"} {
		for _, id := range []string{"1", "2", "3"} {
			d := conversion(t, name, name+id)
			if id == "3" {
				d.Event.PixelID = "py"
				d.Event.Context.Page.URL, d.Event.Order.Value, d.Event.Order.Items = "", "", nil
			}
			list = append(list, d)
		}
	}
	w.push(list...)
	w.start()
	w.drained("ttd", "amazon")
	for _, name := range []string{"ttd", "amazon"} {
		if got := taken(box, name); len(got) != 3 {
			t.Fatalf("%s took %v", name, got)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.x.Stop(ctx); err != nil { // which writes what is left
		t.Fatal(err)
	}
	rows, err := fields.Read(t.Context(), w.keys, []string{"px", "py"}, []string{"ttd", "amazon"})
	if err != nil {
		t.Fatal(err)
	}
	events := map[string]int64{}
	for _, r := range rows {
		events[r.PixelID+" "+r.Partner+" "+r.Path] = r.Events
		if r.First.Before(before) || r.Last.Before(r.First) || r.Last.After(time.Now()) {
			t.Errorf("%+v", r)
		}
	}
	for path, want := range map[string]int64{
		"px ttd data[].tracker_id": 2, "py ttd data[].tracker_id": 1,
		"px ttd data[].referrer_url": 2, "py ttd data[].referrer_url": 0,
		"px ttd data[].value": 2, "py ttd data[].value": 0,
		"px amazon events[].matchKeys[EMAIL].values[]": 2, "py amazon events[].matchKeys[EMAIL].values[]": 1,
		"px amazon events[].eventDescription.conversionType": 2, "py amazon events[].eventDescription.conversionType": 1,
		"px amazon events[].value": 2, "py amazon events[].value": 0,
	} {
		if events[path] != want {
			t.Errorf("%s: %d events, want %d", path, events[path], want)
		}
	}
	if t.Failed() {
		var all []string
		for path := range events {
			all = append(all, path)
		}
		slices.Sort(all)
		t.Log(strings.Join(all, "\n"))
	}
}

// What was never sent is not in the matrix: a dry run, and what a partner cannot take.
func TestWhatDidNotLeaveIsNotAmongTheFields(t *testing.T) {
	w, _ := sandboxed(t)
	w.site.mu.Lock()
	w.site.partners["ttd"] = settings.Partner{Name: "ttd", Mode: settings.On, Dry: true}
	w.site.mu.Unlock()
	old := conversion(t, "amazon", "old")
	old.Params = []byte(`{"account_id":""}`)
	w.push(conversion(t, "ttd", "dry"), old)
	w.start()
	w.drained("ttd", "amazon")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.x.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	rows, err := fields.Read(t.Context(), w.keys, []string{"px"}, []string{"ttd", "amazon"})
	if err != nil || len(rows) != 0 {
		t.Errorf("%+v %v", rows, err)
	}
}

package analyticstest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

func isNotFound(err error) bool { return errors.Is(err, analytics.ErrNotFound) }

// selects is the port's definition of a filter.
func selects(f analytics.EventFilter, e *event.Event, syncs []event.Sync) bool {
	equal := func(want, got string) bool { return want == "" || want == got }
	q := strings.ToLower(f.Query)
	found := q == ""
	for _, s := range []string{e.Name, e.Context.Page.URL, e.Context.Page.Title} {
		found = found || strings.Contains(strings.ToLower(s), q)
	}
	for _, s := range []string{e.ID, e.Order.ID, e.Subject.VisitorID} {
		found = found || strings.HasPrefix(strings.ToLower(s), q)
	}
	for _, c := range f.Where {
		found = found && slices.Contains(c.Values, group(e, c.Dimension)) != c.Not
	}
	if f.MinValue != nil || f.MaxValue != nil {
		v, err := strconv.ParseFloat(string(e.Order.Value), 64)
		found = found && err == nil && (f.MinValue == nil || v >= *f.MinValue) && (f.MaxValue == nil || v <= *f.MaxValue)
	}
	if f.Partner != "" || f.Outcome != "" {
		found = found && slices.ContainsFunc(syncs, func(l event.Sync) bool {
			return l.EventID == e.ID && l.PixelID == e.PixelID && equal(f.Partner, l.Partner) && equal(string(f.Outcome), string(l.Outcome))
		})
	}
	return found && equal(f.PixelID, e.PixelID) && equal(f.ID, e.ID) && equal(f.Name, e.Name) &&
		equal(f.VisitorID, e.Subject.VisitorID) && equal(f.OrderID, e.Order.ID) && within(f.Since, f.Until, e.ReceivedAt)
}

func within(since, until, at time.Time) bool {
	return (since.IsZero() || !at.Before(since)) && (until.IsZero() || at.Before(until))
}

func eventFilters(t *testing.T, s analytics.Store, d *data) {
	some, order := &d.events[777], &d.events[0]
	for i := range d.events {
		if d.events[i].Order.ID != "" && d.events[i].Subject.VisitorID != "" {
			order = &d.events[i]
			break
		}
	}
	at := some.ReceivedAt
	filters := []analytics.EventFilter{
		{Limit: 1000},
		{},
		{Limit: 7, PixelID: "px_third"},
		{PixelID: "px_none"},
		{ID: some.ID},
		{ID: some.ID, PixelID: some.PixelID},
		{ID: some.ID, PixelID: "px_none"},
		{Name: "purchase"},
		{Name: "purchase", PixelID: "px_other"},
		{Name: "PURCHASE"},
		{VisitorID: order.Subject.VisitorID},
		{VisitorID: order.Subject.VisitorID, PixelID: order.PixelID, Name: order.Name},
		{OrderID: order.Order.ID},
		{OrderID: order.Order.ID, VisitorID: order.Subject.VisitorID, PixelID: order.PixelID, Name: order.Name, ID: order.ID},
		{OrderID: order.Order.ID, Name: "no_such_name"},
		{Since: at},
		{Until: at},
		{Since: at, Until: at},
		{Since: at, Until: at.Add(time.Microsecond)},
		{Since: at.Add(time.Microsecond), Until: at.Add(5 * time.Hour), PixelID: "px_demo"},
		{Since: at.In(time.FixedZone("", -8*3600)), Until: at.Add(time.Hour), Name: "page_view", Limit: 3},
		{Where: []analytics.Condition{analytics.Is("device", "mobile"), analytics.Is("country", "GB", "")}},
		{Where: []analytics.Condition{{Dimension: "name", Values: []string{"page_view", "scroll"}, Not: true}}, PixelID: "px_demo"},
		{Where: []analytics.Condition{{Dimension: "utm_source", Values: []string{""}, Not: true}, analytics.Is("consent", "full")}, Since: at, Limit: 20},
		{MinValue: new(100.0)},
		{MinValue: new(10.5), MaxValue: new(200.0), PixelID: "px_demo"},
		{MaxValue: new(0.0)},
		{Outcome: event.Rejected},
		{Partner: "ttd"},
		{Partner: "ttd", Outcome: event.Accepted, Name: "purchase"},
		{Partner: "amazon", Outcome: event.Retry, MinValue: new(1.0), Query: "purchase"},
		{Partner: "no such partner"},
		{Query: "SHOE 17"},
		{Query: "purchase", PixelID: "px_demo"},
		{Query: "Purchase", Since: at, Limit: 4},
		{Query: strings.ToUpper(order.ID[:13])},
		{Query: order.ID[1:13]}, // not a beginning
		{Query: "a-10"},
		{Query: strings.ToUpper(order.Subject.VisitorID)},
		{Query: "?ref=0"},
		{Query: "%"},
		{Query: "_"},
		{Query: "shop%"},
		{Query: `\`},
		{Query: "*"},
		{Query: "äöü"},
		{Query: "no such thing"},
		{Query: "page_view\x00"},
		{Query: "page_viewhttps"},
	}
	plain := len(filters)
	for _, h := range hostile {
		filters = append(filters, analytics.EventFilter{PixelID: h}, analytics.EventFilter{ID: h}, analytics.EventFilter{Name: h},
			analytics.EventFilter{VisitorID: h}, analytics.EventFilter{OrderID: h}, analytics.EventFilter{Query: h}, analytics.EventFilter{Query: strings.ToUpper(h)},
			analytics.EventFilter{Query: h[:len(h)/2]}) // perhaps in the middle of a letter
	}
	for i, f := range filters {
		if i >= plain && !d.asked(i) {
			continue
		}
		if i > 1 && f.Limit == 0 {
			f.Limit = 400 // so many pages were read above
		}
		name := short(strings.ToValidUTF8(strings.Join([]string{f.PixelID, f.ID, f.Name, f.VisitorID, f.OrderID, f.Query}, ","), "?"))
		t.Run(fmt.Sprintf("%d %q", i, name), func(t *testing.T) {
			var want []event.Event
			for j := range d.events {
				if selects(f, &d.events[j], d.syncs) {
					want = append(want, d.events[j])
				}
			}
			sameEvents(t, allEvents(t, s, f), want)
		})
	}
}

func syncFilters(t *testing.T, s analytics.Store, d *data) {
	some := &d.syncs[333]
	order := some
	for i := range d.syncs {
		if d.syncs[i].OrderID != "" {
			order = &d.syncs[i]
			break
		}
	}
	at := some.At
	filters := []analytics.SyncFilter{
		{},
		{Limit: 1000},
		{Limit: 1, EventID: some.EventID},
		{EventID: some.EventID, PixelID: some.PixelID},
		{EventID: some.EventID, PixelID: "px_none"},
		{PixelID: "px_other"},
		{OrderID: order.OrderID},
		{Partner: "ttd"},
		{Partner: "ttd", Outcome: event.Rejected},
		{Partner: "ttd", Outcome: event.Accepted, PixelID: "px_demo", Since: at, Until: at.Add(9 * time.Hour), Limit: 9},
		{Outcome: event.NotSent},
		{Outcome: "no such outcome"},
		{Since: at},
		{Until: at},
		{Since: at, Until: at.Add(time.Microsecond)},
	}
	for _, h := range hostile {
		filters = append(filters, analytics.SyncFilter{Partner: h}, analytics.SyncFilter{EventID: h}, analytics.SyncFilter{OrderID: h}, analytics.SyncFilter{PixelID: h}, analytics.SyncFilter{Outcome: event.Outcome(h)})
	}
	equal := func(want, got string) bool { return want == "" || want == got }
	for i, f := range filters {
		t.Run(fmt.Sprintf("%d %s", i, f.Partner[:min(9, len(f.Partner))]), func(t *testing.T) {
			var want []event.Sync
			for _, l := range d.syncs {
				if equal(f.PixelID, l.PixelID) && equal(f.EventID, l.EventID) && equal(f.OrderID, l.OrderID) && equal(f.Partner, l.Partner) &&
					equal(string(f.Outcome), string(l.Outcome)) && within(f.Since, f.Until, l.At) {
					want = append(want, l)
				}
			}
			sameSyncs(t, allSyncs(t, s, f), want)
		})
	}
}

func sameSyncs(t *testing.T, got, want []event.Sync) {
	t.Helper()
	left := map[string]int{}
	for _, l := range want {
		left[encode(t, l)]++
	}
	for i, l := range got {
		left[encode(t, l)]--
		if i > 0 && l.At.After(got[i-1].At) {
			t.Errorf("%d: %s comes after %s", i, l.At, got[i-1].At)
		}
	}
	for k, n := range left {
		if n != 0 {
			t.Errorf("%+d of %.400s", -n, k)
		}
	}
}

// pagesWhileWriting pages with new events arriving at the front, in the middle
// and at the end, and at the very instant the cursor stands on.
func pagesWhileWriting(t *testing.T, s analytics.Store) {
	events := Events(5, 400, time.Hour)
	for i := range events {
		if i%3 == 0 {
			events[i].ReceivedAt = Begin.Add(30 * time.Minute) // far more than a page at one instant
		}
	}
	writeEvents(t, s, events...)
	syncs := Syncs(5, events)
	writeSyncs(t, s, syncs...)
	late := Events(6, 4000, time.Hour)
	lateSyncs := Syncs(6, late)
	seen, seenSyncs := map[string]int{}, map[string]int{}
	f, sf := analytics.EventFilter{Limit: 11}, analytics.SyncFilter{Limit: 11}
	pages := 0
	for eventsEnd, syncsEnd := false, false; !eventsEnd || !syncsEnd; pages++ {
		if pages > 2000 {
			t.Fatal("the pages do not end")
		}
		if !eventsEnd {
			page, err := s.Events(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Events {
				seen[eventKey(&page.Events[i])]++
			}
			f.Cursor, eventsEnd = page.Next, page.Next == ""
			if n := len(page.Events); n > 0 {
				// One lands exactly where the cursor stands.
				e := late[0]
				e.ID, e.ReceivedAt = fmt.Sprint("at-cursor-", pages), page.Events[n-1].ReceivedAt
				writeEvents(t, s, e)
			}
		}
		if !syncsEnd {
			page, err := s.Syncs(t.Context(), sf)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range page.Syncs {
				seenSyncs[encode(t, l)]++
			}
			sf.Cursor, syncsEnd = page.Next, page.Next == ""
		}
		if n := min(len(late), 9); n > 0 {
			writeEvents(t, s, late[:n]...)
			late = late[n:]
		}
		if n := min(len(lateSyncs), 9); n > 0 {
			writeSyncs(t, s, lateSyncs[:n]...)
			lateSyncs = lateSyncs[n:]
		}
	}
	for i := range events {
		if seen[eventKey(&events[i])] != 1 {
			t.Errorf("event %q was seen %d times", short(events[i].ID), seen[eventKey(&events[i])])
		}
	}
	for k, n := range seen {
		if n > 1 {
			t.Errorf("%q was seen %d times", short(k), n)
		}
	}
	for _, l := range syncs {
		if n := seenSyncs[encode(t, l)]; n != 1 {
			t.Errorf("a sync of %q was seen %d times", short(l.EventID), n)
		}
	}
}

func live(t *testing.T, s analytics.Store) {
	events := Events(5, 500, time.Hour)
	writeEvents(t, s, events[:100]...)
	page, err := s.Events(t.Context(), analytics.EventFilter{Limit: 5})
	if err != nil {
		t.Fatal(err)
	}
	begin := page.Newest
	var want []string
	for i := range events[100:] {
		want = append(want, eventKey(&events[100+i]))
	}
	// What is stored later but was received earlier counts as new.
	for _, f := range []analytics.EventFilter{{Limit: 7}, {Limit: 1000}, {Limit: 20, PixelID: "px_demo"}, {Name: "purchase", Since: Begin.Add(time.Minute)}, {Query: "shoe 1"}} {
		written := 100
		f.After = begin
		var got []string
		for {
			if written < 500 && f.Limit == 7 {
				writeEvents(t, s, events[written:min(written+13, 500)]...)
				written += 13
			}
			page, err := s.Events(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if page.Next != "" {
				t.Error("a live view has a Next")
			}
			for i := range page.Events {
				got = append(got, eventKey(&page.Events[i]))
			}
			if len(page.Events) == 0 {
				if again, err := s.Events(t.Context(), analytics.EventFilter{After: page.Newest}); err != nil || len(again.Events) > 0 {
					t.Errorf("after the newest there are %d more, %v", len(again.Events), err)
				}
				break
			}
			f.After = page.Newest
		}
		f.After = ""
		var selected []string
		for i := range events[100:] {
			if selects(f, &events[100+i], nil) {
				selected = append(selected, want[i])
			}
		}
		if strings.Join(got, ",") != strings.Join(selected, ",") {
			t.Errorf("%+v: saw %d events, not these %d in the order of storage", f, len(got), len(selected))
		}
	}
}

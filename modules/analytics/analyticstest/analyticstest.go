// Package analyticstest checks that an analytics store keeps what its port
// promises. It fills the store from one generated set of data and compares each
// answer with a plain recount of that set.
package analyticstest

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// Span is the time over which Run's events were received.
const Span = 50 * time.Hour

// Run checks the promises; open makes an empty store.
func Run(t *testing.T, open func(*testing.T) analytics.Store) { run(t, open, 3) }

// RunFewer is Run with a third of the questions that are many and alike, for another way to
// the same store.
func RunFewer(t *testing.T, open func(*testing.T) analytics.Store) { run(t, open, 9) }

func run(t *testing.T, open func(*testing.T) analytics.Store, every int) {
	d := &data{every: every, events: append(Events(7, 2000, Span), spring(Events(8, 200, Span))...)}
	d.syncs, d.matches = Syncs(7, d.events), Matches(7, d.events)
	d.people(7)
	full := open(t)
	if err := full.WriteIdentities(t.Context(), d.identities...); err != nil {
		t.Fatal(err)
	}
	writeEvents(t, full, d.events[:3]...)
	for i := 3; i < len(d.events); i += 256 {
		writeEvents(t, full, d.events[i:min(i+256, len(d.events))]...)
	}
	for i := 0; i < len(d.syncs); i += 256 {
		writeSyncs(t, full, d.syncs[i:min(i+256, len(d.syncs))]...)
	}
	for chunk := range slices.Chunk(d.matches, 256) {
		if err := full.WriteMatches(t.Context(), chunk...); err != nil {
			t.Fatalf("write matches: %v", err)
		}
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T, analytics.Store, *data)
	}{
		{"an event comes back as it was given", comesBack},
		{"each filter selects what a recount does", eventFilters},
		{"the sync log is filtered as a recount does", syncFilters},
		{"a series is what a recount gives", seriesRecounted},
		{"the greatest groups are what a recount gives", topRecounted},
		{"steps follow the clock and the calendar of any time zone", zonesRecounted},
		{"conditions on any dimension select what a recount does", conditionsRecounted},
		{"a funnel is what a recount of each visitor gives", funnelsRecounted},
		{"latencies are what sorting them gives", latenciesRecounted},
		{"orders that came several times are found", repeatedRecounted},
		{"a list of pixels selects what their names do", func(t *testing.T, s analytics.Store, d *data) {
			if d.every > 3 {
				t.Skip("asks nothing that the others do not, of another way to the same store")
			}
			pixelsSelected(t, s, Begin, Begin.Add(Span), d.pixels()...)
		}},
		{"a story is an event and all that came of it", stories},
		{"a tally is what a recount gives, by hour of receipt", tallyRecounted},
		{"what lies beyond the bounds is refused, and why is said", refusals},
		{"an ended context ends a question", endedContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // none of them writes
			c.run(t, full, d)
		})
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T, analytics.Store)
	}{
		{"an empty store answers", emptyStore},
		{"an event written again changes nothing", rewrites},
		{"two pixels may use one id", sharedID},
		{"a line of the sync log written again replaces it", replaces},
		{"matches are counted as a recount does, and written again replaced", matchesCounted},
		{"pages neither skip nor repeat while more is written", pagesWhileWriting},
		{"a live view sees each event once, in the order of storage", live},
		{"an ended context ends a write", endedWrite},
		{"text that is not UTF-8 does not spoil a batch", notText},
		{"the visitors of a profile count as one, by the greatest version", profiles},
		{"credits are kept by version, and added up as a recount does", credits},
		{"paths are counted as a recount does", paths},
		{"consent receipts are kept as they were first written, and found by subject", receipts},
		{"the queues' counts are kept as they were last read", countsKept},
		{"the audit log is kept as it was first written", auditKept},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t))
		})
	}
}

// asked thins out questions that are many and alike: every third is asked, so that each
// metric, each dimension and each kind of question has its turn, with one another's as they
// come; all are where PIXEL_TEST_ALL is set.
func (d *data) asked(i int) bool { return os.Getenv("PIXEL_TEST_ALL") != "" || i%d.every == 0 }

type data struct {
	every   int // see asked
	events  []event.Event
	syncs   []event.Sync
	matches []event.Match
	// identities say that some visitors are one person, pixel by pixel.
	identities []analytics.Identity
	profile    map[[2]string]string // by pixel and visitor
}

// people makes identities of about a third of the visitors.
func (d *data) people(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 4))
	d.profile = map[[2]string]string{}
	for i := range d.events {
		e := &d.events[i]
		k := [2]string{e.PixelID, e.Subject.VisitorID}
		if _, there := d.profile[k]; there || k[1] == "" {
			continue
		}
		d.profile[k] = ""
		if r.IntN(3) == 0 {
			d.profile[k] = fmt.Sprint("profile-", r.IntN(40))
		}
		d.identities = append(d.identities, analytics.Identity{PixelID: k[0], VisitorID: k[1], ProfileID: d.profile[k], Version: int64(i + 1)})
	}
}

// person is whom an event is counted as.
func (d *data) person(e *event.Event) string {
	return cmp.Or(d.profile[[2]string{e.PixelID, e.Subject.VisitorID}], e.Subject.VisitorID)
}

func writeEvents(t *testing.T, s analytics.Store, events ...event.Event) {
	t.Helper()
	if err := s.WriteEvents(t.Context(), events...); err != nil {
		t.Fatalf("write %d events: %v", len(events), err)
	}
}

func writeSyncs(t *testing.T, s analytics.Store, syncs ...event.Sync) {
	t.Helper()
	if err := s.WriteSyncs(t.Context(), syncs...); err != nil {
		t.Fatalf("write %d syncs: %v", len(syncs), err)
	}
}

// allEvents goes through every page.
func allEvents(t *testing.T, s analytics.Store, f analytics.EventFilter) []event.Event {
	t.Helper()
	var all []event.Event
	for {
		page, err := s.Events(t.Context(), f)
		if err != nil {
			t.Fatalf("events %+v: %v", f, err)
		}
		if n := cmp.Or(f.Limit, 50); len(page.Events) > n || page.Next != "" && len(page.Events) < n {
			t.Fatalf("a page of %d, with limit %d", len(page.Events), n)
		}
		if page.Newest == "" {
			t.Fatal("a page without Newest")
		}
		all = append(all, page.Events...)
		if page.Next == "" {
			return all
		}
		if len(page.Events) == 0 {
			t.Fatal("an empty page that is not the last")
		}
		f.Cursor = page.Next
	}
}

func allSyncs(t *testing.T, s analytics.Store, f analytics.SyncFilter) []event.Sync {
	t.Helper()
	var all []event.Sync
	for {
		page, err := s.Syncs(t.Context(), f)
		if err != nil {
			t.Fatalf("syncs %+v: %v", f, err)
		}
		all = append(all, page.Syncs...)
		if page.Next == "" {
			return all
		}
		if len(page.Syncs) == 0 {
			t.Fatal("an empty page that is not the last")
		}
		f.Cursor = page.Next
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func eventKey(e *event.Event) string { return e.PixelID + "\xFF" + e.ID }

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// sameEvents compares as sets, since events received at one instant may come in
// any order, and checks the order by time.
func sameEvents(t *testing.T, got, want []event.Event) {
	t.Helper()
	left := map[string]int{}
	for i := range want {
		left[eventKey(&want[i])]++
	}
	for i := range got {
		left[eventKey(&got[i])]--
		if i > 0 && got[i].ReceivedAt.After(got[i-1].ReceivedAt) {
			t.Errorf("%d: %s comes after %s", i, got[i].ReceivedAt, got[i-1].ReceivedAt)
		}
	}
	missing, extra := 0, 0
	for _, n := range left {
		missing, extra = missing+max(n, 0), extra+max(-n, 0)
	}
	if missing+extra > 0 {
		t.Errorf("%d events, not %d: %d are missing, %d do not belong or come twice", len(got), len(want), missing, extra)
	}
}

func comesBack(t *testing.T, s analytics.Store, d *data) {
	for i := range d.events {
		e := &d.events[i]
		pixels := []string{e.PixelID, ""}
		switch { // a question costs some stores a round trip
		case i%25 == 24: // which hold hostile strings
		case i%4 == 0:
			pixels = pixels[i/4%2:][:1]
		default:
			continue
		}
		for _, pixel := range pixels {
			got, err := s.Event(t.Context(), pixel, e.ID)
			if err != nil {
				t.Fatalf("event %q of %q: %v", short(e.ID), short(pixel), err)
			}
			// Some hostile ids are used twice, by one pixel and another.
			if pixel == "" && got.PixelID != e.PixelID {
				continue
			}
			if g, w := encode(t, got), encode(t, e); g != w {
				t.Fatalf("event %q came back as\n%.2000s\nnot\n%.2000s", short(e.ID), g, w)
			}
		}
	}
	e := d.events[0]
	for _, c := range [][2]string{{e.PixelID, "no-such-id"}, {"", "no-such-id"}, {"px_none", e.ID}, {e.PixelID, ""}, {e.PixelID, strings.ToUpper(e.ID) + "%"}, {e.PixelID, e.ID[:10]}} {
		if got, err := s.Event(t.Context(), c[0], c[1]); !isNotFound(err) {
			t.Errorf("event %q of %q: %+v, %v", c[1], c[0], got, err)
		}
	}
}

func emptyStore(t *testing.T, s analytics.Store) {
	page, err := s.Events(t.Context(), analytics.EventFilter{})
	if err != nil || len(page.Events) != 0 || page.Next != "" || page.Newest == "" {
		t.Errorf("events: %+v, %v", page, err)
	}
	writeEvents(t, s)
	writeSyncs(t, s)
	if l := allSyncs(t, s, analytics.SyncFilter{}); len(l) != 0 {
		t.Errorf("syncs: %v", l)
	}
	if _, err := s.Event(t.Context(), "", "e"); !isNotFound(err) {
		t.Errorf("event: %v", err)
	}
	q := analytics.SeriesQuery{Metric: analytics.MetricRevenue, Since: Begin, Until: Begin.Add(time.Hour), Step: analytics.Hour}
	series, err := s.Series(t.Context(), q)
	if err != nil || len(series) != 1 || len(series[0].Points) != 2 || series[0].Points[0].Value != 0 {
		t.Errorf("series: %v, %v", series, err)
	}
	q.GroupBy = "currency"
	if series, err = s.Series(t.Context(), q); err != nil || len(series) != 0 {
		t.Errorf("series by currency: %v, %v", series, err)
	}
	if top, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "name"}); err != nil || len(top) != 0 {
		t.Errorf("top: %v, %v", top, err)
	}
	// A live view may begin before there is anything.
	e := Events(1, 1, time.Second)
	writeEvents(t, s, e...)
	page, err = s.Events(t.Context(), analytics.EventFilter{After: page.Newest})
	if err != nil || len(page.Events) != 1 {
		t.Errorf("after the beginning: %+v, %v", page, err)
	}
}

func rewrites(t *testing.T, s analytics.Store) {
	events := Events(3, 300, time.Hour)
	first := events[0]
	changed := first
	changed.Name, changed.Order.Value, changed.ReceivedAt = "purchase", "1000000", first.ReceivedAt.Add(time.Minute)
	// In one call, and over calls; the whole batch after a crash, too.
	writeEvents(t, s, append(append([]event.Event{}, events...), changed, first)...)
	before := encode(t, allEvents(t, s, analytics.EventFilter{Limit: 1000}))
	page, err := s.Events(t.Context(), analytics.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	writeEvents(t, s, changed)
	writeEvents(t, s, events...)
	if after := encode(t, allEvents(t, s, analytics.EventFilter{Limit: 1000})); after != before {
		t.Errorf("the events changed")
	}
	sameEvents(t, allEvents(t, s, analytics.EventFilter{}), events)
	if p, err := s.Events(t.Context(), analytics.EventFilter{After: page.Newest}); err != nil || len(p.Events) != 0 {
		t.Errorf("a live view saw %d events that were only repeated, %v", len(p.Events), err)
	}
	top, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "source", Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, r := range top {
		sum += r.Value
	}
	if sum != float64(len(events)) {
		t.Errorf("%v are counted, not %d", sum, len(events))
	}
}

func sharedID(t *testing.T, s analytics.Store) {
	events := Events(3, 2, time.Hour)
	events[0].ID, events[1].ID = "same", "same"
	events[0].PixelID, events[1].PixelID = "px_a", "px_b"
	writeEvents(t, s, events...)
	for i := range events {
		if e, err := s.Event(t.Context(), events[i].PixelID, "same"); err != nil || e.Receipt != events[i].Receipt {
			t.Errorf("event of %s: %+v, %v", events[i].PixelID, e, err)
		}
	}
	if e, err := s.Event(t.Context(), "", "same"); err != nil || e.PixelID != "px_b" {
		t.Errorf("without a pixel, the one received last is %q, %v", e.PixelID, err)
	}
	sameEvents(t, allEvents(t, s, analytics.EventFilter{ID: "same"}), events)
}

func replaces(t *testing.T, s analytics.Store) {
	line := event.Sync{EventID: "e", PixelID: "px_a", Partner: "ttd", Attempt: 1, At: Begin, Outcome: event.Retry, Code: "timeout", OrderID: "A-1", Latency: time.Second}
	others := []event.Sync{line, line, line, line}
	others[0].EventID, others[1].PixelID, others[2].Partner, others[3].Attempt = "f", "px_b", "amazon", 2
	writeSyncs(t, s, append(others, line)...)
	line.Outcome, line.Code, line.At, line.OrderID, line.Latency = event.Accepted, "", Begin.Add(time.Second), "A-2", time.Minute
	writeSyncs(t, s, line)
	first := line
	first.Code = "first"
	writeSyncs(t, s, first, line) // the later one of a call counts
	sameSyncs(t, allSyncs(t, s, analytics.SyncFilter{}), append(others, line))
	sameSyncs(t, allSyncs(t, s, analytics.SyncFilter{OrderID: "A-2", Outcome: event.Accepted}), []event.Sync{line})
	top, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricSyncs, Dimension: "outcome"})
	if want := `[{"group":"retry","value":4},{"group":"accepted","value":1}]`; err != nil || encode(t, top) != want {
		t.Errorf("outcomes: %s, %v", encode(t, top), err)
	}
}

func notText(t *testing.T, s analytics.Store) {
	events := Events(3, 3, time.Hour)
	e := &events[1]
	e.Name, e.Context.Page.Title, e.Enrichment.Referrer.Host = "a\xFFb", "\xC3\x28 title", "\xFE"
	e.Properties = jsontext.Value(`{"a":1,"a":2}`)
	writeEvents(t, s, events...)
	sameEvents(t, allEvents(t, s, analytics.EventFilter{}), events)
	if p, err := s.Events(t.Context(), analytics.EventFilter{Query: "\xFE"}); err != nil {
		t.Errorf("a query that is not UTF-8: %d events, %v", len(p.Events), err)
	}
	got, err := s.Event(t.Context(), e.PixelID, e.ID)
	if err != nil || !bytes.Equal(got.Properties, e.Properties) {
		t.Errorf("got %s, %v", got.Properties, err)
	}
}

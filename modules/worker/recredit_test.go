package worker

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/sqlitedb"
)

// given are all sets of credits, without the versions, which tell how they came about,
// the paths that are counted of touchpoints, and how many people there are.
func given(t *testing.T, s *sqliteanalytics.Store, since, until time.Time) map[string]any {
	t.Helper()
	out := map[string]any{}
	f := analytics.CreditFilter{Limit: analytics.MaxLimit}
	for {
		page, err := s.Credits(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Credits {
			c.Version = 0
			b, err := json.Marshal(c, json.Deterministic(true))
			if err != nil {
				t.Fatal(err)
			}
			out[c.EventID+" "+c.Model] = string(b)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			break
		}
	}
	paths, err := s.Paths(t.Context(), analytics.PathQuery{PixelID: "px", Since: since, Until: until})
	if err != nil {
		t.Fatal(err)
	}
	out["paths"] = paths
	people, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: analytics.MetricVisitors, Since: since, Until: until, Step: analytics.Day})
	if err != nil {
		t.Fatal(err)
	}
	out["people"] = people
	return out
}

// A store that was lost is told by the archive what it had been told live: whatever a
// visitor did, also more than is remembered of one.
func TestCreditsThatWereLostAreGivenAnewFromTheArchive(t *testing.T) {
	x := setup(t)
	r := rand.New(rand.NewPCG(5, 7))
	begin := time.Now().UTC().Add(-20 * 24 * time.Hour).Truncate(time.Hour)
	var orders, live []event.Event
	for n := range 500 {
		at := begin.Add(time.Duration(n) * 40 * time.Minute)
		v := r.IntN(9)
		if r.IntN(4) == 0 {
			v = 7 // does more than is remembered of one
		}
		e := purchase(fmt.Sprintf("e%03d", n), func(e *event.Event) {
			e.Time, e.ReceivedAt = at, at.Add(time.Second)
			e.Subject = event.Subject{AnonymousID: fmt.Sprint("visitor-", v)}
			if v < 4 {
				e.Subject.Email = strings.Repeat(fmt.Sprint(v/2), 64) // two and two are one person
			}
			if v == 8 {
				e.Verdict.State = event.Partial
			}
		})
		switch k := r.IntN(10); {
		case v == 7 && k < 4, k < 2:
			orders = append(orders, e)
		case k == 2 && len(orders) > 3:
			o := orders[r.IntN(len(orders))]
			e.Name, e.Order = "refund", event.Order{ID: o.Order.ID, Value: "20", Currency: "GBP"}
			e.Subject = o.Subject
		default:
			e.Name, e.Order = "page_view", event.Order{}
			e.Context.Page = event.Page{URL: "https://shop.example.com/" + []string{"", "?utm_source=news&utm_medium=email", "?gclid=x", "?utm_source=ttd&utm_medium=display&utm_campaign=c" + fmt.Sprint(r.IntN(3))}[r.IntN(4)]}
			if r.IntN(3) == 0 {
				e.Context.Page.Referrer = "https://www.google.com/"
			}
		}
		live = append(live, e)
	}
	steps := x.make().steps
	for i, page := range slices.Collect(slices.Chunk(live, 20)) {
		messages := make([]queue.Message, len(page))
		for j, e := range page {
			body, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			messages[j] = queue.Message{ID: fmt.Sprint(i, "-", j), Body: body}
		}
		b := newBatch(queue.Ingest(event.High), messages)
		for _, s := range steps {
			if s.name == "routes" || s.name == "handover" {
				continue
			}
			if err := s.do(t.Context(), b); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
		}
	}
	until := begin.Add(25 * 24 * time.Hour)
	want := given(t, x.store, begin, until)
	if len(want) < 500 {
		t.Fatalf("only %d sets of credits", len(want))
	}

	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "again.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fresh, err := sqliteanalytics.New(db)
	if err != nil {
		t.Fatal(err)
	}
	again := &recredit{keys: x.keys, writer: fresh, rows: fresh, people: x.deps.People.(*identity.Graph)}
	var kept []event.Event
	for _, e := range x.shelf.records {
		kept = append(kept, e)
	}
	slices.SortFunc(kept, func(a, b event.Event) int { return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), cmp.Compare(a.ID, b.ID)) })
	pixel, _ := x.site.Pixel("px")
	if err := fresh.WriteEvents(t.Context(), kept...); err != nil {
		t.Fatal(err)
	}
	chunk := 0
	for page := range slices.Chunk(kept, 37) {
		list := make([]backfill.Permitted, len(page))
		for i := range page {
			list[i] = backfill.Permitted{Event: page[i], Pixel: pixel}
		}
		chunk++
		for range 1 + chunk%2 { // some pages for the second time
			if err := again.Credit(t.Context(), "job", list); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := given(t, fresh, begin, until)
	for k := range want {
		if !reflect.DeepEqual(got[k], want[k]) {
			t.Errorf("%s:\n%.700v\nwas\n%.700v", k, got[k], want[k])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d sets, of %d", len(got), len(want))
	}

	// What is given live stands above it.
	if err := again.writer.WriteCredits(t.Context(), event.Credits{PixelID: "px", EventID: "live", Model: "last_touch", Version: 1, Name: "live"}); err != nil {
		t.Fatal(err)
	}
	if err := (unversioned{fresh}).WriteCredits(t.Context(), event.Credits{PixelID: "px", EventID: "live", Model: "last_touch", Version: 7, Name: "again"}); err != nil {
		t.Fatal(err)
	}
	page, err := fresh.Credits(t.Context(), analytics.CreditFilter{EventID: "live"})
	if err != nil || len(page.Credits) != 1 || page.Credits[0].Name != "live" {
		t.Errorf("%+v, %v", page.Credits, err)
	}
}

package sqliteanalytics

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/analyticstest"
	"github.com/miq/pixel/modules/event"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asked is the answer to every kind of question that a page asks.
func asked(t *testing.T, s *Store, since, until time.Time) string {
	t.Helper()
	ctx, out := t.Context(), ""
	add := func(what string, v any, err error) {
		t.Helper()
		must(t, err)
		b, err := json.Marshal(v, json.Deterministic(true))
		must(t, err)
		out += what + " " + string(b) + "\n"
	}
	for _, m := range []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors, analytics.MetricRevenue, analytics.MetricBaseRevenue} {
		for _, by := range []string{"", "pixel_id", "device", "page_path"} {
			for _, where := range [][]analytics.Condition{nil, {analytics.Is("device", "mobile")}, {analytics.Is("browser", "Firefox", "Safari"), {Dimension: "country", Values: []string{"GB"}, Not: true}}} {
				q := analytics.SeriesQuery{Metric: m, GroupBy: by, Where: where, Since: since, Until: until, Step: "3h"}
				series, err := s.Series(ctx, q)
				add(fmt.Sprint(m, by, where), series, err)
				if by != "" {
					top, err := s.Top(ctx, analytics.TopQuery{Metric: m, Dimension: by, Where: where, Since: since, Until: until})
					add("top", top, err)
				}
			}
		}
	}
	funnel, err := s.Funnel(ctx, analytics.FunnelQuery{Since: since, Until: until, Steps: []analytics.FunnelStep{{Name: "page_view"}, {Name: "add_to_cart", Where: []analytics.Condition{analytics.Is("device", "mobile")}}, {Name: "purchase"}}})
	add("funnel", funnel, err)
	orders, err := s.Repeated(ctx, analytics.RepeatedQuery{Since: since, Until: until})
	add("orders", orders, err)
	latency, err := s.Latency(ctx, analytics.LatencyQuery{Since: since, Until: until, Step: "6h"})
	add("latency", latency, err)
	stored, err := s.Stored(ctx, since, until)
	slices.SortFunc(stored, func(x, y analytics.Tally) int {
		return slices.Compare([]string{x.PixelID, x.Partner, x.Hour.String()}, []string{y.PixelID, y.Partner, y.Hour.String()})
	})
	add("stored", stored, err)
	return out
}

// What is rolled up is taken away behind the store's back, so that whatever read it would
// answer something else. What has an order's id stays: it is written nowhere else.
func TestPagesAskNothingThatReadsTheEventsOneByOne(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	s.rollEvery = 900
	events := analyticstest.Events(1, 5000, 30*time.Hour)
	for i := 0; i < len(events); i += 250 {
		must(t, s.WriteEvents(t.Context(), events[i:i+250]...))
	}
	must(t, s.WriteSyncs(t.Context(), analyticstest.Syncs(1, events)...))
	since, until := analyticstest.Begin.Add(95*time.Minute), analyticstest.Begin.Add(28*time.Hour+7*time.Minute)
	before := asked(t, s, since, until)
	s.columns.InvalidateAll()
	r, err := s.db.Durable.Exec(`DROP TRIGGER matches_go_with_events; DROP TRIGGER credits_go_with_events; DELETE FROM events WHERE seq <= (SELECT seq FROM rolled) AND order_id = ''`)
	must(t, err)
	if n, err := r.RowsAffected(); err != nil || n < 3000 {
		t.Fatalf("only %d were taken away, %v", n, err)
	}
	if after := asked(t, s, since, until); after != before {
		t.Error("a question reads events")
	}
	// A search that nothing can answer looks at nothing.
	page, err := s.Events(t.Context(), analytics.EventFilter{Query: "nothing-like-it"})
	if err != nil || len(page.Events) != 0 || page.Next != "" || !page.Searched.IsZero() {
		t.Errorf("a search for what is not there: %d, %q, %v, %v", len(page.Events), page.Next, page.Searched, err)
	}
}

func TestChunksThatEventsWereTakenFromAreMadeAnew(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	s.rollEvery = 400
	events := analyticstest.Events(1, 3000, 30*time.Hour)
	for i := 0; i < len(events); i += 100 {
		must(t, s.WriteEvents(t.Context(), events[i:i+100]...))
	}
	since, until := analyticstest.Begin, analyticstest.Begin.Add(40*time.Hour)
	asked(t, s, since, until)
	var ids []string
	var left []event.Event
	for i := range events {
		if i%700 == 5 || i < 500 && events[i].PixelID == events[0].PixelID {
			if events[i].PixelID == events[0].PixelID {
				ids = append(ids, events[i].ID)
				continue
			}
		}
		left = append(left, events[i])
	}
	done, err := s.Erase(t.Context(), analytics.Erasure{PixelID: events[0].PixelID, Events: ids})
	must(t, err)
	if done.Events != len(ids) {
		t.Fatalf("%d of %d were erased", done.Events, len(ids))
	}
	other := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	must(t, other.WriteEvents(t.Context(), left...))
	want := asked(t, other, since, until)
	if got := asked(t, s, since, until); got != want {
		t.Error("right after the erasure a question finds something else than there is")
	}
	must(t, s.Mend(t.Context()))
	p := position{}
	must(t, s.db.Read.QueryRow(`SELECT seq FROM rolled`).Scan(&p.rolled))
	var stand, there int
	must(t, s.db.Read.QueryRow(`SELECT sum(n) FROM chunks`).Scan(&stand))
	must(t, s.db.Read.QueryRow(`SELECT count(*) FROM events WHERE seq <= ?`, p.rolled).Scan(&there))
	if stand != there {
		t.Errorf("the chunks hold %d events, of %d", stand, there)
	}
	if got := asked(t, s, since, until); got != want {
		t.Error("once they are made anew a question finds something else than there is")
	}
	var of, columns int
	must(t, s.db.Read.QueryRow(`SELECT count(DISTINCT chunk), (SELECT count(*) FROM chunks) FROM chunk_columns`).Scan(&columns, &of))
	if columns != of {
		t.Errorf("there are columns of %d chunks, and %d chunks", columns, of)
	}
}

func TestColumnsComeBackAsTheyWere(t *testing.T) {
	b := newBatch([]string{"device"})
	for i := range 5000 {
		c := counted{seq: int64(3 * i), at: int64(1e15) - int64(i*i), time: int64(i % 7), pixel: fmt.Sprint("p", i%3), name: []string{"purchase", "page_view"}[i%2], order: fmt.Sprint(i % 900), values: []string{fmt.Sprint("d", i%400)}, search: fmt.Appendf(nil, "\xFFsome text %d\xFEid-%d", i, i)}
		if i%4 == 0 {
			c.revenue.Valid, c.revenue.Float64 = true, float64(i)/3
		}
		b.add(&c, digest(fmt.Sprint(i%1000)))
	}
	for name, c := range b.columns(b.n) {
		body := c.encode()
		got, err := decodeColumn(name, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again := got.encode(); !slices.Equal(again, body) {
			t.Errorf("%s is not what it was", name)
		}
		if c.ints != nil && !reflect.DeepEqual(got.ints, c.ints) || len(c.codes) > 0 && !reflect.DeepEqual(got.codes, c.codes) {
			t.Errorf("%s has other values", name)
		}
		for _, cut := range []int{0, 1, len(body) / 2, len(body) - 1} {
			if _, err := decodeColumn(name, body[:cut]); err == nil {
				t.Errorf("%s was read though only %d of %d bytes are there", name, cut, len(body))
			}
		}
	}
}

// A search that looks at few events at a time finds what one that looks at all finds.
func TestASearchGoesOnWhereItStopped(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	s.rollEvery = 300
	events := analyticstest.Events(1, 2000, 20*time.Hour)
	for i := 0; i < len(events); i += 100 {
		must(t, s.WriteEvents(t.Context(), events[i:i+100]...))
	}
	stopped := 0
	for _, q := range []analytics.EventFilter{
		{Query: "shoe 1"}, {Query: "PURCHASE"}, {Query: "e"}, {Query: events[3].ID}, {Query: events[3].ID[:9], PixelID: events[3].PixelID},
		{Query: "shoe", Where: []analytics.Condition{analytics.Is("device", "mobile")}}, {Query: "no such thing at all"},
	} {
		read := func(looked int) (ids []string, stops int) {
			s.mostLooked = looked
			f := q
			f.Limit = 40
			for {
				page, err := s.Events(t.Context(), f)
				must(t, err)
				for i := range page.Events {
					ids = append(ids, page.Events[i].PixelID+page.Events[i].ID)
				}
				if !page.Searched.IsZero() {
					if stops++; page.Next == "" {
						t.Fatal("it stopped, and does not say where to go on")
					}
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					return ids, stops
				}
			}
		}
		all, none := read(1 << 20)
		some, stops := read(70)
		if !slices.Equal(some, all) {
			t.Errorf("%q: %d are found, not %d", q.Query, len(some), len(all))
		}
		if stopped += stops; none > 0 {
			t.Errorf("%q: it stopped %d times where it need not", q.Query, none)
		}
	}
	if stopped == 0 {
		t.Error("it never stopped")
	}
}

func TestLinesOfTheSyncLogThatChangeAreCountedAsTheyAre(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	events := analyticstest.Events(1, 600, 10*time.Hour)
	syncs := analyticstest.Syncs(1, events)
	since, until := analyticstest.Begin.Add(-time.Hour), analyticstest.Begin.Add(12*time.Hour)
	same := func(when string) {
		t.Helper()
		set := func(list []analytics.Tally, err error) map[analytics.Tally]bool {
			must(t, err)
			out := map[analytics.Tally]bool{}
			for _, l := range list {
				out[l] = true
			}
			return out
		}
		if got, want := set(s.Stored(t.Context(), since, until)), set(s.Tally(t.Context(), since, until)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d rows, not %d", when, len(got), len(want))
		}
	}
	must(t, s.WriteSyncs(t.Context(), syncs...))
	same("lines whose events are not stored yet")
	must(t, s.WriteEvents(t.Context(), events[:300]...))
	same("with some events")
	must(t, s.WriteEvents(t.Context(), events[300:]...))
	same("with all events")
	for i := range syncs {
		if syncs[i].Outcome = event.Accepted; i%3 == 0 {
			syncs[i].Outcome = event.NotSent
		}
	}
	must(t, s.WriteSyncs(t.Context(), syncs...))
	same("replaced")
	_, err := s.Erase(t.Context(), analytics.Erasure{PixelID: events[0].PixelID, Events: []string{events[0].ID, events[1].ID, events[2].ID}})
	must(t, err)
	same("erased")
	_, err = s.Expire(t.Context(), events[0].PixelID, analyticstest.Begin.Add(4*time.Hour), analyticstest.Begin.Add(2*time.Hour))
	must(t, err)
	same("expired")
	_, err = s.Expire(t.Context(), events[0].PixelID, time.Time{}, analyticstest.Begin.Add(8*time.Hour))
	must(t, err)
	same("the log expired")
}

// Questions are asked while events are written, rolled up and erased; none fails, and in
// the end all find what is there.
func TestQuestionsAndWritesMayComeAtOnce(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	s.rollEvery = 200
	events := analyticstest.Events(1, 900, 20*time.Hour)
	since, until := analyticstest.Begin, analyticstest.Begin.Add(21*time.Hour)
	where := []analytics.Condition{analytics.Is("device", "mobile"), {Dimension: "country", Values: []string{"GB"}, Not: true}}
	var askers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		askers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricVisitors, Dimension: "name", Where: where, Since: since, Until: until})
				if err == nil {
					_, err = s.Stored(t.Context(), since, until)
				}
				if err == nil {
					_, err = s.Events(t.Context(), analytics.EventFilter{Query: "shoe 17"})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := 0; i < len(events); i += 100 {
		must(t, s.WriteEvents(t.Context(), events[i:i+100]...))
		must(t, s.WriteSyncs(t.Context(), analyticstest.Syncs(uint64(i), events[i:i+100])...))
		if i%300 == 0 {
			_, err := s.Erase(t.Context(), analytics.Erasure{PixelID: events[i].PixelID, Events: []string{events[i].ID}})
			must(t, err)
			must(t, s.Mend(t.Context()))
		}
	}
	close(done)
	askers.Wait()
	stored, err := s.Stored(t.Context(), since, until)
	must(t, err)
	n := int64(0)
	for _, row := range stored {
		if row.Partner == "" {
			n += row.N
		}
	}
	var there int64
	must(t, s.db.Read.QueryRow(`SELECT count(*) FROM events WHERE received_at < ?`, until.UnixMicro()).Scan(&there))
	if n != there {
		t.Errorf("%d events are counted, of %d", n, there)
	}
}

func TestAWriterWaitsForNoReaderOfWhatIsInMemory(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	events := analyticstest.Events(1, 50, time.Hour)
	syncs, matches := analyticstest.Syncs(1, events), analyticstest.Matches(1, events)
	must(t, s.WriteEvents(t.Context(), events...))
	must(t, s.WriteSyncs(t.Context(), syncs...))
	since, until := analyticstest.Begin.Add(-time.Hour), analyticstest.Begin.Add(3*time.Hour)
	before := len(syncs)
	for _, l := range []*turns{&s.lines.turns, &s.matched.turns} {
		must(t, l.take(t.Context())) // somebody reads, for as long as this test likes
	}
	more := syncs[0]
	more.Attempt += 100
	must(t, s.WriteSyncs(t.Context(), more))
	must(t, s.WriteMatches(t.Context(), matches...))
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.Stored(gone, since, until); !errors.Is(err, context.Canceled) {
		t.Errorf("who leaves while somebody else reads: %v", err)
	}
	s.lines.give()
	s.matched.give()
	lines := 0
	ok, err := s.lines.with(t.Context(), s, func(list []line, _ [4][]string) { lines = len(list) })
	if must(t, err); !ok || lines != before+1 {
		t.Errorf("%d lines, not %d", lines, before+1)
	}
}

func TestWhatNobodyAsksForIsLetGo(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	s.lines.changed.most = 10
	syncs := analyticstest.Syncs(1, analyticstest.Events(1, 50, time.Hour))
	must(t, s.WriteSyncs(t.Context(), syncs...))
	must(t, s.warm(t.Context()))
	if len(s.lines.list) != 0 {
		t.Errorf("%d lines are kept, and nobody asked since", len(s.lines.list))
	}
	count := 0
	_, err := s.lines.with(t.Context(), s, func(list []line, _ [4][]string) { count = len(list) })
	if must(t, err); count != len(syncs) {
		t.Errorf("%d lines, not %d", count, len(syncs))
	}
	must(t, s.warm(t.Context()))
	if len(s.lines.list) != len(syncs) {
		t.Error("they were let go although somebody asked")
	}
}

// After a start the log is long and nothing of it in memory: who asks is answered from the
// store, however long somebody takes to read it.
func TestNobodyWaitsForTheSyncLogToBeRead(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	t.Cleanup(s.Stop)
	syncs := analyticstest.Syncs(1, analyticstest.Events(1, 200, time.Hour))
	must(t, s.WriteSyncs(t.Context(), syncs...))
	ask := func() []analytics.TopRow {
		t.Helper()
		rows, err := s.Top(t.Context(), analytics.TopQuery{Metric: analytics.MetricSyncs, Dimension: "outcome", Since: analyticstest.Begin.Add(-time.Hour), Until: analyticstest.Begin.Add(48 * time.Hour), Limit: 100})
		must(t, err)
		return rows
	}
	want := ask()
	s.lines.forget()
	s.lines.awaited = int64(len(syncs) / 2)
	must(t, s.lines.take(t.Context())) // whoever reads it takes as long as this test likes
	s.lines.reading.Store(true)
	if got := ask(); !slices.Equal(got, want) {
		t.Errorf("while it is read: %v, not %v", got, want)
	}
	s.lines.reading.Store(false)
	s.lines.give()
	if got := ask(); !slices.Equal(got, want) {
		t.Errorf("before it is read: %v, not %v", got, want)
	}
	s.tasks.running.Wait() // that question had it read
	if got := len(s.lines.list); got != len(syncs) {
		t.Errorf("%d lines were read for those who ask next, not %d", got, len(syncs))
	}
	if got := ask(); !slices.Equal(got, want) {
		t.Errorf("from memory: %v, not %v", got, want)
	}
}

// Whoever has a connection waits for nobody who needs another: four people who look at the
// same moment would wait for one another for ever.
func TestEachQuestionIsAnsweredByOneConnection(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "analytics.db"))
	events := analyticstest.Events(2, 300, time.Hour)
	must(t, s.WriteEvents(t.Context(), events...))
	must(t, s.WriteSyncs(t.Context(), analyticstest.Syncs(2, events)...))
	must(t, s.WriteMatches(t.Context(), analyticstest.Matches(2, events)...))
	touches := analyticstest.Touches(2, 100)
	must(t, s.WriteBatch(t.Context(), analytics.Batch{Touches: touches, Credits: analyticstest.CreditSets(2, 50, touches)}))
	s.db.Read.SetMaxOpenConns(1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	since, until := analyticstest.Begin.Add(-time.Hour), analyticstest.Begin.Add(30*24*time.Hour)
	for range 2 { // from the store, and from memory
		for _, m := range []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors, analytics.MetricRevenue, analytics.MetricSyncs} {
			by := "partner"
			if m != analytics.MetricSyncs {
				by = "country"
			}
			_, err := s.Top(ctx, analytics.TopQuery{Metric: m, Dimension: by, Since: since, Until: until})
			must(t, err)
			_, err = s.Series(ctx, analytics.SeriesQuery{Metric: m, GroupBy: by, Step: analytics.Day, Since: since, Until: until})
			must(t, err)
		}
		_, err := s.Latency(ctx, analytics.LatencyQuery{Since: since, Until: until})
		must(t, err)
		_, err = s.Stored(ctx, since, until)
		must(t, err)
		_, err = s.Readiness(ctx, analytics.ReadinessQuery{Since: since, Until: until})
		must(t, err)
		_, err = s.Attribution(ctx, analytics.AttributionQuery{Models: []string{"linear"}, Dimension: "channel", Since: since, Until: until})
		must(t, err)
		_, err = s.Paths(ctx, analytics.PathQuery{Since: since, Until: until})
		must(t, err)
		_, err = s.Funnel(ctx, analytics.FunnelQuery{Steps: []analytics.FunnelStep{{Name: "page_view"}, {Name: "purchase"}}, Since: since, Until: until, Window: time.Hour})
		must(t, err)
	}
}

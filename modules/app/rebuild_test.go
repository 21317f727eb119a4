package app

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/clickhousetest"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/state"
)

// told is what the store says of a time: every event, time series, and what conversions
// are owed to.
func (j *journey) told(credits analytics.CreditReader, receipts analytics.ReceiptReader, since, until time.Time) map[string]any {
	j.t.Helper()
	out := map[string]any{}
	note := func(name string, v any, err error) {
		j.t.Helper()
		if err != nil {
			j.t.Fatalf("%s: %v", name, err)
		}
		b, err := json.Marshal(v, json.Deterministic(true))
		if err != nil {
			j.t.Fatal(err)
		}
		out[name] = string(b)
	}
	events := analytics.EventFilter{Limit: analytics.MaxLimit}
	page, err := j.events.Events(j.t.Context(), events)
	if page.Next != "" {
		j.t.Fatal("there are more events than a page has")
	}
	slices.SortFunc(page.Events, func(a, b event.Event) int { return strings.Compare(a.ID, b.ID) })
	note("events", page.Events, err)
	for _, m := range []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors, analytics.MetricRevenue} {
		for _, step := range []analytics.Step{analytics.Minute, analytics.Hour, analytics.Day} {
			v, err := j.events.Series(j.t.Context(), analytics.SeriesQuery{Metric: m, Since: since, Until: until, Step: step})
			note(fmt.Sprintf("%s each %s", m, step), v, err)
		}
		v, err := j.events.Top(j.t.Context(), analytics.TopQuery{Metric: m, Dimension: "utm_source"})
		note(string(m)+" by source", v, err)
	}
	sets, err := credits.Credits(j.t.Context(), analytics.CreditFilter{Limit: analytics.MaxLimit})
	if sets.Next != "" {
		j.t.Fatal("there are more sets of credits than a page has")
	}
	for i := range sets.Credits {
		sets.Credits[i].Version = 0 // tells how they came about
	}
	slices.SortFunc(sets.Credits, func(a, b event.Credits) int { return strings.Compare(a.EventID+a.Model, b.EventID+b.Model) })
	note("credits", sets.Credits, err)
	rows, err := credits.Attribution(j.t.Context(), analytics.AttributionQuery{Models: attribution.Immediate, Dimension: "channel"})
	note("attribution", rows, err)
	paths, err := credits.Paths(j.t.Context(), analytics.PathQuery{})
	note("paths", paths, err)
	// What no event tells.
	syncs, err := j.events.Syncs(j.t.Context(), analytics.SyncFilter{Limit: analytics.MaxLimit})
	if syncs.Next != "" {
		j.t.Fatal("there are more lines than a page has")
	}
	slices.SortFunc(syncs.Syncs, func(a, b event.Sync) int {
		return strings.Compare(a.EventID+a.Partner+a.At.String(), b.EventID+b.Partner+b.At.String())
	})
	note("syncs", syncs.Syncs, err)
	v, err := j.events.Series(j.t.Context(), analytics.SeriesQuery{Metric: analytics.MetricSyncs, Since: since, Until: until, Step: analytics.Minute, GroupBy: "outcome"})
	note("syncs each minute", v, err)
	ready, err := j.events.Readiness(j.t.Context(), analytics.ReadinessQuery{Since: since, Until: until})
	note("readiness", ready, err)
	given, err := receipts.Receipts(j.t.Context(), analytics.ReceiptFilter{Limit: analytics.MaxLimit})
	slices.SortFunc(given.Receipts, func(a, b event.ConsentReceipt) int { return strings.Compare(a.Hash, b.Hash) })
	note("consent receipts", given.Receipts, err)
	return out
}

// stroll posts what one visitor does on a page.
func (j *journey) stroll(visitor, email, url string, events ...string) {
	j.t.Helper()
	identity := fmt.Sprintf(`{"anonymous_id":%q}`, visitor)
	if email != "" {
		identity = fmt.Sprintf(`{"anonymous_id":%q,"email":%q}`, visitor, email)
	}
	body := fmt.Sprintf(`{"pixel_id":"px_1","consent":%s,"identity":%s,"context":{"page":{"url":%q}},"events":[%s]}`, optedIn, identity, url, strings.Join(events, ","))
	resp, err := http.Post(j.base+"/collect", "application/json", strings.NewReader(body))
	if err != nil {
		j.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted {
		j.t.Fatalf("/collect answers %d %s", resp.StatusCode, answer)
	}
}

// A ClickHouse that was lost with everything in it is made again, as docs/deploy says:
// migrated, and filled from the archive.
func TestAClickHouseThatWasLostIsMadeAgainFromTheArchive(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a ClickHouse engine of its own")
	}
	server, dir := clickhousetest.Start(t, ""), t.TempDir()
	since := time.Now().UTC().Truncate(time.Hour)
	until := since.Add(3 * time.Hour)
	var credits analytics.CreditReader
	var receipts analytics.ReceiptReader
	var want map[string]any
	t.Run("as it was", func(t *testing.T) {
		j := onClickHouse(t, server, map[string]string{"data_dir": dir}, fx.Populate(&credits, &receipts))
		for i := range 40 {
			v, email := fmt.Sprint("v", i), ""
			if i%8 < 2 { // two and two say that they are one
				email = fmt.Sprintf("p%d@example.com", i/8)
			}
			url := "https://shop.example.com/?utm_medium=email&utm_source=news" + fmt.Sprint(i%3)
			j.stroll(v, email, url, `{"name":"page_view"}`, `{"name":"view_item"}`)
			if i%2 == 0 {
				j.stroll(v, email, "https://shop.example.com/thanks", fmt.Sprintf(`{"name":"purchase","properties":{"order_id":"o-%d","value":%d.25,"currency":"USD"}}`, i, 10+i))
			}
			if i%10 == 0 {
				j.stroll(v, "", "https://shop.example.com/back", fmt.Sprintf(`{"name":"refund","properties":{"order_id":"o-%d","value":5,"currency":"USD"}}`, i))
			}
		}
		j.until("the queues are empty", func() bool { return j.waiting() == 0 })
		want = j.told(credits, receipts, since, until)
	})
	if t.Failed() {
		return
	}
	server.Exec(t, "DROP DATABASE px SYNC")

	t.Run("as it is again", func(t *testing.T) {
		var keys state.Store
		j := resume(t, map[string]string{"data_dir": dir, "clickhouse.dsn": migrated(t, server)}, fx.Populate(&credits, &receipts, &keys))
		if n := len(j.stored()); n != 0 {
			t.Fatalf("%d events are there", n)
		}
		x, err := routes.NewExpressions()
		if err != nil {
			t.Fatal(err)
		}
		jobs := backfill.NewJobs(keys, func(string) bool { return true }, x, time.Now)
		job, err := jobs.Create(t.Context(), backfill.Spec{Storage: true, Credits: true}, "ada")
		if err != nil {
			t.Fatal(err)
		}
		j.until("the backfill ended", func() bool {
			if job, err = jobs.Get(t.Context(), job.ID); err != nil {
				t.Fatal(err)
			}
			return job.State.Ended()
		})
		if job.State != backfill.Done {
			t.Fatalf("the backfill %s: %s", job.State, job.Error)
		}
		got := j.told(credits, receipts, since, until)
		for name := range want {
			if !reflect.DeepEqual(got[name], want[name]) {
				t.Errorf("%s:\n%.900v\nwas\n%.900v", name, got[name], want[name])
			}
		}
		if n := strings.Count(want["credits"].(string), `"model"`); n < 20*len(attribution.Immediate) {
			t.Errorf("only %d sets of credits were compared", n)
		}
		for name, mark := range map[string]string{"syncs": `"outcome"`, "consent receipts": `"hash"`, "readiness": `"partner"`} {
			t.Logf("%d of %s are compared", strings.Count(strings.ToLower(want[name].(string)), mark), name)
		}
		if n := strings.Count(want["syncs"].(string), `"outcome"`); n < 20 || job.Progress.Lines < int64(n) {
			t.Errorf("%d lines of the log were stored again, of %d and more", job.Progress.Lines, n)
		}
	})
}

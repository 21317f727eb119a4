package admin

import (
	"context"
	"encoding/csv"
	"fmt"
	"html"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// twoDays are a day with six events of which four have full consent and three are purchases,
// and the day before it, with four, two and one.
func twoDays(t *testing.T, b *bench) {
	t.Helper()
	now := b.now().UTC()
	for day, of := range [][3]int{{6, 4, 3}, {4, 2, 1}} {
		at := now.Add(-time.Duration(24*day+6) * time.Hour)
		for i := range of[0] {
			e := someEvent(fmt.Sprintf("e-%d-%d", day, i), at.Add(time.Duration(i)*time.Minute))
			e.Subject.VisitorID = fmt.Sprintf("v-%d-%d", day, i)
			if i >= of[1] {
				e.Verdict.State = event.Partial
			}
			if i >= of[2] {
				e.Name, e.Order = "page_view", event.Order{}
			} else {
				e.Order = event.Order{ID: e.ID, Value: "100", Currency: "GBP"}
			}
			must(t, b.store.WriteEvents(t.Context(), e))
		}
		a := queue.AccountOf("px_shop", at)
		must(t, b.queue.Push(t.Context(), queue.Item{Queue: queue.Ingest(event.High), Body: []byte("1"), Account: a, Stage: ledger.Received, N: int64(of[0])}))
	}
}

var tags = regexp.MustCompile(`(?s)<[^>]*>`)

// words are what a page says, without its tags.
func words(page string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(page, " "))), " ")
}

func TestEachReportStandsAgainstThePeriodBefore(t *testing.T) {
	b := open(t, allPartners)
	twoDays(t, b)
	w := b.as(Viewer)
	const was = "in the 24 hours before"
	for _, c := range []struct {
		path string
		want []string
	}{
		{"/", []string{"6 50% more than " + was, "£300.00 200% more than " + was, "66.7% full", "16.7 points more than " + was}},
		{"/?chart=purchases", []string{"Purchases In the 24 hours before"}},
		{"/?chart=revenue", []string{"£300.00", "Revenue In the 24 hours before"}},
		{"/?chart=consent", []string{"Full consent In the 24 hours before"}},
		{"/reports?range=24h", []string{"Events 6 50% more than " + was, "Events In the 24 hours before"}},
		{"/reports?range=24h&metric=revenue", []string{"GBP £300.00 200% more than " + was}},
		{"/reports?range=24h&metric=visitors", []string{"on average"}},
		{"/reports?range=24h&group_by=name", []string{"page_view 3 As " + was, "purchase 3 200% more than " + was, "purchase, in the 24 hours before"}},
		{"/reports/consent?range=24h", []string{"66.7% 16.7 points more than " + was, "Full consent In the 24 hours before"}},
		{"/reports/funnel?range=24h&step=page_view&step=page_view", []string{"Of the first, in the 24 hours before 1. page_view 3 100% – 100%"}},
	} {
		got := w.get(c.path)
		text := words(got.body)
		for _, want := range c.want {
			if got.status != http.StatusOK || !strings.Contains(text, want) {
				t.Errorf("%s does not say %q: %d %.3000s", c.path, want, got.status, text)
			}
		}
		// What the page shows is in its file, with what was before.
		for _, file := range regexp.MustCompile(`href="(/api/v1/reports/[^"]*compare=before[^"]*format=csv)"`).FindAllStringSubmatch(got.body, -1) {
			answer := b.call(adminToken, get, html.UnescapeString(file[1]), nil)
			rows, err := csv.NewReader(strings.NewReader(answer.body)).ReadAll()
			if answer.status != http.StatusOK || err != nil || len(rows) < 2 || !slices.ContainsFunc(rows[0], func(c string) bool { return strings.HasSuffix(c, "_before") }) {
				t.Errorf("%s leads to %s: %d, %v, %.200s", c.path, file[1], answer.status, err, answer.body)
			}
		}
	}
	// What was a day before and what is now are added up in the files.
	for path, want := range map[string][2]string{
		"/reports/timeseries?since=24h&step=day&compare=before&format=json":                      {`"value":6`, `"before":4`},
		"/reports/timeseries?since=24h&metric=revenue&group_by=currency&step=day&compare=before": {`"value":300`, `"before":100`},
		"/reports/consent?since=24h&step=day&compare=before":                                     {`"full":4`, `"before":{`},
		"/reports/funnel?since=24h&step=page_view&step=purchase&compare=before":                  {`"visitors":3`, `"visitors_before":3`},
	} {
		got := b.call(adminToken, get, base+path, nil)
		if got.status != http.StatusOK || !strings.Contains(got.body, want[0]) || !strings.Contains(got.body, want[1]) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	for _, path := range []string{"/reports/timeseries?compare=after", "/reports/consent?compare=before"} {
		if got := b.call(adminToken, get, base+path, nil); got.status != http.StatusBadRequest || !strings.Contains(got.body, `"pointer":"compare"`) {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// What was before is the same as if it were asked for by the groups that there are now.
func TestGroupsAreComparedWithThemselves(t *testing.T) {
	since := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	named := func(n int, from string) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprintf("%s_%02d", from, i))
		}
		return names
	}
	for _, c := range []struct {
		what        string
		now, before []string // groups; the earlier in a list, the more events it has
	}{
		{"fewer groups than fit", named(3, "a"), append(named(2, "a"), "gone")},
		{"more before than fit", []string{"a_30", "a_02", "new"}, named(31, "a")},
		{"as many before as fit", []string{"a_00", "new"}, named(analytics.MaxGroups, "a")},
		{"more before than fit, ours among the greatest", []string{"a_01", "a_00"}, named(31, "a")},
		{"more of both than fit", named(31, "a"), append(named(31, "b"), named(31, "a")...)},
		{"none now", nil, named(31, "a")},
		{"none before", named(3, "a"), nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			b := open(t)
			var events []event.Event
			for day, names := range [][]string{c.before, c.now} {
				for i, name := range names {
					for n := range 2 * (len(names) - i) { // the more, in two steps
						e := someEvent(fmt.Sprintf("e-%d-%s-%d", day, name, n), since.AddDate(0, 0, day-1).Add(time.Duration(1+n%2*12)*time.Hour))
						e.Name, e.Enrichment.Device.Class, e.Order = name, name, event.Order{}
						events = append(events, e)
					}
				}
			}
			must(t, b.store.WriteEvents(t.Context(), events...))
			for _, dimension := range []string{"device", "name"} {
				q := analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: since, Until: since.AddDate(0, 0, 1), Step: "6h", GroupBy: dimension}
				now, before, err := b.compared(t.Context(), q)
				must(t, err)
				want, err := b.store.Series(t.Context(), q)
				must(t, err)
				if !reflect.DeepEqual(now, want) || len(now) != min(len(c.now), analytics.MaxGroups) {
					t.Errorf("now, by %s: %v, not %v", dimension, now, want)
				}
				if len(now) == 0 {
					if len(before) > 0 {
						t.Errorf("before, by %s: %v", dimension, before)
					}
					continue
				}
				only, groups := earlier(q), analytics.Condition{Dimension: dimension}
				for _, s := range now {
					groups.Values = append(groups.Values, s.Group)
				}
				only.Where = []analytics.Condition{groups}
				was, err := b.store.Series(t.Context(), only)
				must(t, err)
				if len(before)+len(was) > 0 && !reflect.DeepEqual(before, was) {
					t.Errorf("before, by %s: %v, not %v", dimension, before, was)
				}
			}
		})
	}
}

// Of a time in which everybody agreed the one before is no less what it was.
func TestAShareIsOfAllThatThereWas(t *testing.T) {
	b := open(t)
	now := b.now().UTC()
	for i, state := range []event.State{event.Full, event.Full, event.Partial} {
		e := someEvent(fmt.Sprint("e-", i), now.Add(-time.Hour))
		if i > 0 {
			e.ReceivedAt = now.Add(-30 * time.Hour)
		}
		e.Verdict.State = state
		must(t, b.store.WriteEvents(t.Context(), e))
	}
	page := words(b.as(Viewer).get("/?range=24h&chart=consent").body)
	_, table, _ := strings.Cut(page, "The numbers as a table From Full consent In the 24 hours before")
	table, _, _ = strings.Cut(table, "Top events")
	if !strings.Contains(table, " – 50% ") {
		t.Errorf("%.2500s", table)
	}
}

func TestNothingIsComparedWhereNothingWas(t *testing.T) {
	b := open(t)
	must(t, b.store.WriteEvents(t.Context(), someEvent("e", b.now().UTC().Add(-time.Hour))))
	w := b.as(Viewer)
	for _, path := range []string{"/", "/reports", "/reports/consent"} {
		if got := w.get(path); got.status != http.StatusOK || strings.Contains(got.body, "data-was") || strings.Contains(got.body, "than in") {
			t.Errorf("%s: %d %.3000s", path, got.status, words(got.body))
		}
	}
}

func TestAValueIsSaidAgainstWhatItWas(t *testing.T) {
	for _, c := range []struct {
		now, before float64
		unit, want  string
	}{
		{150, 100, "", "50% more than in it"}, {50, 100, "", "50% fewer than in it"}, {50, 100, "GBP", "50% less than in it"}, {100, 100, "", "As in it"}, {100.2, 100, "", "As in it"},
		{5, 0, "", "None in it"}, {60, 55.5, perHundred, "4.5 points more than in it"}, {55.5, 60, perHundred, "4.5 points less than in it"}, {60, 60.01, perHundred, "As in it"}, {12_345, 1, "", "12,345 times what it was in it"},
	} {
		if got := against(c.now, c.before, c.unit, "it"); got != c.want {
			t.Errorf("%v after %v: %q, not %q", c.now, c.before, got, c.want)
		}
	}
}

func TestARangeMayBeFromOneDayToAnother(t *testing.T) {
	now := time.Date(2026, 11, 26, 15, 30, 0, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	for _, c := range []struct {
		key, from, to string
		zone          *time.Location
		since, until  string
		title, wrong  string
	}{
		{"dates", "2026-11-01", "2026-11-14", time.UTC, "2026-11-01T00:00:00Z", "2026-11-15T00:00:00Z", "1 to 14 Nov 2026", ""},
		{"dates", "2026-10-20", "2026-11-02", berlin, "2026-10-19T22:00:00Z", "2026-11-02T23:00:00Z", "20 Oct to 2 Nov 2026", ""},
		{"dates", "", "", time.UTC, "2026-11-20T00:00:00Z", "2026-11-26T15:30:00Z", "20 to 26 Nov 2026", ""},
		{"dates", "2025-12-31", "2026-01-01", time.UTC, "2025-12-31T00:00:00Z", "2026-01-02T00:00:00Z", "31 Dec 2025 to 1 Jan 2026", ""},
		{"dates", "2026-11-14", "2026-11-14", time.UTC, "2026-11-14T00:00:00Z", "2026-11-15T00:00:00Z", "14 Nov 2026", ""},
		{"dates", "2026-11-14", "2026-11-01", time.UTC, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "1 Nov 2026", "from"},
		{"dates", "yesterday", "2026-11-14", time.UTC, "2026-11-08T00:00:00Z", "2026-11-15T00:00:00Z", "8 to 14 Nov 2026", "from"},
		{"dates", "2020-01-01", "2026-11-14", time.UTC, "2025-11-14T00:00:00Z", "2026-11-15T00:00:00Z", "14 Nov 2025 to 14 Nov 2026", "from"},
		{"dates", "2027-01-01", "2027-01-02", time.UTC, "2026-11-19T15:30:00Z", "2026-11-26T15:30:00Z", "1 to 2 Jan 2027", "from"},
		{"24h", "2026-11-01", "2026-11-14", time.UTC, "2026-11-25T15:30:00Z", "2026-11-26T15:30:00Z", "Last 24 hours", ""},
	} {
		v := reportView{until: now, zone: c.zone}
		v.choose(c.key, c.from, c.to)
		wrong := ""
		if len(v.Errors) > 0 {
			wrong = v.Errors[0].Field
		}
		if got := v.since.UTC().Format(time.RFC3339); got != c.since || v.until.UTC().Format(time.RFC3339) != c.until || v.Range.Title != c.title || wrong != c.wrong {
			t.Errorf("%s to %s: %s to %s, %q, %q", c.from, c.to, got, v.until.UTC().Format(time.RFC3339), v.Range.Title, wrong)
		}
	}
}

// Every report that can be had from one day to another keeps the days in its links, and its
// file is of the same time.
func TestDaysAreKeptFromReportToReport(t *testing.T) {
	b := open(t, allPartners)
	twoDays(t, b)
	w := b.as(Viewer)
	from, to := b.now().UTC().AddDate(0, 0, -3).Format(time.DateOnly), b.now().UTC().Format(time.DateOnly)
	for _, tab := range reportTabs {
		got := w.get(tab.Path + "?range=dates&from=" + from + "&to=" + to + "&zone=Europe/London&pixel_id=px_shop")
		if got.status != http.StatusOK || !strings.Contains(got.body, `name="from" value="`+from+`"`) || strings.Count(got.body, "from="+from) < len(reportTabs) {
			t.Errorf("%s: %d", tab.Path, got.status)
		}
		for _, file := range regexp.MustCompile(`href="(/api/v1/reports/[^"]*format=csv)"`).FindAllStringSubmatch(got.body, -1) {
			if answer := b.call(adminToken, get, html.UnescapeString(file[1]), nil); answer.status != http.StatusOK || !strings.Contains(file[1], "until=") {
				t.Errorf("%s leads to %s: %d %.200s", tab.Path, file[1], answer.status, answer.body)
			}
		}
	}
	if got := w.get("/reports/duplicates?range=dates&from=2026-01-01&to=2026-03-01"); got.status != http.StatusBadRequest || !strings.Contains(got.body, "at most 31 days") {
		t.Errorf("two months of books: %d", got.status)
	}
}

// unread is a store whose sync log is still being read.
type unread struct {
	analytics.Reader
	ready chan struct{}
}

func (h unread) Stored(ctx context.Context, since, until time.Time) ([]analytics.Tally, error) {
	select {
	case <-h.ready:
		return h.Reader.Stored(ctx, since, until)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestReconciliationSaysThatItIsBeingReadAndThenWhatItFound(t *testing.T) {
	ready := make(chan struct{})
	b := open(t, func(o *Options) { o.Events = unread{o.Events, ready} })
	twoDays(t, b)
	b.patience = time.Millisecond
	w := b.as(Viewer)
	for range 2 {
		if got := w.get("/reports/reconciliation"); got.status != http.StatusOK || !strings.Contains(got.body, "is being read") || !strings.Contains(got.body, `id="reading" hx-get`) {
			t.Fatalf("%d %.3000s", got.status, words(got.body))
		}
	}
	close(ready)
	b.patience = time.Minute
	if got := w.get("/reports/reconciliation?range=24h"); got.status != http.StatusOK || !strings.Contains(words(got.body), "6 stored") || strings.Contains(got.body, `id="reading"`) {
		t.Errorf("%d %.3000s", got.status, words(got.body))
	}
}

func TestAttributionSaysMoneyAsOtherPagesDo(t *testing.T) {
	b := open(t, allPartners)
	seedCredits(t, b, time.Now())
	got := b.as(Viewer).get("/attribution")
	text := words(got.body)
	for _, want := range []string{"Conversions 40", "£", "€", "Paid search", "Revenue in GBP"} {
		if got.status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("it does not say %q: %.2000s", want, text)
		}
	}
	if regexp.MustCompile(`\d (GBP|EUR)`).MatchString(text) {
		t.Errorf("an amount has its currency's code behind it: %.2000s", text)
	}
	for _, file := range regexp.MustCompile(`href="(/api/v1/reports/[^"]*format=(?:csv|parquet))"`).FindAllStringSubmatch(got.body, -1) {
		if answer := b.call(adminToken, get, html.UnescapeString(file[1]), nil); answer.status != http.StatusOK {
			t.Errorf("%s: %d %.300s", file[1], answer.status, answer.body)
		}
	}
}

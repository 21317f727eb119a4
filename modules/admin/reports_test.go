package admin

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
)

// shopping are two people's ways through a shop, an hour ago.
func shopping(t *testing.T, b *bench) time.Time {
	at := b.now().UTC().Add(-time.Hour).Truncate(time.Hour).Add(time.Minute)
	for i, step := range []struct{ visitor, name, country, path string }{
		{"v-1", "page_view", "GB", "/"}, {"v-2", "page_view", "DE", "/"}, {"v-1", "add_to_cart", "GB", "/shoes"}, {"v-1", "purchase", "GB", "=cmd|' /C calc'!A0"}, {"v-2", "add_to_cart", "DE", "/socks"}, {"v-3", "purchase", "", "/"},
	} {
		e := someEvent(fmt.Sprint("e-", i), at.Add(time.Duration(i)*time.Minute))
		e.Name, e.Subject.VisitorID, e.Subject.Country, e.Context.Page.URL = step.name, step.visitor, step.country, "https://shop.example.com"+step.path
		e.Context.Page.Title = step.path
		if e.Name != "purchase" {
			e.Order = event.Order{}
		}
		must(t, b.store.WriteEvents(t.Context(), e))
		if e.Name == "purchase" {
			must(t, b.store.WriteSyncs(t.Context(), event.Sync{EventID: e.ID, PixelID: e.PixelID, Partner: "ttd", Attempt: 1, At: e.ReceivedAt.Add(time.Second), Outcome: event.Accepted, Status: 200, Latency: time.Duration(100+i) * time.Millisecond}))
			must(t, b.store.WriteMatches(t.Context(), event.Match{EventID: e.ID, PixelID: e.PixelID, Partner: "ttd", Name: e.Name, ReceivedAt: e.ReceivedAt, Grade: event.HighMatch, Keys: []string{"email"}}))
		}
	}
	a := queue.AccountOf("px_shop", at)
	must(t, b.queue.Push(t.Context(), queue.Item{Queue: queue.Ingest(event.High), Body: []byte("1"), Account: a, Stage: ledger.Received, N: 8},
		queue.Item{Queue: queue.Ingest(event.High), Account: a, Stage: ledger.Suppressed, N: 2},
		queue.Item{Queue: queue.Ingest(event.High), Account: a, Stage: ledger.Refused, N: 2}))
	return at
}

func TestReportsAnswerWhatIsAsked(t *testing.T) {
	b := open(t)
	at := shopping(t, b)
	hour := at.Truncate(time.Hour).Format(time.RFC3339)
	for _, c := range []struct {
		name, path string
		want       []string
	}{
		{"conditions on a dimension", "/reports/top?dimension=name&country=GB&country=DE&not.page_path=/socks", []string{`{"group":"page_view","value":2}`, `{"group":"add_to_cart","value":1}`}},
		{"what has none of a dimension", "/reports/top?dimension=name&country=", []string{`[{"group":"purchase","value":1}]`}},
		{"a series by the clock of a zone", "/reports/timeseries?step=day&zone=Asia/Kolkata&metric=visitors", []string{`"step":"1d"`, `T18:30:00Z"`, `"value":3`}},
		{"a funnel", "/reports/funnel?step=page_view&step=add_to_cart&step=purchase&window=1h", []string{`{"name":"page_view","visitors":2,"of_first":1,"of_before":1}`, `{"name":"add_to_cart","visitors":2,`, `{"name":"purchase","visitors":1,"of_first":0.5,"of_before":0.5}`}},
		{"a funnel with conditions", "/reports/funnel?step=page_view(country=DE)&step=add_to_cart(page_path!=/shoes,device=mobile)", []string{`{"name":"page_view","visitors":1,`, `{"name":"add_to_cart","visitors":1,`}},
		{"consent over time, with what was not stored", "/reports/consent?step=hour", []string{`{"time":"` + hour + `","full":6,"partial":0,"suppressed":2,"full_rate":0.75,"given_rate":0.75}`}},
		{"reconciliation", "/reports/reconciliation", []string{`"received":10,"stored":6,`, `"partner":"ttd","received":0,"stored":0,"routed":2,"sent":2,"accepted":2}`}},
		{"latency", "/reports/latency?partner=ttd", []string{`"attempts":2,"p50_ms":105,`, `"max_ms":105`}},
		{"duplicates", "/reports/duplicates", []string{`"orders":[{"pixel_id":"px_shop","order_id":"A-10482","purchases":2,`}},
		{"events by value and outcome", "/events?min_value=100&partner=ttd&outcome=accepted&country=GB", []string{`"id":"e-3"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := b.call(adminToken, get, base+c.path, nil)
			if got.status != http.StatusOK {
				t.Fatalf("%d %s", got.status, got.body)
			}
			contains(t, got.body, c.want...)
		})
	}
	for _, c := range []struct{ path, pointer string }{
		{"/reports/funnel?step=purchase", "step"}, {"/reports/funnel?step=a&step=b&window=never", "window"}, {"/reports/funnel?step=a(b&step=c", "step"}, {"/reports/timeseries?zone=Mars", "step"},
		{"/reports/timeseries?colour=red", "colour"}, {"/reports/latency?since=900d", "since"}, {"/reports/reconciliation?since=60d", "since"}, {"/reports/consent?step=7m", "step"},
		{"/events?min_value=much", "min_value"}, {"/events?outcome=fine", "outcome"}, {"/reports/top?dimension=name&format=xls", "format"},
	} {
		got := b.call(adminToken, get, base+c.path, nil)
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, `"pointer":"`+c.pointer+`"`) {
			t.Errorf("%s: %d %s", c.path, got.status, got.body)
		}
	}
}

func TestEventsCanBeHadAsAFileWhole(t *testing.T) {
	b := open(t)
	shopping(t, b)
	for i := range 2500 {
		must(t, b.store.WriteEvents(t.Context(), someEvent(fmt.Sprintf("more-%04d", i), b.now().UTC().Add(-time.Duration(i)*time.Second))))
	}
	got := b.call(adminToken, get, base+"/events?format=csv", nil)
	rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	if err != nil || len(rows) != 2507 || rows[0][2] != "id" {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	formulas := 0
	for _, row := range rows {
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") {
				t.Errorf("a formula: %s", cell)
			}
			if strings.HasPrefix(cell, "'=") {
				formulas++
			}
		}
	}
	if formulas != 1 {
		t.Errorf("%d formulas were made text, not 1", formulas)
	}
	got = b.call(adminToken, get, base+"/events?format=parquet&name=purchase", nil)
	if kind := got.header.Get("Content-Type"); kind != "application/vnd.apache.parquet" {
		t.Fatal(kind, got.body)
	}
	type line struct {
		ID         string    `parquet:"id"`
		ReceivedAt time.Time `parquet:"received_at,optional,timestamp(microsecond)"`
		Value      float64   `parquet:"value"`
		Title      string    `parquet:"page_title"`
	}
	list, err := parquet.Read[line](bytes.NewReader([]byte(got.body)), int64(len(got.body)))
	if err != nil || len(list) != 2502 {
		t.Fatalf("%d rows, %v", len(list), err)
	}
	last := list[len(list)-2]
	if last.ID != "e-5" && last.ID != "e-3" || last.Value != 249.95 || last.ReceivedAt.IsZero() {
		t.Errorf("%+v", last)
	}
}

func TestEachReportIsTheSameInEveryForm(t *testing.T) {
	b := open(t)
	shopping(t, b)
	for _, path := range []string{"/reports/timeseries?step=hour&group_by=name", "/reports/top?dimension=page_path", "/reports/consent", "/reports/consent?step=day", "/reports/match-readiness", "/reports/ledger",
		"/reports/reconciliation", "/reports/funnel?step=page_view&step=purchase", "/reports/latency?step=hour", "/reports/duplicates"} {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		got := b.call(adminToken, get, base+path+sep+"format=csv", nil)
		rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
		if got.status != 200 || err != nil || len(rows) < 1 {
			t.Errorf("%s: %d %s, %v", path, got.status, got.body, err)
			continue
		}
		as := b.call(adminToken, get, base+path+sep+"format=parquet", nil)
		f, err := parquet.OpenFile(strings.NewReader(as.body), int64(len(as.body)))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if int(f.NumRows()) != len(rows)-1 || len(f.Schema().Columns()) != len(rows[0]) {
			t.Errorf("%s: %d rows of %d columns as Parquet, %d of %d as CSV", path, f.NumRows(), len(f.Schema().Columns()), len(rows)-1, len(rows[0]))
		}
	}
}

// leaving is a reader who goes after some bytes.
type leaving struct {
	*httptest.ResponseRecorder

	cancel context.CancelFunc
}

func (l leaving) Write(b []byte) (int, error) {
	l.cancel()
	return l.ResponseRecorder.Write(b)
}

func TestAnExportEndsWhenItsReaderLeaves(t *testing.T) {
	b := open(t)
	for i := range 3000 {
		must(t, b.store.WriteEvents(t.Context(), someEvent(fmt.Sprintf("more-%04d", i), b.now().UTC().Add(-time.Duration(i)*time.Second))))
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, get, base+"/events?format=csv", nil)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	w := leaving{httptest.NewRecorder(), cancel}
	b.Handler().ServeHTTP(w, r)
	if n := strings.Count(w.Body.String(), "\n"); n == 0 || n > 2000 {
		t.Errorf("%d lines were written", n)
	}
}

func TestCellsThatASpreadsheetWouldRunAreMadeText(t *testing.T) {
	for cell, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "@x": "'@x", "-1+2": "'-1+2", "\tx": "'\tx", "\r=x": "'\r=x", "\n=x": "'\n=x", "-12.50": "-12.50", "a=1": "a=1", "": "", "-": "-",
	} {
		if got := defused(cell); got != want {
			t.Errorf("%q became %q, not %q", cell, got, want)
		}
	}
}

func TestANameIsBrokenAtItsJoints(t *testing.T) {
	for name, want := range map[string]string{
		"begin_checkout":                "begin_<wbr>checkout",
		"events[].customData[loyalty]":  "events[]<wbr>.<wbr>customData[loyalty]<wbr>",
		"":                              "",
		strings.Repeat("W", 21):         strings.Repeat("W", 20) + "<wbr>W",
		"wonderfully extraordinary day": "wonderfully extraordinary day",
		`<script>"&`:                    "&lt;script&gt;&#34;&amp;<wbr>",
		"日本_語":                          "日本_<wbr>語",
	} {
		if got := string(soft(name)); got != want {
			t.Errorf("%q: %s, not %s", name, got, want)
		}
	}
}

package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/app"
	"github.com/miq/pixel/modules/sandbox"
)

// series is a metric's name and its labels, as /metrics writes them.
var series = regexp.MustCompile(`^(pixel_\w+)(?:\{(.*)\})? `)

var label = regexp.MustCompile(`(\w+)="(?:[^"\\]|\\.)*"`)

// exported are the series that a process has now, histograms' parts left out but
// for their counts, and the kind of each family.
func exported(t *testing.T, p *process) (all map[string]bool, kinds map[string]string) {
	t.Helper()
	body, err := get(p.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	all, kinds = map[string]bool{}, map[string]string{}
	for line := range strings.SplitSeq(string(body), "\n") {
		if rest, ok := strings.CutPrefix(line, "# TYPE pixel_"); ok {
			name, kind, _ := strings.Cut(rest, " ")
			kinds["pixel_"+name] = kind
		}
		if m := series.FindStringSubmatch(line); m != nil && !strings.HasSuffix(m[1], "_bucket") && !strings.HasSuffix(m[1], "_sum") {
			all[strings.TrimSpace(m[0])] = true
		}
	}
	return all, kinds
}

// documented are the rows of docs/reference/metrics.md.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	body, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for line := range strings.SplitSeq(string(body), "\n") {
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `pixel_") {
			out[strings.Trim(cells[1], " `")] = cells
		}
	}
	return out
}

// TestARunningProcessExportsWhatIsDocumentedAndNoMore drives every door of a
// process with all roles, also with what an attacker would send, and compares what
// it exports with the reference: names, kinds, labels, and that nothing a stranger
// sends makes a series.
func TestARunningProcessExportsWhatIsDocumentedAndNoMore(t *testing.T) {
	adapters := app.Adapters()
	box := httptest.NewServer(sandbox.New(adapters))
	defer box.Close()
	at := sandbox.Endpoints(box.URL, adapters)["ttd"]
	p := start(t, t.TempDir(), "serve", "--partners.ttd.endpoint="+at.Endpoint)
	p.api("POST", "/pixels", map[string]any{"id": "px_m", "name": "M", "enabled": true, "consent_mode": "implied", "country": "US",
		"routes": []map[string]any{{"partner": "ttd", "event": "purchase", "enabled": true, "params": map[string]any{"adv": "someadv", "tracker_id": "sometrk"}}}}, nil)

	ask := func(method, url, body string, header map[string]string) {
		t.Helper()
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			req.Header.Set(k, v)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	round := func(n int) {
		for i := range 16 {
			x := fmt.Sprintf("h%d-%d", n, i)
			currency := fmt.Sprintf("%c%cX", 'A'+n%26, 'A'+i%26)
			ask("POST", p.collector+"/collect", fmt.Sprintf(`{"pixel_id":"px_m","identity":{"anonymous_id":"%s","partner_ids":{"tdid":"11111111-2222-4333-8444-555555555555"}},"context":{"page":{"url":"https://%[1]s.example/"}},"events":[{"id":"%[1]s","name":"purchase","properties":{"order_id":"%[1]s","value":1,"currency":"%s"}},{"name":"custom_%s"},{"name":"%[1]s\"} 1"}]}`, x, currency, strings.ReplaceAll(x, "-", "_")), nil)
			ask("POST", p.collector+"/collect", `{"pixel_id":"px_`+x+`","events":[{"name":"page_view"}]}`, nil)
			ask("POST", p.collector+"/collect", `{"pixel_id":"px_m","consent":{"gpc":true,"us_privacy":"1YYN"},"events":[{"name":"page_view"}]}`, map[string]string{"X-Miq-Edge": x, "Miq-Edge-Signature": x, "Traceparent": "00-" + strings.Repeat("a", 32) + "-" + strings.Repeat("b", 16) + "-01"})
			ask("POST", p.collector+"/consent", `{"pixel_id":"px_m","anonymous_id":"other-`+x+`","state":"none","tcf":"`+x+`"}`, nil)
			ask("POST", p.collector+"/v1/track", `{"writeKey":"`+x+`","event":"`+x+`","anonymousId":"a"}`, nil)
			ask("GET", p.collector+"/pixel.gif?pid="+x+"&e="+x+"&p.x="+x, "", nil)
			ask("GET", p.collector+"/"+x+"?"+x, "", nil)
			ask("GET", p.collector+"/config/"+x+".json", "", nil)
			ask("X"+strings.ToUpper(strings.ReplaceAll(x, "-", "")), p.collector+"/collect", "", nil)
			ask("GET", p.admin+"/api/v1/events/"+x, "", map[string]string{"Authorization": "Bearer " + x})
			ask("GET", p.admin+"/api/v1/reports/top?dimension="+x, "", map[string]string{"Authorization": "Bearer " + token})
			ask("GET", p.admin+"/"+x, "", nil)
			if i < 2 { // each costs a hash of a password
				ask("POST", p.admin+"/login", "login="+x+"&password=wrong", map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
			}
		}
		p.eventually("what came in is worked off and seen", func() error {
			var queues struct {
				Items []struct {
					Queue string
					Depth int
				}
			}
			if err := p.tryAPI("GET", "/queues", nil, &queues); err != nil {
				return err
			}
			for _, q := range queues.Items {
				if q.Depth > 0 && !strings.HasPrefix(q.Queue, "dlq:") {
					return fmt.Errorf("%s has %d", q.Queue, q.Depth)
				}
			}
			all, _ := exported(t, p)
			for _, name := range []string{`pixel_queue_messages{queue="dlq:validation",state="ready"}`, `pixel_ledger_imbalance{check="door"}`, `pixel_delivery_total{outcome="accepted",partner="ttd"}`} {
				if !all[name] {
					return fmt.Errorf("%s is not there", name)
				}
			}
			return nil
		})
	}
	round(1)
	round(2)
	before, _ := exported(t, p)
	round(3)
	after, kinds := exported(t, p)
	for s := range after {
		if !before[s] {
			t.Errorf("another round of other strangers made a series: %s", s)
		}
	}
	if len(after) > 600 {
		t.Errorf("%d series", len(after))
	}

	says := documented(t)
	seen := map[string]bool{}
	for s := range after {
		m := series.FindStringSubmatch(s + " ")
		name := m[1]
		if kinds[name] == "" {
			name = strings.TrimSuffix(name, "_count")
		}
		row := says[name]
		if row == nil {
			t.Errorf("docs/reference/metrics.md omits %s: run `make reference`", name)
			continue
		}
		seen[name] = true
		if kind := strings.TrimSpace(row[2]); kind != kinds[name] {
			t.Errorf("%s is a %s; the reference says %s", name, kinds[name], kind)
		}
		var labels []string
		for _, l := range label.FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		var want []string
		for l := range strings.SplitSeq(row[3], ",") {
			if l = strings.Trim(l, " `"); l != "" {
				want = append(want, l)
			}
		}
		slices.Sort(labels)
		slices.Sort(want)
		if !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %v; the reference says %v", s, labels, want)
		}
	}
	quiet := 0
	for name, row := range says {
		if seen[name] || strings.Contains(row[4], ", with ") {
			continue // with settings that this process has not
		}
		if strings.TrimSpace(row[3]) == "" {
			t.Errorf("%s is documented, and not exported", name)
			continue
		}
		quiet++
		t.Logf("%s has had nothing to tell", name)
	}
	if quiet > len(says)/3 {
		t.Errorf("%d of %d metrics had nothing to tell, so this test compares too little", quiet, len(says))
	}
}

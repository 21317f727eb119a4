package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miq/pixel/modules/cli"
	"github.com/miq/pixel/modules/simulate"
)

// simulated runs the command and returns its exit code, what it found out, and what it said.
func simulated(t *testing.T, p *process, args ...string) (int, simulate.Outcome, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Run(append([]string{"simulate", "--url", p.admin, "--token", token, "--json"}, args...), &stdout, &stderr)
	var o simulate.Outcome
	if err := json.Unmarshal(stdout.Bytes(), &o); err != nil {
		t.Fatalf("exit %d: %v\n%s%s", code, err, stdout.String(), stderr.String())
	}
	return code, o, stderr.String()
}

// TestWhatWentInCameOut sends simulated traffic through a whole running product.
func TestWhatWentInCameOut(t *testing.T) {
	p := start(t, t.TempDir())
	code, o, said := simulated(t, p, "--collector", p.collector, "--rate", "200", "--for", "3s", "--seed", "3")
	if code != 0 || !o.Good() || o.Events < 200 || o.Suppressed == 0 || o.Unanswered+o.Rejected > 0 || o.Stored != o.Accepted {
		t.Errorf("exit %d, %+v\n%s", code, o, said)
	}
	// A second run is no repeat of the first, though its visits are the same.
	code, again, said := simulated(t, p, "--collector", p.collector, "--rate", "200", "--for", "60s", "--events", "300", "--seed", "3", "--day", "10s")
	if code != 0 || !again.Good() || again.Events < 300 || again.Events > 320 {
		t.Errorf("exit %d, %+v\n%s", code, again, said)
	}
}

// A check that nothing can fail would be none: behind a door that now and then says that it
// took what it threw away, the loss is seen and counted.
func TestASimulationSeesWhatWasLost(t *testing.T) {
	p := start(t, t.TempDir())
	to, err := url.Parse(p.collector)
	if err != nil {
		t.Fatal(err)
	}
	var n, thrown atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(to)
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || n.Add(1)%10 != 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		var env struct {
			Events []struct{ ID string } `json:"events"`
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &env); err != nil {
			t.Error(err)
		}
		thrown.Add(int64(len(env.Events)))
		var results []string
		for i, e := range env.Events {
			results = append(results, fmt.Sprintf(`{"index":%d,"id":%q,"status":"accepted"}`, i, e.ID))
		}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"accepted":%d,"rejected":0,"results":[%s]}`, len(env.Events), strings.Join(results, ","))
	}))
	defer liar.Close()
	code, o, said := simulated(t, p, "--collector", liar.URL, "--rate", "200", "--for", "2s")
	// A repeat of a request may have been let through, or thrown away a second time.
	if lost := int(thrown.Load()); code != 1 || o.Lost == 0 || o.Lost > lost || o.Lost < lost*3/4 || o.Good() || !strings.Contains(said, "not what went in") {
		t.Errorf("exit %d, %d were thrown away, %+v\n%s", code, lost, o, said)
	}
}

func TestSimulateSaysWhatIsWrong(t *testing.T) {
	t.Setenv("PIXEL_ADMIN_TOKEN", "") // whatever the shell has
	for want, args := range map[string][]string{
		"no API token":                   {"--collector", "http://127.0.0.1:1", "--token", ""},
		"must be an address":             {"--collector", "localhost", "--token", "x"},
		"must be above 0":                {"--rate", "0"},
		"ask the console":                {"--collector", "http://127.0.0.1:1", "--url", "http://127.0.0.1:1", "--token", "x"},
		"events a day must be above 0":   {"plan", "--events-per-day", "-5"},
		"--costs: open /nowhere/at/all":  {"plan", "--costs", "/nowhere/at/all"},
		`unknown flag: --event-per-week`: {"plan", "--event-per-week", "1"},
	} {
		var out bytes.Buffer
		if code := cli.Run(append([]string{"simulate"}, args...), &out, &out); code == 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%v: exit %d, lacks %q:\n%s", args, code, want, out.String())
		}
	}
	var out bytes.Buffer
	if code := cli.Run([]string{"simulate", "plan", "--events-per-day", "1e9"}, &out, &out); code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"11574 events/s on average", "collector", "Redis masters", "ClickHouse shards", "What costs most is"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the plan lacks %q:\n%s", want, out.String())
		}
	}
	t.Log(out.String())
}

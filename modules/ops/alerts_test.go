package ops

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	prometheusFiles = "../../docs/deploy/prometheus/"
	runbooks        = "../../docs/runbooks/"
	runbookURL      = "https://github.com/miq/pixel/blob/main/docs/runbooks/"
)

type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) (list []rule) {
	t.Helper()
	var doc struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	decode(t, prometheusFiles+"rules.yml", &doc)
	for _, g := range doc.Groups {
		list = append(list, g.Rules...)
	}
	return list
}

func decode(t *testing.T, path string, v any) {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(body, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

var (
	metric   = regexp.MustCompile(`\bpixel[_:][a-zA-Z0-9_:]+`)
	selector = regexp.MustCompile(`"[^"]*"`)
	rowOf    = regexp.MustCompile("(?m)^\\| `(pixel_\\w+)` \\| (\\w+) ")
)

// used are our metrics in a query; strings, such as a label's value, are none.
func used(query string) []string {
	return metric.FindAllString(selector.ReplaceAllString(query, `""`), -1)
}

// metricNames are those of the reference, a histogram's parts too, and those that
// are recorded.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	body, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range rowOf.FindAllStringSubmatch(string(body), -1) {
		names[m[1]] = true
		if m[2] == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				names[m[1]+part] = true
			}
		}
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			names[r.Record] = true
		}
	}
	if len(names) < 50 {
		t.Fatalf("only %d metrics", len(names))
	}
	return names
}

func TestEveryAlertHasARunbookATestAndMetricsThatExist(t *testing.T) {
	known := metricNames(t)
	type check struct {
		Alert  string `yaml:"alertname"`
		Expect []any  `yaml:"exp_alerts"`
	}
	fires, clears := map[string]bool{}, map[string]bool{}
	for _, file := range []string{"rules_test.yml", "rules_slow_test.yml"} {
		var doc struct {
			Tests []struct {
				Alerts []check `yaml:"alert_rule_test"`
			} `yaml:"tests"`
		}
		decode(t, prometheusFiles+file, &doc)
		for _, test := range doc.Tests {
			for _, c := range test.Alerts {
				if len(c.Expect) > 0 {
					fires[c.Alert] = true
				} else {
					clears[c.Alert] = true
				}
			}
		}
	}
	overview, err := os.ReadFile(runbooks + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, r := range rules(t) {
		for _, name := range used(r.Expr) {
			if !known[name] {
				t.Errorf("%s%s: there is no %s", r.Alert, r.Record, name)
			}
		}
		if r.Alert == "" {
			continue
		}
		alerts++
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" {
			t.Errorf("%s has no summary", r.Alert)
		}
		if !fires[r.Alert] || !clears[r.Alert] {
			t.Errorf("%s: no rule test in which it fires, or none in which it does not", r.Alert)
		}
		page, ok := strings.CutPrefix(r.Annotations["runbook_url"], runbookURL)
		body, err := os.ReadFile(runbooks + page)
		if !ok || err != nil || !strings.Contains(string(body), "\n## "+r.Alert+"\n") {
			t.Errorf("%s: its runbook %q is not there, or has no heading for it (%v)", r.Alert, r.Annotations["runbook_url"], err)
		}
		if !strings.Contains(string(overview), r.Alert) {
			t.Errorf("%s is not in the runbooks' overview", r.Alert)
		}
	}
	if alerts < 20 {
		t.Fatalf("only %d alerts", alerts)
	}
}

func TestPrometheusAndAlertmanagerTakeTheirFiles(t *testing.T) {
	for _, c := range []struct{ tool, dir, args string }{
		{"promtool", "prometheus", "check rules rules.yml"},
		{"promtool", "prometheus", "check config prometheus.yml"},
		{"promtool", "prometheus", "test rules rules_test.yml rules_slow_test.yml"},
		{"amtool", "alertmanager", "check-config alertmanager.yml"},
	} {
		t.Run(c.tool+" "+c.args, func(t *testing.T) {
			if _, err := exec.LookPath(c.tool); err != nil {
				t.Skipf("%s is not installed (Debian: prometheus, prometheus-alertmanager)", c.tool)
			}
			cmd := exec.Command(c.tool, strings.Fields(c.args)...)
			cmd.Dir = "../../docs/deploy/" + c.dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

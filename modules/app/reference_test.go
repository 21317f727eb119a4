package app

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/fx"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md anew")

const metricsReference = "../../docs/reference/metrics.md"

// family is a metric as the code declares it.
type family struct {
	name, kind, help string
	labels           []string
	roles            map[string]bool
	where            map[string]bool // the settings with which it is exported
}

// recorder remembers what is registered. What has labels is otherwise unseen
// until it has been counted once.
type recorder struct {
	prometheus.Registerer

	mu   sync.Mutex
	seen map[string]*family
}

func (r *recorder) Register(c prometheus.Collector) error {
	r.note(c)
	return r.Registerer.Register(c)
}

func (r *recorder) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		r.note(c)
	}
	r.Registerer.MustRegister(list...)
}

var description = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: (".*"), constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func (r *recorder) note(c prometheus.Collector) {
	r.mu.Lock()
	defer r.mu.Unlock()
	descs := make(chan *prometheus.Desc)
	go func() { c.Describe(descs); close(descs) }()
	for d := range descs {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			panic("a description that cannot be read: " + d.String())
		}
		f := &family{name: m[1], kind: kindOf(c)}
		fmt.Sscanf(m[2], "%q", &f.help)
		for pair := range strings.SplitSeq(m[3], ",") {
			if name, _, ok := strings.Cut(pair, "="); ok {
				f.labels = append(f.labels, name)
			}
		}
		for name := range strings.SplitSeq(m[4], ",") {
			if name != "" {
				f.labels = append(f.labels, name)
			}
		}
		r.seen[f.name] = f
	}
}

func kindOf(c prometheus.Collector) string {
	switch c := c.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	case prometheus.Metric:
		var m dto.Metric
		if c.Write(&m) == nil {
			switch {
			case m.Counter != nil:
				return "counter"
			case m.Gauge != nil:
				return "gauge"
			case m.Histogram != nil:
				return "histogram"
			}
		}
	}
	return "untyped"
}

// backends are settings with which other metrics are exported; the program is
// made with each, and not started.
var backends = map[string]map[string]string{
	"":                 {},
	"`clickhouse.dsn`": {"clickhouse.dsn": "http://127.0.0.1:1/pixel"},
	"`redis.url`":      {"redis.url": "redis://127.0.0.1:1", "secret_key": someKey},
}

func declared(t *testing.T) map[string]*family {
	t.Helper()
	all := map[string]*family{}
	for where, flags := range backends {
		for _, role := range roles {
			flags := maps.Clone(flags)
			flags["role"] = role.name
			var r *recorder
			var g prometheus.Gatherer
			a := fx.New(options(settingsFor(t, flags), slog.New(slog.DiscardHandler), io.Discard), fx.NopLogger, fx.Populate(&g),
				fx.Decorate(func(under prometheus.Registerer) prometheus.Registerer {
					r = &recorder{Registerer: under, seen: map[string]*family{}}
					return r
				}))
			if err := a.Err(); err != nil {
				t.Fatal(err)
			}
			r.mu.Lock()
			for name, f := range gathered(t, g) {
				if r.seen[name] == nil {
					r.seen[name] = f
				}
			}
			for name, f := range r.seen {
				if !strings.HasPrefix(name, "pixel_") {
					continue
				}
				if all[name] == nil {
					all[name] = f
					f.roles, f.where = map[string]bool{}, map[string]bool{}
				}
				all[name].roles[role.name] = true
				all[name].where[where] = true
			}
			r.mu.Unlock()
		}
	}
	return all
}

func gathered(t *testing.T, g prometheus.Gatherer) map[string]*family {
	t.Helper()
	list, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*family{}
	for _, mf := range list {
		f := &family{name: mf.GetName(), help: mf.GetHelp(), kind: strings.ToLower(mf.GetType().String())}
		for _, l := range mf.GetMetric()[0].GetLabel() {
			f.labels = append(f.labels, l.GetName())
		}
		out[f.name] = f
	}
	return out
}

// TestTheReferenceOfMetrics holds docs/reference/metrics.md to what the program
// registers in any role and on any backend. `make reference` writes it anew;
// modules/cli compares it with what a running process exports.
func TestTheReferenceOfMetrics(t *testing.T) {
	all := declared(t)
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Written by make reference from what the program registers; tests compare it with that and with a running process. -->

` + "`GET :9464/metrics`" + ` has them in Prometheus' text, or as OpenMetrics to whoever asks for that; then histograms carry the trace id
of a sampled request (exemplars). Beside these there are Go's own (` + "`go_*`" + `) and the process's (` + "`process_*`" + `).
Labels are bounded: pixels, partners and accounts are those that exist, routes, codes, rules and steps are ours, and nothing that a
visitor sends becomes one. *Roles* are those that export it. What has labels appears once there is something to tell.

| metric | kind | labels | roles | |
|---|---|---|---|---|
`)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := all[name]
		who := "all"
		if len(f.roles) < len(roles) {
			list := slices.Sorted(maps.Keys(f.roles))
			who = strings.Join(list, ", ")
		}
		if !f.where[""] {
			who += ", with " + strings.Join(slices.Sorted(maps.Keys(f.where)), " or ")
		}
		labels := ""
		if len(f.labels) > 0 {
			labels = "`" + strings.Join(f.labels, "`, `") + "`"
		}
		if f.help == "" || f.kind == "untyped" {
			t.Errorf("%s has no help or no kind", name)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, f.kind, labels, who, strings.ReplaceAll(f.help, "|", `\|`))
	}
	if *update {
		if err := os.WriteFile(metricsReference, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(metricsReference)
	if err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the code says: run `make reference`, and read the difference (%v)", metricsReference, err)
	}
}

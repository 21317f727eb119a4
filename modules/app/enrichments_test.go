package app

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/modules/enrich"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/worker"
)

// The collector's two are in its own test: it needs more than metrics to be built.
var byTheCollector = []string{"clock"}

func TestWhateverAPixelCanSwitchOffHasATimeOfItsOwn(t *testing.T) {
	r := prometheus.NewRegistry()
	if _, err := enrich.New(enrich.Options{Metrics: r}); err != nil {
		t.Fatal(err)
	}
	if _, err := worker.NewMetrics(r); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	timed := map[string][]string{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				timed[f.GetName()] = append(timed[f.GetName()], l.GetValue())
			}
		}
	}
	enrichments := timed["pixel_enrichment_seconds"]
	if !slices.Contains(timed["pixel_worker_step_seconds"], "session") {
		t.Errorf("the step that puts events into sessions is not timed: %q", timed["pixel_worker_step_seconds"])
	}
	all := slices.Concat(enrichments, byTheCollector, []string{"session"})
	switches := slices.Clone(settings.EnrichmentKinds[:])
	slices.Sort(all)
	slices.Sort(switches)
	if !slices.Equal(all, switches) {
		t.Errorf("timed: %q\nswitched: %q", all, switches)
	}
}

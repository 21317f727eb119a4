package ops

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write docs/deploy/grafana/dashboards/*.json anew")

const grafana = "../../docs/deploy/grafana/"

// board is a dashboard of dashboards.yml.
type board struct {
	UID    string `yaml:"uid"`
	Title  string `yaml:"title"`
	Panels []struct {
		Title   string    `yaml:"title"`
		Unit    string    `yaml:"unit"`
		Kind    string    `yaml:"kind"` // timeseries unless told
		Queries yaml.Node `yaml:"queries"`
	} `yaml:"panels"`
}

type object = map[string]any

// model is what Grafana reads. Panels stand two in a row.
func (b board) model() object {
	source := object{"type": "prometheus", "uid": "prometheus"}
	panels := []object{}
	for i, p := range b.Panels {
		kind := p.Kind
		if kind == "" {
			kind = "timeseries"
		}
		targets := []object{}
		for j := 0; j+1 < len(p.Queries.Content); j += 2 {
			targets = append(targets, object{
				"refId": string(rune('A' + j/2)), "datasource": source, "expr": p.Queries.Content[j+1].Value, "legendFormat": p.Queries.Content[j].Value,
				"exemplar": kind == "timeseries", "instant": kind != "timeseries", "format": map[bool]string{true: "table", false: "time_series"}[kind == "table"],
			})
		}
		panels = append(panels, object{
			"id": i + 1, "type": kind, "title": p.Title, "datasource": source, "targets": targets,
			"gridPos":     object{"x": i % 2 * 12, "y": i / 2 * 8, "w": 12, "h": 8},
			"fieldConfig": object{"defaults": object{"unit": p.Unit}, "overrides": []object{}},
		})
	}
	return object{
		"uid": b.UID, "title": b.Title, "tags": []string{"pixel"}, "schemaVersion": 38, "editable": false, "refresh": "30s",
		"time": object{"from": "now-6h", "to": "now"}, "panels": panels,
		"templating": object{"list": []object{{
			"name": "instance", "type": "query", "datasource": source, "query": object{"query": "label_values(pixel_build_info, instance)", "refId": "instance"},
			"multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"}, "refresh": 2,
		}}},
	}
}

func boards(t *testing.T) []board {
	t.Helper()
	body, err := os.ReadFile(grafana + "dashboards.yml")
	if err != nil {
		t.Fatal(err)
	}
	var list []board
	d := yaml.NewDecoder(bytes.NewReader(body))
	d.KnownFields(true)
	if err := d.Decode(&list); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTheDashboards(t *testing.T) {
	known := metricNames(t)
	written := map[string]bool{}
	for _, b := range boards(t) {
		for _, p := range b.Panels {
			for j := 1; j < len(p.Queries.Content); j += 2 {
				if len(used(p.Queries.Content[j].Value)) == 0 && b.UID != "pixel-stores" && p.Title != "Alerts" {
					t.Errorf("%s, %s: the query names no metric of ours", b.Title, p.Title)
				}
				for _, name := range used(p.Queries.Content[j].Value) {
					if !known[name] {
						t.Errorf("%s, %s: there is no %s", b.Title, p.Title, name)
					}
				}
			}
		}
		want, err := json.MarshalIndent(b.model(), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, '\n')
		path := filepath.Join(grafana, "dashboards", b.UID+".json")
		written[b.UID+".json"] = true
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what dashboards.yml says: run `make dashboards` (%v)", path, err)
		}
	}
	list, err := os.ReadDir(grafana + "dashboards")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if !written[f.Name()] {
			t.Errorf("dashboards/%s is in no dashboards.yml", f.Name())
		}
	}
}

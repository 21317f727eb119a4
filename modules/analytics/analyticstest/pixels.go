package analyticstest

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// pixelsSelected asks each question that takes a list of pixels: of one it must get
// what it gets of that one by name, of all of them what it gets of no list, and of an
// empty list nothing, since that is what somebody may see who may see no pixel.
func pixelsSelected(t *testing.T, s analytics.Store, since, until time.Time, all ...string) {
	models := []string{"linear", "first"}
	for name, ask := range map[string]func(pixel string, pixels []string) (any, int, error){
		"syncs": func(p string, list []string) (any, int, error) {
			page, err := s.Syncs(t.Context(), analytics.SyncFilter{PixelID: p, Pixels: list, Limit: 500})
			return page.Syncs, len(page.Syncs), err
		},
		"latency": func(p string, list []string) (any, int, error) {
			rows, err := s.Latency(t.Context(), analytics.LatencyQuery{PixelID: p, Pixels: list, Since: since, Until: until})
			return rows, len(rows), err
		},
		"repeated orders": func(p string, list []string) (any, int, error) {
			rows, err := s.Repeated(t.Context(), analytics.RepeatedQuery{PixelID: p, Pixels: list, Since: since, Until: until})
			return rows, len(rows), err
		},
		"readiness": func(p string, list []string) (any, int, error) {
			rows, err := s.Readiness(t.Context(), analytics.ReadinessQuery{PixelID: p, Pixels: list, Since: since, Until: until})
			return rows, len(rows), err
		},
		"attribution": func(p string, list []string) (any, int, error) {
			rows, err := s.Attribution(t.Context(), analytics.AttributionQuery{Models: models, Dimension: "channel", PixelID: p, Pixels: list, Since: since, Until: until})
			return rows, len(rows), err
		},
		"paths": func(p string, list []string) (any, int, error) {
			rows, err := s.Paths(t.Context(), analytics.PathQuery{PixelID: p, Pixels: list, Since: since, Until: until, Limit: 1000})
			return rows, len(rows), err
		},
	} {
		t.Run(name, func(t *testing.T) {
			get := func(p string, list []string) (any, int) {
				t.Helper()
				v, n, err := ask(p, list)
				if err != nil {
					t.Fatal(err)
				}
				return v, n
			}
			for _, p := range all {
				named, _ := get(p, nil)
				if listed, _ := get("", []string{p}); !reflect.DeepEqual(named, listed) {
					t.Errorf("of %s: %v by the list, %v by name", p, listed, named)
				}
				others := slices.DeleteFunc(slices.Clone(all), func(o string) bool { return o == p })
				if _, n := get(p, others); n > 0 {
					t.Errorf("%d of %s are there, though only others may be asked of", n, p)
				}
			}
			whole, _ := get("", nil)
			if listed, _ := get("", all); !reflect.DeepEqual(whole, listed) {
				t.Errorf("of all: %v by the list, %v without", listed, whole)
			}
			if _, n := get("", []string{}); n > 0 {
				t.Errorf("%d of an empty list", n)
			}
		})
	}
}

// pixels are all that the data are of.
func (d *data) pixels() (out []string) {
	for _, e := range d.events {
		if !slices.Contains(out, e.PixelID) {
			out = append(out, e.PixelID)
		}
	}
	return out
}

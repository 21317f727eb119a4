package admin

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEveryPageAnswers(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	seedProof(t, b, time.Now())
	seedBackfills(t, b, time.Now())
	seedErasures(t, b)
	w := b.as(Administrator)
	for _, p := range everyPage {
		t.Run(p.name, func(t *testing.T) {
			want := http.StatusOK
			if p.name == "missing" {
				want = http.StatusNotFound
			}
			got := w.get(b.at(p.path))
			if got.status != want {
				t.Fatalf("%s: %d, not %d", p.path, got.status, want)
			}
			if csp := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, policy) || strings.Contains(csp, "unsafe") {
				t.Errorf("policy: %q", csp)
			}
			if strings.Contains(got.body, "<script>") || strings.Contains(got.body, " style=") || strings.Contains(got.body, "ZgotmplZ") {
				t.Errorf("%s holds an inline script or style, or something that the templates refused", p.path)
			}
		})
	}
}

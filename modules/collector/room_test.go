package collector

import (
	"net/http"
	"strings"
	"testing"
)

// TestWhatARequestBecomesIsBounded where its headers are stored with each of its
// events.
func TestWhatARequestBecomesIsBounded(t *testing.T) {
	const n = 400
	long := []string{"User-Agent", strings.Repeat("u", maxUserAgent), "Sec-Ch-Ua", strings.Repeat("h", maxHint), "Content-Type", "application/json", "Origin", "https://shop.example"}
	for path, body := range map[string]string{
		"/collect":  `{"pixel_id":"px_demo","events":[` + strings.Repeat(`{"name":"a"},`, n-1) + `{"name":"a"}]}`,
		"/v1/batch": `{"writeKey":"px_demo","batch":[` + strings.Repeat(`{"type":"track","event":"a"},`, n-1) + `{"type":"track","event":"a"}]}`,
	} {
		t.Run(path, func(t *testing.T) {
			f := newFixture(t, func(o *Options) { o.Config.MaxWaiting = n << 10 })
			if w := f.do("POST", path, strings.NewReader(body), long...); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"busy"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if w := f.do("POST", path, strings.NewReader(body), "Content-Type", "application/json"); w.Code > 299 {
				t.Errorf("without the headers: %d %s", w.Code, w.Body)
			}
			if used := f.room.used.Load(); used != 0 {
				t.Errorf("%d bytes stay reserved", used)
			}
		})
	}
}

package sdk_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/sdk"
)

// arrival is one request that the fake collector got.
type arrival struct {
	Path   string
	Header http.Header
	Body   map[string]any
}

// events are the events of an envelope.
func (a arrival) events() []map[string]any {
	list, _ := a.Body["events"].([]any)
	var events []map[string]any
	for _, one := range list {
		events = append(events, one.(map[string]any))
	}
	return events
}

func (a arrival) names() string {
	var names []string
	for _, e := range a.events() {
		names = append(names, e["name"].(string))
	}
	return strings.Join(names, ",")
}

// at follows keys into the body; "" where there is nothing.
func (a arrival) at(keys ...string) any {
	var v any = a.Body
	for _, key := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[key]
	}
	if v == nil {
		return ""
	}
	return v
}

// site is a shop on one origin and a collector on another, as in life.
type site struct {
	Shop, Collector *httptest.Server

	mu   sync.Mutex
	all  []arrival
	came chan arrival
}

// newSite serves the page at every path of the shop, with {origin} replaced by
// the collector's, and the pixel's settings.
func newSite(t *testing.T, config, page string, headers ...string) *site {
	t.Helper()
	s := &site{came: make(chan arrival, 100)}
	s.Collector = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.collect(w, r, config) }))
	t.Cleanup(s.Collector.Close)
	s.Shop = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], strings.ReplaceAll(headers[i+1], "{origin}", s.Collector.URL))
		}
		io.WriteString(w, strings.ReplaceAll(page, "{origin}", s.Collector.URL))
	}))
	t.Cleanup(s.Shop.Close)
	return s
}

func (s *site) collect(w http.ResponseWriter, r *http.Request, config string) {
	// Private Network Access aside, this is what a collector answers browsers.
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
	a := arrival{Path: r.URL.Path, Header: r.Header.Clone()}
	if body, _ := io.ReadAll(r.Body); len(body) > 0 {
		_ = json.Unmarshal(body, &a.Body)
	}
	s.mu.Lock()
	s.all = append(s.all, a)
	s.mu.Unlock()

	script := func(b []byte) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Write(b)
	}
	switch r.URL.Path {
	case "/sdk.js":
		script(sdk.Script())
	case "/sdk.mjs":
		script(sdk.Module())
	case "/sdk/" + sdk.Version + "/banner.js":
		script(sdk.Banner())
	case "/config/px_demo.json":
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, config)
	case "/collect", "/consent", "/pixel.gif":
		w.WriteHeader(http.StatusAccepted)
		s.came <- a
	default:
		http.NotFound(w, r)
	}
}

// next is the next request that carries anything.
func (s *site) next(t *testing.T) arrival {
	t.Helper()
	select {
	case a := <-s.came:
		return a
	case <-time.After(15 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// silent fails if anything came but the script, the banner and the settings.
func (s *site) silent(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.all {
		if strings.HasPrefix(a.Path, "/sdk") || strings.HasPrefix(a.Path, "/config/") || a.Path == "/favicon.ico" {
			if a.Header.Get("Cookie") != "" {
				t.Errorf("%s came with a cookie", a.Path)
			}
			continue
		}
		t.Errorf("%s came: %v", a.Path, a.Body)
	}
}

package sdk_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/collector"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/sqlitestate"
	"github.com/miq/pixel/sdk"
)

// arrival is one request that reached the collector, with what it answered.
type arrival struct {
	Method, Path string
	Header       http.Header
	Body         map[string]any
	Status       int
	SetCookie    []string
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

type pixels map[string]settings.Pixel

func (m pixels) Pixel(id string) (settings.Pixel, bool) { p, ok := m[id]; return p, ok }

// site is a shop on one origin and a real collector on another, as in life. What
// travels between them is written down on the way, and can be kept from arriving.
type site struct {
	Shop, Collector *httptest.Server
	queue           *sqlitequeue.Queue

	mu   sync.Mutex
	all  []arrival
	fail func(w http.ResponseWriter, r *http.Request) bool // true: answered already
	came chan arrival

	page    map[string]string // pages of their own, by path
	visited func(path string) // hears of every page
	batch   string            // how many events fill a batch; empty: as the collector says
}

// patience is how long a tag of these tests waits for a batch to fill.
type patience string

const (
	quick   patience = "50"
	patient patience = "3600000" // never sends because of its timer
)

// behindPath is a path under which an edge worker may serve everything.
const behindPath = "/a8f3"

// newSite serves the page at every path of the shop, with {origin} replaced by
// the collector's, which knows the one pixel px_demo.
func newSite(t *testing.T, p settings.Pixel, wait patience, page string, headers ...string) *site {
	t.Helper()
	p.ID, p.Country = "px_demo", "GB"
	s := &site{came: make(chan arrival, 1000), page: map[string]string{}}
	real := startCollector(t, s, p)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(real)
		r.Out.Host = r.In.Host
		r.Out.Header.Set("Cf-Ipcountry", "US")
	}, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	proxy.ModifyResponse = func(res *http.Response) error {
		if !strings.HasPrefix(res.Request.URL.Path, "/config/") || res.StatusCode != http.StatusOK {
			return nil
		}
		body, err := io.ReadAll(res.Body)
		if s.batch != "" {
			body = bytes.Replace(body, []byte(`"max_events":10`), []byte(`"max_events":`+s.batch), 1)
		}
		body = bytes.Replace(body, []byte(`"max_wait_ms":2000`), []byte(`"max_wait_ms":`+string(wait)), 1)
		res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		res.Header.Del("Content-Length")
		return err
	}
	s.Collector = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.pass(w, r, proxy) }))
	t.Cleanup(s.Collector.Close)
	s.Shop = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], strings.ReplaceAll(headers[i+1], "{origin}", s.Collector.URL))
		}
		if s.visited != nil {
			s.visited(r.URL.Path)
		}
		body := page
		s.mu.Lock()
		if other, ok := s.page[r.URL.Path]; ok {
			body = other
		}
		s.mu.Unlock()
		if strings.HasSuffix(r.URL.Path, ".js") {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		}
		io.WriteString(w, strings.ReplaceAll(body, "{origin}", s.Collector.URL))
	}))
	t.Cleanup(s.Shop.Close)
	return s
}

func startCollector(t *testing.T, s *site, p settings.Pixel) *url.URL {
	t.Helper()
	open := func(name string) *sqlitedb.DB {
		db, err := sqlitedb.Open(filepath.Join(t.TempDir(), name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	var err error
	if s.queue, err = sqlitequeue.New(open("queue.db"), queue.Options{Lease: time.Minute, MaxDeliveries: 3, Wait: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.queue.Close() })
	keys, err := sqlitestate.New(open("state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	cfg := config.Default().Collector
	cfg.Addr, cfg.TrustedProxies = "127.0.0.1:0", []string{"127.0.0.1/32"}
	decider := consent.New(consent.Options{})
	c, err := collector.New(collector.Options{
		Config: cfg, VendorID: 101, Pixels: pixels{p.ID: p}, Queue: s.queue, Consent: decider, Book: consent.NewBook(keys, decider, []byte("seal")),
		Tag:  collector.Tag{Version: sdk.Version, Script: sdk.Script(), Module: sdk.Module(), Types: sdk.Types(), Parts: sdk.Parts()},
		Salt: func(pixel string) []byte { return []byte("salt of " + pixel) },
		Log:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(t.Context()) })
	return &url.URL{Scheme: "http", Host: c.Addr()}
}

// recorder keeps what the collector answered.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (s *site) pass(w http.ResponseWriter, r *http.Request, to http.Handler) {
	a := arrival{Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone()}
	body, _ := io.ReadAll(r.Body)
	if d := r.URL.Query().Get("d"); d != "" {
		_ = json.Unmarshal([]byte(d), &a.Body)
	} else if len(body) > 0 {
		_ = json.Unmarshal(body, &a.Body)
	}
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if r.Method == http.MethodPost && fail != nil && fail(w, r) {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	if strings.HasPrefix(r.URL.Path, behindPath+"/") {
		to = http.StripPrefix(behindPath, to)
	}
	to.ServeHTTP(rec, r)
	a.Status, a.SetCookie = rec.status, w.Header().Values("Set-Cookie")
	s.mu.Lock()
	s.all = append(s.all, a)
	s.mu.Unlock()
	switch strings.TrimPrefix(r.URL.Path, behindPath) {
	case "/collect", "/consent", "/pixel.gif":
		if r.Method != http.MethodOptions {
			s.came <- a
		}
	}
}

// put makes a page of its own while others look.
func (s *site) put(path, page string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page[path] = page
}

// arrivals are all requests so far.
func (s *site) arrivals() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]arrival(nil), s.all...)
}

// breaks makes the way to the collector fail; nil mends it.
func (s *site) breaks(fail func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

// next is the next request that carries anything.
func (s *site) next(t *testing.T) arrival {
	t.Helper()
	select {
	case a := <-s.came:
		if a.Status >= 300 {
			t.Fatalf("%s was answered %d: %v", a.Path, a.Status, a.Body)
		}
		return a
	case <-time.After(20*time.Second + offline()):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// changeAndEvent are the next two requests, of which one tells of a change of consent:
// both are on their way at once and come in any order.
func (s *site) changeAndEvent(t *testing.T) (change, event arrival) {
	t.Helper()
	change, event = s.next(t), s.next(t)
	if change.Path != "/consent" {
		return event, change
	}
	return change, event
}

// silent fails if anything came but the tag, its parts and the settings, or if
// any of those came with a cookie.
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

// stored are the events that the collector keeps, by id, each with how often.
func (s *site) stored(t *testing.T) (names []string, times map[string]int) {
	t.Helper()
	times = map[string]int{}
	for _, p := range event.Priorities {
		list, err := s.queue.Pull(t.Context(), queue.Ingest(p), 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			var e event.Event
			if err := event.Decode(m.Body, &e); err != nil {
				t.Fatal(err)
			}
			names = append(names, e.Name)
			times[e.ID]++
			if err := s.queue.Ack(t.Context(), queue.Ingest(p), m.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	return names, times
}

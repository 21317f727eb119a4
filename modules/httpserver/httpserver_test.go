package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/state"
)

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("the disk of Alice") }

func TestErrorsBecomeProblems(t *testing.T) {
	var logged bytes.Buffer
	e := httpserver.New(httpserver.Options{Name: "test", Log: slog.New(slog.NewTextHandler(&logged, nil)), MaxBody: 64})
	e.GET("/problem", func(*echo.Context) error {
		return &httpserver.Problem{Status: 422, Code: "odd", Detail: "it is odd", RetryAfter: 1500 * time.Millisecond,
			Errors: []httpserver.FieldError{{Pointer: "/a/0", Detail: "must be even"}}}
	})
	e.GET("/away", func(*echo.Context) error {
		return fmt.Errorf("look at the queues: %w", &net.OpError{Op: "dial", Err: errors.New("connection refused")})
	})
	e.GET("/late", func(*echo.Context) error { return fmt.Errorf("ask: %w", context.DeadlineExceeded) })
	e.GET("/refused", func(*echo.Context) error { return fmt.Errorf("get keys: %w", state.ErrUnavailable) })
	e.GET("/full", func(*echo.Context) error { return fmt.Errorf("push: %w", queue.ErrUnavailable) })
	e.GET("/echo", func(*echo.Context) error { return echo.NewHTTPError(http.StatusTeapot, "tea only") })
	e.GET("/ours", func(*echo.Context) error { return errors.New("password is hunter2") })
	e.GET("/panic", func(*echo.Context) error { panic("hunter2 exploded") })
	e.GET("/panics-with-status", func(*echo.Context) error { panic(httpserver.NewProblem(404, "x", "y")) })
	e.POST("/bind", func(c *echo.Context) error {
		var v struct {
			N int `json:"n"`
		}
		if err := c.Bind(&v); err != nil {
			return err
		}
		return c.JSON(200, v)
	})
	e.POST("/read", func(c *echo.Context) error {
		_, err := io.ReadAll(c.Request().Body)
		return err
	})

	tests := map[string]struct {
		method, path string
		body         io.Reader
		status       int
		contains     string
	}{
		"a problem":                 {"GET", "/problem", nil, 422, `"errors":[{"pointer":"/a/0","detail":"must be even"}]`},
		"an echo error":             {"GET", "/echo", nil, 418, `"detail":"tea only"`},
		"an error of ours":          {"GET", "/ours", nil, 500, `"code":"internal"`},
		"a store that is away":      {"GET", "/away", nil, 503, `"code":"unavailable"`},
		"a store that hangs":        {"GET", "/late", nil, 503, `"code":"unavailable"`},
		"a store that refuses us":   {"GET", "/refused", nil, 503, `"code":"unavailable"`},
		"a store that is full":      {"GET", "/full", nil, 503, `"code":"unavailable"`},
		"a panic":                   {"GET", "/panic", nil, 500, `"code":"internal"`},
		"a panic with a status":     {"GET", "/panics-with-status", nil, 500, `"code":"internal"`},
		"no such route":             {"GET", "/nowhere", nil, 404, `"title":"Not Found"`},
		"the wrong method":          {"DELETE", "/bind", nil, 405, `"title":"Method Not Allowed"`},
		"malformed JSON":            {"POST", "/bind", strings.NewReader(`{"n":`), 400, `"code":"malformed_json"`},
		"no body":                   {"POST", "/bind", io.MultiReader(), 400, `"detail":"the body is empty"`},
		"a name twice":              {"POST", "/bind", strings.NewReader(`{"n":1,"n":2}`), 400, `is there twice`},
		"a wrong type":              {"POST", "/bind", strings.NewReader(`{"n":"x"}`), 400, `"pointer":"/n"`},
		"a body over the limit":     {"POST", "/read", strings.NewReader(strings.Repeat("x", 65)), 413, `"code":"too_large"`},
		"over it without a length":  {"POST", "/read", io.MultiReader(strings.NewReader(strings.Repeat("x", 100))), 413, `"code":"too_large"`},
		"JSON over it, no length":   {"POST", "/bind", io.MultiReader(strings.NewReader(`{"n":` + strings.Repeat(" ", 100) + "1}")), 413, `"code":"too_large"`},
		"an error while reading it": {"POST", "/read", failingReader{}, 500, `"code":"internal"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, tt.body)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.contains) {
				t.Fatalf("got %d %s, want %d with %s", w.Code, w.Body, tt.status, tt.contains)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			for _, secret := range []string{"hunter2", "Alice"} {
				if strings.Contains(w.Body.String(), secret) {
					t.Errorf("the answer tells %q: %s", secret, w.Body)
				}
			}
			var p struct {
				Status int    `json:"status"`
				Title  string `json:"title"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != tt.status || p.Title == "" {
				t.Errorf("problem %+v, %v", p, err)
			}
		})
	}
	if !strings.Contains(logged.String(), "look at the queues: dial: connection refused") {
		t.Errorf("what was away is not in the log: %s", &logged)
	}
	if !strings.Contains(logged.String(), "hunter2 exploded") || !strings.Contains(logged.String(), "stack=") {
		t.Errorf("the panic is not in the log with its stack: %s", &logged)
	}

	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/problem", nil))
	if got := w.Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want whole seconds, rounded up", got)
	}
}

func TestClientAddress(t *testing.T) {
	proxies, err := httpserver.ParseProxies([]string{"10.0.0.0/8", "192.0.2.1", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		trusted   bool
		peer, xff string
		want      string
	}{
		"no proxy, header ignored":       {false, "198.51.100.9:1", "203.0.113.5", "198.51.100.9"},
		"a stranger's header is ignored": {true, "198.51.100.9:1", "203.0.113.5", "198.51.100.9"},
		"a proxy's header is believed":   {true, "10.1.2.3:1", "203.0.113.5", "203.0.113.5"},
		"a forged part is not":           {true, "10.1.2.3:1", "1.1.1.1, 203.0.113.5, 192.0.2.1", "203.0.113.5"},
		"a private address is no proxy":  {true, "10.1.2.3:1", "203.0.113.5, 172.16.0.1", "172.16.0.1"},
		"garbage":                        {true, "10.1.2.3:1", "unknown", "10.1.2.3"},
		"IPv6":                           {true, "[2001:db8::1]:1", "2001:4860::5", "2001:4860::5"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := httpserver.Options{}
			if tt.trusted {
				o.TrustedProxies = proxies
			}
			e := httpserver.New(o)
			e.GET("/ip", func(c *echo.Context) error { return c.String(200, c.RealIP()) })
			r := httptest.NewRequest("GET", "/ip", nil)
			r.RemoteAddr = tt.peer
			r.Header.Set("X-Forwarded-For", tt.xff)
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Body.String() != tt.want {
				t.Errorf("got %s, want %s", w.Body, tt.want)
			}
		})
	}
	if _, err := httpserver.ParseProxies([]string{"proxy.example.com"}); err == nil {
		t.Error("a host name was taken for a network")
	}
}

func TestRequestsAreCountedByRouteAndNotByPath(t *testing.T) {
	reg := prometheus.NewRegistry()
	e := httpserver.New(httpserver.Options{Name: "collector", Metrics: reg})
	httpserver.New(httpserver.Options{Name: "admin", Metrics: reg}) // shares the families
	e.GET("/config/:id", func(c *echo.Context) error { return c.NoContent(204) })
	for _, path := range []string{"/config/a", "/config/b", "/wp-login.php", "/.env"} {
		e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{
		`pixel_http_requests_total{route="/config/:id",server="collector",status="204"} 2`,
		`pixel_http_requests_total{route="none",server="collector",status="404"} 2`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s is not in\n%s", want, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), "wp-login") {
		t.Error("a path made a series")
	}
}

func TestFiveMegabytesGetAnAnswerAndNotAReset(t *testing.T) {
	e := httpserver.New(httpserver.Options{})
	e.POST("/", func(c *echo.Context) error { _, err := io.Copy(io.Discard, c.Request().Body); return err })
	s := httpserver.NewServer(e, "ops.addr", "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	for name, body := range map[string]io.Reader{
		"with a length": strings.NewReader(strings.Repeat("x", 5<<20)),
		"in chunks":     io.MultiReader(strings.NewReader(strings.Repeat("x", 5<<20))),
	} {
		t.Run(name, func(t *testing.T) {
			res, err := http.Post("http://"+s.Addr(), "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusRequestEntityTooLarge {
				t.Error(res.Status)
			}
		})
	}
}

func TestAnUnknownMemberIsNamed(t *testing.T) {
	var v struct {
		Name string `json:"name"`
	}
	p := httpserver.BadJSON(json.Unmarshal([]byte(`{"name":"a","nmae":"b"}`), &v, json.RejectUnknownMembers(true)))
	if p.Code != "unknown_field" || len(p.Errors) != 1 || p.Errors[0].Pointer != "/nmae" || p.Errors[0].Detail != "is not known here" {
		t.Errorf("%+v", p)
	}
}

func TestAClientThatHungUpIsNoFailureOfOurs(t *testing.T) {
	for name, err := range map[string]error{
		"broken pipe":      &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)},
		"connection reset": &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ECONNRESET)},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			e := httpserver.New(httpserver.Options{Name: "test", Log: slog.New(slog.NewTextHandler(&log, nil))})
			e.GET("/", func(*echo.Context) error { return err })
			here := httptest.NewRequest(http.MethodGet, "/", nil)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			e.ServeHTTP(httptest.NewRecorder(), here.WithContext(ctx))
			if log.Len() > 0 {
				t.Errorf("logged: %s", log.String())
			}
			e.ServeHTTP(httptest.NewRecorder(), here)
			if log.Len() == 0 {
				t.Error("a store that hung up while the client waits was not logged")
			}
		})
	}
}

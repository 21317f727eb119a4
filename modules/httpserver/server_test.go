package httpserver_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/httpserver"
)

func TestServerDrains(t *testing.T) {
	e := httpserver.New(httpserver.Options{})
	started, release := make(chan struct{}), make(chan struct{})
	e.GET("/slow", func(c *echo.Context) error {
		close(started)
		<-release
		return c.String(200, "done")
	})
	streaming := make(chan struct{})
	e.GET("/stream", func(c *echo.Context) error {
		close(streaming)
		<-httpserver.Draining(c.Request().Context())
		return c.NoContent(204)
	})
	s := httpserver.NewServer(e, "ops.addr", "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken := httpserver.NewServer(e, "ops.addr", s.Addr(), slog.New(slog.DiscardHandler))
	if err := taken.Start(t.Context()); err == nil || err.Error() != "ops.addr: cannot listen on "+s.Addr()+": bind: address already in use; end what listens there, or choose another address" {
		t.Errorf("a taken port: %v", err)
	}
	answers := make(chan string, 2)
	for _, path := range []string{"/slow", "/stream"} {
		go func() {
			res, err := http.Get("http://" + s.Addr() + path)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer res.Body.Close()
			answers <- res.Status
		}()
	}
	<-started
	<-streaming
	stopped := make(chan error)
	go func() { stopped <- s.Stop(context.Background()) }()
	if got := <-answers; got != "204 No Content" {
		t.Errorf("the stream got %q", got)
	}
	select {
	case <-stopped:
		t.Error("stopped while a request ran")
	default:
	}
	close(release)
	if got := <-answers; got != "200 OK" {
		t.Errorf("the slow request got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.Addr()); err == nil {
		t.Error("still listening")
	}
}

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
	e := httpserver.New(httpserver.Options{})
	started, release := make(chan struct{}), make(chan struct{})
	e.GET("/", func(*echo.Context) error { close(started); <-release; return nil })
	s := httpserver.NewServer(e, "ops.addr", "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	go http.Get("http://" + s.Addr())
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
}

func TestAStopLeavesTimeForWhatStopsAfterIt(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	s := httpserver.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(begun)
		<-release
	}), "ops.addr", "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() {
		if resp, err := http.Get("http://" + s.Addr()); err == nil {
			resp.Body.Close()
		}
	}()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err == nil {
		t.Error("a request that never ends was not reported")
	}
	if ctx.Err() != nil {
		t.Error("nothing is left of the time to stop")
	}
}

func TestAProcessThatLeavesServesOnAndSaysSo(t *testing.T) {
	leaving := &health.Leaving{}
	e := httpserver.New(httpserver.Options{Name: "test", Leaving: leaving, Checks: []health.Check{{Name: "store", Check: func(context.Context) error { return nil }}}})
	e.GET("/work", func(c *echo.Context) error { return c.String(200, "done") })
	s := httptest.NewServer(e)
	defer s.Close()
	ask := func(path string) (int, string, bool) {
		t.Helper()
		resp, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body), resp.Close
	}
	if code, _, closes := ask("/readyz"); code != 200 || closes {
		t.Fatalf("before: %d, closes %v", code, closes)
	}
	leaving.Begin()
	// At once, whatever was answered a moment ago.
	if code, body, _ := ask("/readyz"); code != 503 || !strings.Contains(body, `"status":"leaving"`) {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _, _ := ask("/healthz"); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
	if code, body, closes := ask("/work"); code != 200 || body != "done" || !closes {
		t.Errorf("/work: %d %s, the connection closes: %v", code, body, closes)
	}
}

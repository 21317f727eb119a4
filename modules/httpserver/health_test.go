package httpserver_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/health"
	"github.com/miq/pixel/modules/httpserver"
)

func TestReadyNamesWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken error
		calls := 0
		checks := []health.Check{
			{Name: "queue", Check: func(context.Context) error { calls++; return broken }},
			{Name: "state", Check: func(context.Context) error { return nil }},
		}
		public := httpserver.New(httpserver.Options{Name: "public", Checks: checks})
		private := httpserver.New(httpserver.Options{Name: "private", Checks: checks, Detailed: true})
		get := func(e *echo.Echo) (int, string) {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
			return w.Code, w.Body.String()
		}
		if code, body := get(public); code != 200 || !strings.Contains(body, `"queue":"ok"`) {
			t.Fatalf("all is well: %d %s", code, body)
		}
		broken = errors.New("dial 10.0.0.7:6379: refused")
		before := calls
		if code, _ := get(public); code != 200 || calls != before {
			t.Errorf("a fresh answer was not repeated: %d after %d more calls", code, calls-before)
		}
		time.Sleep(time.Second)
		code, body := get(public)
		if code != 503 || !strings.Contains(body, `"queue":"failing"`) || !strings.Contains(body, `"state":"ok"`) {
			t.Errorf("with a broken queue: %d %s", code, body)
		}
		if strings.Contains(body, "10.0.0.7") {
			t.Errorf("the public answer tells an address: %s", body)
		}
		if code, body := get(private); code != 503 || !strings.Contains(body, "10.0.0.7") {
			t.Errorf("the private answer does not say why: %d %s", code, body)
		}
		broken = nil
		time.Sleep(time.Second)
		if code, _ := get(public); code != 200 {
			t.Errorf("repaired: %d", code)
		}
	})
}

func TestReadyDoesNotHangWithACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := httpserver.New(httpserver.Options{Checks: []health.Check{{Name: "deaf", Check: func(context.Context) error { <-release; return nil }}}})
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if w.Code != 503 {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		w = httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
		if w.Code != 200 {
			t.Errorf("alive: %d", w.Code)
		}
		close(release)
	})
}

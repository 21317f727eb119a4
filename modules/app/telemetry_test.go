package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
)

func TestSpansReachTheEndpointBeforeTheProcessEnds(t *testing.T) {
	got := make(chan string, 1)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case got <- r.Method + " " + r.URL.Path + " " + string(body):
		default:
		}
	}))
	defer endpoint.Close()

	c := settingsFor(t, map[string]string{"otel.endpoint": endpoint.URL})
	var provider trace.TracerProvider
	a := fxtest.New(t, telemetry(c), fx.Populate(&provider))
	a.RequireStart()
	_, span := provider.Tracer("test").Start(t.Context(), "collect")
	span.End()
	a.RequireStop()

	select {
	case request := <-got:
		if !strings.HasPrefix(request, "POST /v1/traces ") || !strings.Contains(request, "collect") {
			t.Errorf("the endpoint received %q", request)
		}
	case <-time.After(time.Minute):
		t.Error("no span arrived")
	}
}

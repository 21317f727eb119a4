package app

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/miq/pixel/config"
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

func TestALineOfTheLogNamesItsTrace(t *testing.T) {
	var out bytes.Buffer
	log, _, err := NewLogger(config.Log{Level: "info", Format: "json"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0xab}, SpanID: trace.SpanID{0xcd}})
	log.With("component", "test").InfoContext(trace.ContextWithSpanContext(t.Context(), sc), "within a request")
	log.InfoContext(t.Context(), "beside any")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"trace_id":"ab000000000000000000000000000000","span_id":"cd00000000000000"`) || strings.Contains(lines[1], "trace_id") {
		t.Errorf("the log says\n%s", out.String())
	}
}

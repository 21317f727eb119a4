package ops

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/modules/exemplar"
)

func TestTheLogLevelIsChangedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		v := &slog.LevelVar{}
		log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: v}))
		e := echo.New()
		l := newLevel(v, log)
		l.routes(e)
		ask := func(method, path, want string, status int) {
			t.Helper()
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != status || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s %s: %d %q, want %d %q", method, path, w.Code, w.Body, status, want)
			}
		}
		ask("GET", "/log-level", "info", 200)
		ask("PUT", "/log-level?level=debug&for=10m", "debug", 200)
		log.Debug("seen")
		// A second change for a while goes back to what was there before the first.
		ask("PUT", "/log-level?level=error&for=5m", "error", 200)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		ask("GET", "/log-level", "info", 200)
		log.Debug("unseen")
		ask("PUT", "/log-level?level=warn", "warn", 200)
		time.Sleep(time.Hour)
		ask("GET", "/log-level", "warn", 200)
		ask("PUT", "/log-level?level=loud", "must be debug, info, warn or error", 400)
		ask("PUT", "/log-level?level=debug&for=ever", "such as 10m", 400)
		l.stop()
		if s := out.String(); !strings.Contains(s, "msg=seen") || strings.Contains(s, "msg=unseen") {
			t.Errorf("the log is\n%s", s)
		}
	})
}

func TestMetricsCarryTheTraceOfASampledRequest(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "pixel_test_seconds", Buckets: []float64{1, 2}})
	reg.MustRegister(h)
	span := func(flags trace.TraceFlags, id byte) context.Context {
		return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{id}, SpanID: trace.SpanID{1}, TraceFlags: flags,
		}))
	}
	exemplar.Observe(span(trace.FlagsSampled, 0xab), h, 0.5)
	exemplar.Observe(span(0, 0xcd), h, 1.5)
	e := echo.New()
	Routes(e, reg)
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	body := w.Body.String()
	if !strings.Contains(body, `pixel_test_seconds_bucket{le="1.0"} 1 # {trace_id="ab000000000000000000000000000000"} 0.5`) {
		t.Errorf("no exemplar:\n%s", body)
	}
	if w.Code != http.StatusOK || strings.Contains(body, "cd0000") || !strings.Contains(body, "pixel_test_seconds_count 2") {
		t.Errorf("%d:\n%s", w.Code, body)
	}
}

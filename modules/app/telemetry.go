package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/fx"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/build"
	"github.com/miq/pixel/modules/sampling"
)

// NewLogger returns the process's logger, and its level, which may be changed.
func NewLogger(c config.Log, w io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	level := &slog.LevelVar{}
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, nil, fmt.Errorf("log.level: %w", err)
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(traced{slog.NewJSONHandler(w, o)}), level, nil
	}
	return slog.New(traced{slog.NewTextHandler(w, o)}), level, nil
}

// traced adds to a line the ids of the trace that it was written in, so that one gets from
// the line to the request and back.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }

func telemetry(c config.Config) fx.Option {
	return fx.Provide(
		func() (*prometheus.Registry, prometheus.Registerer, prometheus.Gatherer) {
			r := prometheus.NewRegistry()
			r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
			about := prometheus.NewGaugeVec(prometheus.GaugeOpts{
				Name: "pixel_build_info", Help: "1; the labels say which build runs, with which roles. A replica that was left behind differs from the others.",
			}, []string{"version", "commit", "go", "roles"})
			about.WithLabelValues(build.Version, build.Commit(), runtime.Version(), strings.Join(c.Roles(), ",")).Set(1)
			r.MustRegister(about)
			return r, r, r
		},
		func(lc fx.Lifecycle) (trace.TracerProvider, error) { return tracer(lc, c.OTel, c.Role) },
	)
}

// tracer sends spans to an OTLP endpoint, or nowhere.
func tracer(lc fx.Lifecycle, c config.OTel, role string) (trace.TracerProvider, error) {
	if c.Endpoint == "" {
		return noop.NewTracerProvider(), nil
	}
	exporter, err := otlptracehttp.New(context.Background(), otlptracehttp.WithEndpointURL(c.Endpoint+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("otel.endpoint: %w", err)
	}
	res, err := resource.New(context.Background(), resource.WithHost(), resource.WithAttributes(
		attribute.String("service.name", "pixel"), attribute.String("service.instance.role", role)))
	if err != nil {
		return nil, err
	}
	late := c.Slow > 0
	out := sdktrace.NewBatchSpanProcessor(exporter)
	if late {
		out = sampling.NewLate(out, c.Slow)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(out), sdktrace.WithResource(res), sdktrace.WithIDGenerator(sampling.IDs()), sdktrace.WithSampler(sampling.Sampler(c.Sample, late)))
	lc.Append(fx.StopHook(tp.Shutdown))
	return tp, nil
}

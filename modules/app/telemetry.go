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
)

// NewLogger returns the process's logger, and its level, which may be changed.
func NewLogger(c config.Log, w io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	level := &slog.LevelVar{}
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return nil, nil, fmt.Errorf("log.level: %w", err)
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), level, nil
	}
	return slog.New(slog.NewTextHandler(w, o)), level, nil
}

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
	tp := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), sdktrace.WithResource(res),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Sample))),
	)
	lc.Append(fx.StopHook(tp.Shutdown))
	return tp, nil
}

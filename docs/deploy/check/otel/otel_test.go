// Package otel runs an OpenTelemetry Collector, of its own code and that of the components which
// our file for it names, by that file. It is a module of its own, since that is much code, and
// takes some minutes to compile.
package otel

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/tailsamplingprocessor"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/batchprocessor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func factories() (f otelcol.Factories, err error) {
	f.Telemetry = otelconftelemetry.NewFactory()
	if f.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory()); err != nil {
		return f, err
	}
	if f.Processors, err = otelcol.MakeFactoryMap[processor.Factory](memorylimiterprocessor.NewFactory(), tailsamplingprocessor.NewFactory(), batchprocessor.NewFactory()); err != nil {
		return f, err
	}
	f.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](otlpexporter.NewFactory())
	return f, err
}

// run starts a Collector with a file's text, in which it listens on any port, and ends it again.
func run(t *testing.T, text string) error {
	t.Helper()
	text = strings.Replace(text, "0.0.0.0:4318", "127.0.0.1:0", 1)
	path := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.NewDefaultBuildInfo(), Factories: factories, DisableGracefulShutdown: true,
		LoggingOptions: []zap.Option{zap.WrapCore(func(zapcore.Core) zapcore.Core { return zapcore.NewNopCore() })},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{"file:" + path}, ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
		}},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for {
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("it ended by itself")
			}
			return err
		case <-time.After(20 * time.Millisecond):
		}
		if c.GetState() == otelcol.StateRunning {
			c.Shutdown()
			return <-ended
		}
	}
}

func TestACollectorRunsByTheFile(t *testing.T) {
	good, err := os.ReadFile(filepath.Join("..", "..", "otel", "collector.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t, string(good)); err != nil {
		t.Error(err)
	}
	// And what it does not take is refused here too.
	for old, wrong := range map[string]string{
		"status_codes: [ERROR]":      "status_codes: [BROKEN]",
		"decision_wait: 30s":         "decision_wait: soon",
		"type: latency, latency":     "type: latencies, latency",
		"exporters: [otlp/jaeger]":   "exporters: [jaeger]",
		"num_traces: 200000":         "number_of_traces: 200000",
		"limit_percentage: 75, spik": "limit_percentage: 175, spik",
	} {
		if !strings.Contains(string(good), old) {
			t.Fatalf("the file has no %q any more", old)
		}
		if err := run(t, strings.Replace(string(good), old, wrong, 1)); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

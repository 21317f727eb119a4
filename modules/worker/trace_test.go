package worker

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/miq/pixel/modules/event"
)

const (
	traced   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	untraced = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-00"
)

func TestAnEventsTraceGoesOnToThePartner(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	x := setup(t, func(d *Deps) { d.Tracer = provider.Tracer("") })
	for id, tp := range map[string]string{"sampled": traced, "not": untraced, "none": "", "nonsense": "00-zz"} {
		x.push(purchase(id, func(e *event.Event) { e.Trace = tp }))
	}
	x.start()
	x.done()
	got := x.deliveries("acme")
	for id, want := range map[string]string{"not": untraced, "none": "", "nonsense": "00-zz"} {
		if got[id].Event.Trace != want {
			t.Errorf("%s goes on as %q, want %q", id, got[id].Event.Trace, want)
		}
	}
	var processed []tracetest.SpanStub
	links := 0
	x.until("the spans are ended", func() bool {
		processed, links = nil, 0
		for _, s := range exporter.GetSpans() {
			switch s.Name {
			case "process purchase":
				processed = append(processed, s)
			case "worker batch":
				links += len(s.Links)
			}
		}
		return links > 0
	})
	if len(processed) != 1 || links != 1 {
		t.Fatalf("%d events' spans, %d links", len(processed), links)
	}
	s := processed[0]
	if s.Parent.TraceID().String() != traced[3:35] || s.Parent.SpanID().String() != traced[36:52] {
		t.Errorf("its parent is %s", s.Parent.SpanID())
	}
	want := "00-" + traced[3:35] + "-" + s.SpanContext.SpanID().String() + "-01"
	if got["sampled"].Event.Trace != want {
		t.Errorf("it goes on as %q, want %q", got["sampled"].Event.Trace, want)
	}
}

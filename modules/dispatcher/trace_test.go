package dispatcher

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/miq/pixel/modules/event"
)

func TestADeliveryIsPartOfItsEventsTrace(t *testing.T) {
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	w := setup(t, func(d *Deps) { d.Tracer = provider.Tracer("") })
	w.push(purchase("1", func(d *event.Delivery) { d.Event.Trace = traceparent }), purchase("2"))
	w.start()
	w.done()
	var found []tracetest.SpanStub
	w.until("the spans are ended", func() bool {
		found = nil
		batches := 0
		for _, s := range exporter.GetSpans() {
			switch s.Name {
			case "deliver acme":
				found = append(found, s)
			case "deliver batch":
				batches += len(s.Links)
			}
		}
		return batches > 0
	})
	if len(found) != 1 {
		t.Fatalf("%d spans", len(found))
	}
	s := found[0]
	if s.Parent.TraceID().String() != traceparent[3:35] || s.Parent.SpanID().String() != traceparent[36:52] {
		t.Errorf("its parent is %s", s.Parent.SpanID())
	}
	attributes := map[string]string{}
	for _, a := range s.Attributes {
		attributes[string(a.Key)] = a.Value.Emit()
	}
	if attributes["outcome"] != "accepted" || attributes["http.response.status_code"] != "200" || attributes["event.id"] != "1" {
		t.Errorf("%v", attributes)
	}
}

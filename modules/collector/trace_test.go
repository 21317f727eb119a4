package collector

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/miq/pixel/modules/sampling"
)

func TestTheTraceTravelsWithTheEvent(t *testing.T) {
	tp := sdktrace.NewTracerProvider()
	f := newFixture(t, func(o *Options) { o.Tracer = tp.Tracer("test") })
	f.post(`{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`, "Traceparent", "00-11111111111111111111111111111111-2222222222222222-01")
	e := f.everything()
	if len(e) != 1 || len(e[0].Trace) != 55 || !strings.HasPrefix(e[0].Trace, "00-") || !strings.HasSuffix(e[0].Trace, "-01") {
		t.Fatalf("%+v", e)
	}
	if strings.Contains(e[0].Trace, "1111111111") {
		t.Error("a stranger's trace was taken over")
	}
}

func TestATraceOfTheTagIsToldFromItsFirstEvent(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithIDGenerator(sampling.IDs()), sdktrace.WithSampler(sampling.Sampler(0, false)))
	f := newFixture(t, func(o *Options) {
		o.Tracer, o.Traced, o.Outside = tp.Tracer("test"), 0.25, sampling.NewOutside(100)
	})
	const id, parent = "11111111111111111111111111111111", "2222222222222222"
	if got := f.do("GET", "/config/px_demo.json", nil).Body.String(); !strings.Contains(got, `"trace":0.25`) {
		t.Errorf("the tag is told %s", got)
	}
	now := time.Now().UTC()
	body := fmt.Sprintf(`{"pixel_id":"px_demo","sent_at":%q,"events":[{"name":"scroll","time":%q},{"name":"page_view","time":%q}]}`,
		now.Format(time.RFC3339Nano), now.Format(time.RFC3339Nano), now.Add(-2*time.Second).Format(time.RFC3339Nano))
	target := "/collect?traceparent=00-" + id + "-" + parent + "-01"
	if w := f.do("POST", target, strings.NewReader(body), "Content-Type", "text/plain"); w.Code != http.StatusAccepted {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, e := range f.everything() {
		if len(e.Trace) != 55 || e.Trace[3:35] != id || e.Trace[36:52] == parent || e.Trace[53:] != "01" {
			t.Errorf("the event goes on with %q", e.Trace)
		}
	}
	got := spans.GetSpans()
	if len(got) != 2 {
		t.Fatalf("%d spans", len(got))
	}
	tag, request := got[0], got[1]
	if tag.Name != "tag" || tag.SpanContext.SpanID().String() != parent || tag.SpanContext.TraceID().String() != id || tag.Parent.IsValid() {
		t.Errorf("the tag's: %+v", tag.SpanContext)
	}
	if took := tag.EndTime.Sub(tag.StartTime); took < 2*time.Second || took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if request.Parent.SpanID().String() != parent || request.SpanContext.TraceID().String() != id {
		t.Errorf("the request's: %+v below %+v", request.SpanContext, request.Parent)
	}
	for _, s := range got {
		for _, a := range s.Attributes {
			if strings.Contains(a.Value.Emit(), "?") {
				t.Errorf("the span %s has the address: %v", s.Name, a)
			}
		}
	}

	// Without consent nothing is kept, and nothing told of the visit.
	spans.Reset()
	f.do("POST", target, strings.NewReader(`{"pixel_id":"px_demo","consent":{"state":"none"},"events":[{"name":"page_view"}]}`), "Content-Type", "text/plain")
	for _, s := range spans.GetSpans() {
		if s.Name == "tag" {
			t.Error("a part of a trace is told though nothing was kept")
		}
	}
}

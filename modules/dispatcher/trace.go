package dispatcher

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/modules/event"
)

// maxLinks bounds the links of a batch's span.
const maxLinks = 32

// spans are the parts of the events' traces that a batch makes.
type spans []trace.Span

// traced starts a span for a batch, and one in the trace of each event that is
// traced.
func (l *lane) traced(b *batch) (context.Context, trace.Span, spans) {
	ctx, whole := l.tracer.Start(l.running, "deliver batch",
		trace.WithAttributes(attribute.String("partner", l.name), attribute.Int("events", len(b.jobs))))
	list := make(spans, len(b.jobs))
	links := 0
	for i, j := range b.jobs {
		e := j.delivery.Event
		if e.Trace == "" {
			continue
		}
		above := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": e.Trace})
		if !trace.SpanContextFromContext(above).IsValid() {
			continue
		}
		// One that is not sampled may be recorded all the same, should it fail or be slow.
		_, span := l.tracer.Start(above, "deliver "+l.name, trace.WithSpanKind(trace.SpanKindClient))
		if !span.IsRecording() {
			continue
		}
		span.SetAttributes(attribute.String("event.id", e.ID), attribute.String("pixel.id", e.PixelID), attribute.String("partner", l.name))
		list[i] = span
		if links++; links <= maxLinks {
			whole.AddLink(trace.Link{SpanContext: list[i].SpanContext()})
		}
	}
	return ctx, whole, list
}

// end ends the spans with what became of each event.
func (list spans) end(whole trace.Span, b *batch) {
	for i, span := range list {
		if span == nil {
			continue
		}
		j := b.jobs[i]
		span.SetAttributes(attribute.String("outcome", string(j.result.Outcome)), attribute.String("code", j.result.Code))
		if x := j.exchange; x != nil {
			span.SetAttributes(attribute.Int("http.response.status_code", x.Status))
		}
		if j.result.Outcome == event.Retry || j.result.Outcome == event.Rejected {
			span.SetStatus(codes.Error, j.result.Code)
		}
		span.End()
	}
	whole.End()
}

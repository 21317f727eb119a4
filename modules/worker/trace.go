package worker

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// maxLinks bounds the links of a batch's span.
const maxLinks = 32

// tracing makes a batch one span, and continues the trace of each event that is
// traced. Events that are not cost nothing but a look at a string.
type tracing struct{ tracer trace.Tracer }

// undone is the outcome of an event whose batch could not be processed.
const undone = "failed"

const header = "traceparent"

// parent reads a traceparent.
func parent(traceparent string) trace.SpanContext {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{header: traceparent})
	return trace.SpanContextFromContext(ctx)
}

// begin continues an event's trace. The new span's id takes the old one's place
// in the event, so that the partner's part hangs below it.
func (t tracing) begin(it *item) {
	if it.event.Trace == "" {
		return
	}
	sc := parent(it.event.Trace)
	if !sc.IsValid() {
		return
	}
	// One that is not sampled may be recorded all the same, should it fail or be slow.
	ctx, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), sc), "process "+it.event.Name, trace.WithSpanKind(trace.SpanKindConsumer))
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("event.id", it.event.ID), attribute.String("pixel.id", it.event.PixelID))
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	it.span, it.event.Trace = span, carrier[header]
}

// finish ends the events' spans and links the batch's to them.
func (t tracing) finish(b *batch, whole trace.Span, outcome func(*item) string) {
	links := 0
	for _, it := range b.all() {
		if it.span == nil {
			continue
		}
		if links++; links <= maxLinks {
			whole.AddLink(trace.Link{SpanContext: it.span.SpanContext()})
		}
		o := outcome(it)
		it.span.SetAttributes(attribute.String("outcome", o))
		if o == undone {
			it.span.SetStatus(codes.Error, "")
		}
		it.span.End()
		it.span = nil
	}
}

package collector

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/miq/pixel/modules/sampling"
)

// traceparent is the W3C header for what happens next to these events.
func (c *Collector) traceparent(ctx context.Context) string {
	if _, off := c.tracer.(noop.Tracer); off {
		return "" // without a walk through the context
	}
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return ""
	}
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	traceID, spanID := sc.TraceID(), sc.SpanID()
	b = hex.AppendEncode(b, traceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, spanID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, []byte{byte(sc.TraceFlags())})
	return string(b)
}

// earliest bounds what the tag's part of a trace may take.
const earliest = time.Hour

// begun tells of the tag's part of a trace: from the first of its events, which waited for
// others, to the request. The tag itself has nobody to tell.
func (c *Collector) begun(r *http.Request, pixel string, a *answer) {
	if c.traced == 0 || a.accepted == 0 || r.URL.RawQuery == "" {
		return
	}
	sc, ok := sampling.FromTag(r)
	if !ok || c.tracer == nil {
		return
	}
	came := c.arrived(r, time.Now().UTC())
	first := a.first
	if first.After(came) || came.Sub(first) > earliest {
		first = came
	}
	_, span := c.tracer.Start(sampling.Elsewhere(sc), "tag", trace.WithTimestamp(first), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("pixel.id", pixel), attribute.Int("events", a.accepted)))
	span.End(trace.WithTimestamp(came))
}

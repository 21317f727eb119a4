// Package exemplar ties a measurement to the trace that it was taken in, so that
// from a slow bucket of a histogram one gets to a request that was slow. A trace
// that is not sampled leaves none, since there would be nothing to look at.
package exemplar

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// Observe adds a value to a histogram, with the context's trace where it is sampled.
func Observe(ctx context.Context, o prometheus.Observer, v float64) {
	At(trace.SpanContextFromContext(ctx), o, v)
}

// At is Observe for who has the span itself.
func At(span trace.SpanContext, o prometheus.Observer, v float64) {
	if span.IsSampled() {
		if e, ok := o.(prometheus.ExemplarObserver); ok {
			e.ObserveWithExemplar(v, prometheus.Labels{"trace_id": span.TraceID().String()})
			return
		}
	}
	o.Observe(v)
}

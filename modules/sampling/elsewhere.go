package sampling

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Elsewhere returns a context in which the span that starts next is one that somebody else
// began and cannot tell of, the tag: it has the ids that it was given there, begins its trace,
// and is sampled.
func Elsewhere(sc trace.SpanContext) context.Context {
	return context.WithValue(context.Background(), elsewhere{}, sc)
}

type elsewhere struct{}

func begun(ctx context.Context) (trace.SpanContext, bool) {
	sc, ok := ctx.Value(elsewhere{}).(trace.SpanContext)
	return sc, ok
}

// IDs makes the ids of traces and spans, but for those that were made elsewhere.
func IDs() sdktrace.IDGenerator { return ids{} }

type ids struct{}

func (ids) NewIDs(ctx context.Context) (t trace.TraceID, s trace.SpanID) {
	if sc, ok := begun(ctx); ok {
		return sc.TraceID(), sc.SpanID()
	}
	for !t.IsValid() {
		binary.NativeEndian.PutUint64(t[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(t[8:], rand.Uint64())
	}
	return t, newSpanID()
}

func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return newSpanID() }

func newSpanID() (s trace.SpanID) {
	for !s.IsValid() {
		binary.NativeEndian.PutUint64(s[:], rand.Uint64())
	}
	return s
}

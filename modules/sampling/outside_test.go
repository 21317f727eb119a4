package sampling_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/modules/sampling"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID      = "00f067aa0ba902b7"
	traceparent = "00-" + traceID + "-" + spanID + "-01"
)

func TestACallersTraceIsReadToTheLetter(t *testing.T) {
	for name, tt := range map[string]struct {
		target, header string
		want           bool
	}{
		"in the address":           {"/collect?traceparent=" + traceparent, "", true},
		"among other parameters":   {"/collect?x=1&traceparent=" + traceparent + "&y", "", true},
		"in the header":            {"/collect", traceparent, true},
		"with more flags":          {"/collect", traceparent[:53] + "03", true},
		"none":                     {"/collect", "", false},
		"another parameter":        {"/collect?xtraceparent=" + traceparent, "", false},
		"not sampled":              {"/collect", traceparent[:54] + "0", false},
		"another version":          {"/collect", "01" + traceparent[2:], false},
		"no version":               {"/collect", "ff" + traceparent[2:], false},
		"more behind it":           {"/collect", traceparent + "-x", false},
		"one character less":       {"/collect", traceparent[:54], false},
		"capitals":                 {"/collect", strings.ToUpper(traceparent), false},
		"a trace of zeros":         {"/collect", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", false},
		"a span of zeros":          {"/collect", "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", false},
		"no dash where one is due": {"/collect", strings.Replace(traceparent, "-"+spanID, "0"+spanID, 1), false},
		"a dash where none is due": {"/collect", "00-" + traceID[:31] + "--" + spanID + "-01", false},
		"percent-encoded":          {"/collect?traceparent=" + strings.ReplaceAll(traceparent, "-", "%2d"), "", false},
		"the header counts first":  {"/collect?traceparent=" + traceparent, "nonsense", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", tt.target, nil)
			if tt.header != "" {
				r.Header.Set("Traceparent", tt.header)
			}
			sc := trace.SpanContextFromContext(sampling.NewOutside(10).Above(r))
			require.Equal(t, tt.want, sc.IsValid())
			if tt.want {
				require.Equal(t, traceID+spanID, sc.TraceID().String()+sc.SpanID().String())
				require.True(t, sc.IsSampled() && sc.IsRemote())
			}
			var nobody *sampling.Outside
			require.False(t, trace.SpanContextFromContext(nobody.Above(r)).IsValid())
		})
	}
}

// Anybody may come with one, so that no stranger makes us trace all that he sends.
func TestStrangersBeginSoManyTracesAndNoMore(t *testing.T) {
	outside := sampling.NewOutside(5)
	believed := 0
	for range 1000 {
		r := httptest.NewRequest("POST", "/collect?traceparent="+traceparent, nil)
		if trace.SpanContextFromContext(outside.Above(r)).IsValid() {
			believed++
		}
	}
	require.GreaterOrEqual(t, believed, 10)
	require.Less(t, believed, 500, "of a thousand at once")
	require.Nil(t, sampling.NewOutside(0))
}

func TestWhatBeganElsewhereHasTheIdsThatItWasGivenThere(t *testing.T) {
	got := tracetest.NewInMemoryExporter()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(got), sdktrace.WithIDGenerator(sampling.IDs()), sdktrace.WithSampler(sampling.Sampler(0, false)))
	r := httptest.NewRequest("POST", "/collect?traceparent="+traceparent, nil)
	ctx, here := tp.Tracer("").Start(sampling.NewOutside(1).Above(r), "here")
	r = r.WithContext(ctx)
	sc, ok := sampling.FromTag(r)
	require.True(t, ok)
	_, there := tp.Tracer("").Start(sampling.Elsewhere(sc), "there")
	there.End()
	here.End()
	_, other := tp.Tracer("").Start(context.Background(), "other")
	other.End()
	spans := got.GetSpans()
	require.Len(t, spans, 2, "the caller's, whatever the share; and not the other")
	require.Equal(t, traceID+spanID, spans[0].SpanContext.TraceID().String()+spans[0].SpanContext.SpanID().String())
	require.False(t, spans[0].Parent.IsValid())
	require.Equal(t, spans[0].SpanContext.SpanID(), spans[1].Parent.SpanID())
	require.NotEqual(t, spans[0].SpanContext.SpanID(), spans[1].SpanContext.SpanID())

	unbelieved := httptest.NewRequest("POST", "/collect?traceparent="+traceparent, nil)
	_, ok = sampling.FromTag(unbelieved)
	require.False(t, ok, "its trace was not taken up")
	r.Header.Set("Traceparent", traceparent)
	_, ok = sampling.FromTag(r)
	require.False(t, ok, "a server tells of its part itself")
}
